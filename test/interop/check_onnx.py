"""Holds ONNX folders against what their model must compute, in onnx's checker and ONNX Runtime.

usage: check_onnx.py TOLERANCE EXPECTED_DIR FOLDER...

Each folder's graph must pass the full check; its logits must be within TOLERANCE of
EXPECTED_DIR/logits.safetensors, whole, in pieces through the cache, and in a batch with padding on
the left; its greedy answers must be those of EXPECTED_DIR/generate.json, alone and in a batch of
two. Prints one line a folder; exit code 1 on a mismatch.
"""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

tolerance = float(sys.argv[1])
expected = pathlib.Path(sys.argv[2])
failures = 0


class Decoder:
    def __init__(self, path: pathlib.Path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.past = [node for node in self.session.get_inputs() if node.name.startswith("past")]

    def empty(self, batch: int) -> dict[str, np.ndarray]:
        kind = np.float16 if self.past[0].type == "tensor(float16)" else np.float32
        return {
            node.name: np.zeros((batch, node.shape[1], 0, node.shape[3]), kind) for node in self.past
        }

    def run(self, ids, mask, past):
        """Logits of `ids` [batch, sequence], given what `mask` [batch, past + sequence] admits."""
        positions = np.maximum(np.cumsum(mask, 1) - 1, 0)[:, -ids.shape[1] :]
        outputs = self.session.run(
            None, {"input_ids": ids, "attention_mask": mask, "position_ids": positions, **past}
        )
        named = dict(zip([node.name for node in self.session.get_outputs()], outputs))
        logits = named.pop("logits")
        return logits, {name.replace("present", "past_key_values"): v for name, v in named.items()}

    def generate(self, prompts, count: int):
        """Greedy continuations of prompts of any lengths, padded on the left."""
        longest = max(map(len, prompts))
        ids = np.array([[0] * (longest - len(p)) + p for p in prompts], np.int64)
        mask = np.array([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], np.int64)
        past = self.empty(len(prompts))
        out = [[] for _ in prompts]
        for _ in range(count):
            logits, past = self.run(ids, mask, past)
            ids = logits[:, -1].argmax(-1).astype(np.int64)[:, None]
            mask = np.concatenate([mask, np.ones_like(ids)], 1)
            for row, token in zip(out, ids[:, 0]):
                row.append(int(token))
        return out


def difference(logits, wanted) -> float:
    assert np.isfinite(logits).all(), "logits are not finite"
    return float(np.abs(logits - wanted).max())


def check(folder: pathlib.Path) -> str:
    (path,) = (folder / "onnx").glob("*.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    decoder = Decoder(path)
    tensors = load_file(expected / "logits.safetensors")
    texts = [
        (tensors[f"{i}.input_ids"].reshape(-1).astype(np.int64), tensors[f"{i}.logits"])
        for i in range(len(tensors) // 2)
    ]
    whole = cached = padded = 0.0
    for ids, wanted in texts:
        wanted = wanted.reshape(len(ids), -1)
        logits, _ = decoder.run(ids[None], np.ones((1, len(ids)), np.int64), decoder.empty(1))
        assert logits.dtype == np.float32, f"logits are {logits.dtype}"
        whole = max(whole, difference(logits[0], wanted))
        past, at = decoder.empty(1), 0
        for step in [7, 1, 3, 1, len(ids)]:
            piece = ids[at : at + step]
            mask = np.ones((1, at + len(piece)), np.int64)
            logits, past = decoder.run(piece[None], mask, past)
            cached = max(cached, difference(logits[0], wanted[at : at + len(piece)]))
            at += len(piece)
    longest = max(len(ids) for ids, _ in texts)
    batch = np.array([[0] * (longest - len(ids)) + list(ids) for ids, _ in texts], np.int64)
    mask = np.array([[0] * (longest - len(ids)) + [1] * len(ids) for ids, _ in texts], np.int64)
    logits, _ = decoder.run(batch, mask, decoder.empty(len(texts)))
    for row, (ids, wanted) in zip(logits, texts):
        padded = max(padded, difference(row[-len(ids) :], wanted.reshape(len(ids), -1)))
    worst = max(whole, cached, padded)
    assert worst <= tolerance, f"logits differ by {whole}, cached {cached}, padded {padded}"
    cases = json.loads((expected / "generate.json").read_text())
    answers = [case["ids"][len(case["prompt_ids"]) :] for case in cases]
    for case, answer in zip(cases, answers):
        (got,) = decoder.generate([case["prompt_ids"]], len(answer))
        assert got == answer, f"{case['prompt']!r} gives {got}"
    for i in range(len(cases) - 1):
        pair = [cases[i]["prompt_ids"], cases[i + 1]["prompt_ids"] + [answers[i + 1][0]]]
        wanted = [answers[i], answers[i + 1][1:]]
        for got, answer in zip(decoder.generate(pair, max(map(len, wanted))), wanted):
            assert got[: len(answer)] == answer, f"in a batch: {got} for {answer}"
    return f"logits within {whole:.1e}, cached {cached:.1e}, padded {padded:.1e}; {len(cases)} answers"


for folder in map(pathlib.Path, sys.argv[3:]):
    where = f"onnxruntime {onnxruntime.__version__} {folder.parent.name}/{folder.name}"
    try:
        print(f"ok {where}: {check(folder)}")
    except Exception as error:
        failures += 1
        print(f"FAILED {where}: {type(error).__name__}: {error}")
sys.exit(1 if failures else 0)
