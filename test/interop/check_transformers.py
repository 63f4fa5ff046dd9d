"""Holds folders against what their model must compute, in whichever transformers is installed.

usage: check_transformers.py TOLERANCE EXPECTED_DIR FOLDER...

Each folder is loaded by AutoModelForCausalLM and AutoTokenizer; its logits must be within TOLERANCE
of EXPECTED_DIR/logits.safetensors, its greedy answers those of EXPECTED_DIR/generate.json, and every
shard must be readable by safetensors itself. Prints one line a folder; exit code 1 on a mismatch.
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

tolerance = float(sys.argv[1])
expected = pathlib.Path(sys.argv[2])
failures = 0


def check(folder: pathlib.Path) -> str:
    count = 0
    for shard in sorted(folder.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            assert file.metadata() == {"format": "pt"}, f"metadata {file.metadata()}"
            for name in file.keys():
                file.get_tensor(name)
                count += 1
    model, loading = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not loading[kind], f"{kind}: {loading[kind]}"
    GenerationConfig.from_pretrained(folder)
    model.eval()
    tensors = load_file(expected / "logits.safetensors")
    worst = 0.0
    with torch.no_grad():
        for i in range(len(tensors) // 2):
            logits = model(tensors[f"{i}.input_ids"].reshape(1, -1).long()).logits[0]
            worst = max(worst, (logits - tensors[f"{i}.logits"].reshape(logits.shape)).abs().max().item())
    assert worst <= tolerance, f"logits differ by {worst}"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for case in json.loads((expected / "generate.json").read_text()):
        ids = torch.tensor([case["prompt_ids"]])
        if case["prompt"] is not None:
            ids = tokenizer(case["prompt"], return_tensors="pt").input_ids
        assert ids[0].tolist() == case["prompt_ids"], f"{case['prompt']!r} is {ids[0].tolist()}"
        out = model.generate(ids, max_new_tokens=len(case["ids"]) - len(case["prompt_ids"]), do_sample=False)
        assert out[0].tolist() == case["ids"], f"{case['prompt']!r} → {tokenizer.decode(out[0])!r}"
    return f"{count} tensors, logits within {worst:.1e}"


for folder in map(pathlib.Path, sys.argv[3:]):
    where = f"transformers {transformers.__version__} {folder.parent.name}/{folder.name}"
    try:
        print(f"ok {where}: {check(folder)}")
    except Exception as error:
        failures += 1
        print(f"FAILED {where}: {type(error).__name__}: {error}")
sys.exit(1 if failures else 0)
