"""Holds models with rotary scalings and sliding windows against transformers, whichever is installed.

usage: check_rope.py TOLERANCE FOLDER...

Each FOLDER has given.json (a configuration), and of the same weights hf/ (a folder that transformers
loads) and onnx/, as this program made them with that configuration. Version 5 also reads given.json
itself, which our reading of it is held against. Over ids.json beside them, logits of transformers and of the graph must be within
TOLERANCE of each other, in one run and token by token with the cache; logits.safetensors gets those of
transformers in one run, for llama.cpp to be held against. Prints one line a folder.
"""
import json
import pathlib
import sys

import numpy as np
import onnxruntime
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

tolerance = float(sys.argv[1])
folders = [pathlib.Path(folder) for folder in sys.argv[2:]]
ids = torch.tensor([json.loads((folders[0].parent / "ids.json").read_text())])
prefill = 40
failures = 0


def peers(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        whole = model(ids).logits[0]
        # The embedding remembers how long the texts were that it has seen.
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        cache = DynamicCache(config=model.config)
        rows = [model(ids[:, :prefill], past_key_values=cache).logits[0]]
        for i in range(prefill, ids.shape[1]):
            rows.append(model(ids[:, i : i + 1], past_key_values=cache).logits[0])
    return whole, torch.cat(rows)


def ours(graph):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    caches = [each for each in session.get_inputs() if each.name.startswith("past_key_values.")]
    empty = {each.name: np.zeros((1, each.shape[1], 0, each.shape[3]), np.float32) for each in caches}
    names = [each.name for each in session.get_outputs()]

    def run(begin, end, past):
        feeds = {
            "input_ids": ids[:, begin:end].numpy(),
            "attention_mask": np.ones((1, end), np.int64),
            "position_ids": np.arange(begin, end)[None],
            **past,
        }
        outputs = dict(zip(names, session.run(names, feeds)))
        grown = {
            name.replace("present", "past_key_values"): value
            for name, value in outputs.items()
            if name.startswith("present.")
        }
        return torch.from_numpy(outputs["logits"][0]), grown

    whole, _ = run(0, ids.shape[1], empty)
    first, past = run(0, prefill, empty)
    rows = [first]
    for i in range(prefill, ids.shape[1]):
        row, past = run(i, i + 1, past)
        rows.append(row)
    return whole, torch.cat(rows)


def as_given(folder):
    config = AutoConfig.for_model(**json.loads((folder / "given.json").read_text()))
    model = AutoModelForCausalLM.from_config(config).float().eval()
    weights = load_file(folder / "hf" / "model.safetensors")
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    with torch.no_grad():
        return model(ids).logits[0]


for folder in folders:
    where = f"transformers {transformers.__version__} {folder.name}"
    try:
        theirs, mine = peers(folder / "hf"), ours(folder / "onnx" / "onnx" / "model.onnx")
        worst = [(a - b).abs().max().item() for a, b in zip(theirs, mine)]
        assert max(worst) <= tolerance, f"logits differ by {worst[0]}, with a cache by {worst[1]}"
        if int(transformers.__version__.split(".")[0]) >= 5:
            apart = (as_given(folder) - mine[0]).abs().max().item()
            assert apart <= tolerance, f"logits differ by {apart} from those of given.json"
        save_file({"logits": theirs[0].contiguous()}, folder / "logits.safetensors")
        print(f"ok {where}: logits within {worst[0]:.1e}, with a cache within {worst[1]:.1e}")
    except Exception as error:
        failures += 1
        print(f"FAILED {where}: {type(error).__name__}: {error}")
sys.exit(1 if failures else 0)
