"""Holds what openllama writes as PyTorch and as Meta against torch and transformers.

usage: pytorch.py EXPECTED FOLDER...

EXPECTED has tensors.json (name -> shape and SHA-256 of the f32 bytes) and generate.json (greedy
answers). A FOLDER has pytorch_model*.bin or consolidated.*.pth, of f32 or bf16. Prints one JSON
line; ends with 1 where anything differs.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import torch

COLUMNS = ("attention.wo.weight", "feed_forward.w2.weight")
COPIES = ("norm.weight",)
NAMES = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def load(path):
    """The state dict, mapped; every payload where a cache line begins, every checksum right."""
    state = torch.load(path, weights_only=True, mmap=True)
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    assert damaged is None, f"{path}: {damaged} has another CRC-32"
    for name, tensor in state.items():
        assert tensor.data_ptr() % 64 == 0, f"{path}: {name} is not aligned"
    return state


def sha256(tensor):
    return hashlib.sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()


def hf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, layer, rest = name.split(".", 2)
    return f"model.layers.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def from_meta(folder):
    """The same tensors under transformers' names and in its layout."""
    params = json.loads((folder / "params.json").read_text())
    ranks = [load(path) for path in sorted(folder.glob("consolidated.*.pth"))]
    state = {}
    for name in ranks[0]:
        pieces = [rank[name] for rank in ranks]
        if name.endswith(COPIES) or "_norm." in name:
            assert all(torch.equal(pieces[0], piece) for piece in pieces), name
            whole = pieces[0]
        elif name == "tok_embeddings.weight":
            whole = torch.cat(pieces, 0 if pieces[0].shape[1] == params["dim"] else 1)
        else:
            whole = torch.cat(pieces, 1 if name.endswith(COLUMNS) else 0)
        if name.endswith(("wq.weight", "wk.weight")):
            head = params["dim"] // params["n_heads"]
            whole = whole.view(-1, head // 2, 2, whole.shape[1]).transpose(1, 2).reshape(whole.shape)
        state[hf_name(name)] = whole
    return state


def answers(folder, expected):
    """How many of the greedy answers transformers gives from the folder."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=False)
    right = 0
    for case in expected:
        prompt = torch.tensor([case["prompt_ids"]])
        new = len(case["ids"]) - len(case["prompt_ids"])
        with torch.no_grad():
            ids = model.generate(prompt, max_new_tokens=new, do_sample=False)[0].tolist()
        right += ids == case["ids"]
    return right


def check(folder, tensors, cases):
    files = sorted(folder.glob("pytorch_model*.bin"))
    state = {k: v for path in files for k, v in load(path).items()} if files else from_meta(folder)
    same = [name for name in tensors if name in state and sha256(state[name]) == tensors[name]["sha256_f32"]]
    result = {"folder": str(folder), "tensors": len(same), "of": len(tensors)}
    result["ok"] = set(same) == set(tensors) == set(state)
    if files:
        result["answers"] = answers(folder, cases)
        result["ok"] = result["ok"] and result["answers"] == len(cases)
    return result


def main(expected, *folders):
    tensors = json.loads((Path(expected) / "tensors.json").read_text())
    cases = json.loads((Path(expected) / "generate.json").read_text())
    results = [check(Path(folder), tensors, cases) for folder in folders]
    ok = all(result["ok"] for result in results)
    print(json.dumps({"ok": ok, "torch": torch.__version__, "results": results}))
    return 0 if ok else 1


sys.exit(main(*sys.argv[1:]))
