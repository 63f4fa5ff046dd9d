"""Holds what openllama writes as EasyLM streams and flax trees against their own loaders.

usage: check_easylm.py EXPECTED CONFIG FILE...

A FILE is a stream (read as EasyLM's StreamingCheckpointer does: msgpack records, flax's from_bytes)
or, where its name ends in .msgpack, a tree (flax's msgpack_restore). Its values, brought to Hugging
Face's layout here by numpy, must have the SHA-256 of EXPECTED/tensors.json. Prints a line a file;
ends with 1 where anything differs.
"""

import hashlib
import json
import pathlib
import sys

import msgpack
import numpy as np
from flax.serialization import from_bytes, msgpack_restore
from flax.traverse_util import flatten_dict

expected = json.loads((pathlib.Path(sys.argv[1]) / "tensors.json").read_text())
config = json.loads(pathlib.Path(sys.argv[2]).read_text())
failures = 0

INNER = {
    "self_attn.q_proj": "attention/wq/kernel",
    "self_attn.k_proj": "attention/wk/kernel",
    "self_attn.v_proj": "attention/wv/kernel",
    "self_attn.o_proj": "attention/wo/kernel",
    "mlp.gate_proj": "feed_forward/w1/kernel",
    "mlp.down_proj": "feed_forward/w2/kernel",
    "mlp.up_proj": "feed_forward/w3/kernel",
    "input_layernorm": "attention_norm/kernel",
    "post_attention_layernorm": "ffn_norm/kernel",
}
OUTER = {
    "model.embed_tokens.weight": "transformer/wte/embedding",
    "model.norm.weight": "transformer/ln_f/kernel",
    "lm_head.weight": "lm_head/kernel",
}


def easylm_name(name: str) -> str:
    if name in OUTER:
        return OUTER[name]
    _, _, layer, inner = name.removesuffix(".weight").split(".", 3)
    return f"transformer/h/{layer}/{INNER[inner]}"


def load(path: pathlib.Path) -> dict:
    if path.suffix == ".msgpack":
        return flatten_dict(msgpack_restore(path.read_bytes()), sep="/")
    arrays = {}
    with open(path, "rb") as stream:
        for key, value in msgpack.Unpacker(stream, read_size=83886080, max_buffer_size=0):
            arrays["/".join(key)] = from_bytes(None, value)
    return arrays


def half_split(rows: np.ndarray) -> np.ndarray:
    """Pairs of rows next to each other become first halves, then second halves, head by head."""
    heads = rows.reshape(-1, config["head_dim"] // 2, 2, rows.shape[-1])
    return heads.swapaxes(1, 2).reshape(rows.shape)


for path in map(pathlib.Path, sys.argv[3:]):
    arrays = load(path)
    wrong = []
    for name, want in expected.items():
        array = np.asarray(arrays.pop(easylm_name(name))).astype(np.float32)
        if array.ndim == 2 and name != "model.embed_tokens.weight":
            array = array.T
        if "q_proj" in name or "k_proj" in name:
            array = half_split(array)
        data = np.ascontiguousarray(array).astype("<f4").tobytes()
        if list(array.shape) != want["shape"] or hashlib.sha256(data).hexdigest() != want["sha256_f32"]:
            wrong.append(name)
    wrong += list(arrays)
    failures += bool(wrong)
    where = f"flax {path.parent.parent.name}/{path.parent.name}/{path.name}"
    print(f"FAILED {where}: {wrong}" if wrong else f"ok {where}: {len(expected)} tensors")
sys.exit(1 if failures else 0)
