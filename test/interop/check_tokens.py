"""Holds what was written of tokens and generation against its source, in whichever transformers is
installed, and a GGUF's special tokens against what llama.cpp's converter takes from the source.

usage: check_tokens.py SOURCE GGUF FOLDER,FOLDER... [EXPECTED_DIR]

With EXPECTED_DIR the folders' logits must be those of EXPECTED_DIR/logits.safetensors.
"""
import json
import pathlib
import sys

import torch
import transformers
from gguf import GGUFReader, SpecialVocab
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

source, gguf = map(pathlib.Path, sys.argv[1:3])
folders = list(map(pathlib.Path, sys.argv[3].split(",")))
expected = pathlib.Path(sys.argv[4]) if len(sys.argv) > 4 else None
failures = 0


def report(what, work):
    global failures
    try:
        print(f"ok {what}: {work()}")
    except Exception as error:
        failures += 1
        print(f"FAILED {what}: {type(error).__name__}: {error}")


def listed(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def check_folder(folder):
    config = AutoConfig.from_pretrained(folder)
    generation = GenerationConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = config.vocab_size
    if (source / "generation_config.json").exists():
        own = json.loads((source / "generation_config.json").read_text())
        written = json.loads((folder / "generation_config.json").read_text())
        assert written == own, f"generation_config.json is {written}, the source's {own}"
        theirs = GenerationConfig.from_pretrained(source)
        assert generation.to_diff_dict() == theirs.to_diff_dict()
    ids = [*listed(generation.eos_token_id), *listed(generation.bos_token_id), *listed(generation.pad_token_id)]
    ids += [*listed(config.eos_token_id), *listed(config.bos_token_id), *listed(config.pad_token_id)]
    assert all(0 <= i < rows for i in ids), f"ids {ids} for {rows} rows"
    assert max(tokenizer.get_vocab().values()) < rows, "more tokens than rows"
    assert tokenizer.eos_token_id in listed(generation.eos_token_id)
    assert tokenizer.eos_token_id in listed(config.eos_token_id)
    assert tokenizer.bos_token_id == config.bos_token_id
    raw = (source / "config.json").read_text()
    if '"factor":2.0' in raw:
        assert '"factor": 2.0' in (folder / "config.json").read_text()
    model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not loading[kind], f"{kind}: {loading[kind]}"
    worst = 0.0
    if expected is not None:
        tensors = load_file(expected / "logits.safetensors")
        with torch.no_grad():
            logits = model(tensors["0.input_ids"].reshape(1, -1).long()).logits[0]
        worst = (logits - tensors["0.logits"].reshape(logits.shape)).abs().max().item()
        assert worst <= 1e-4, f"logits differ by {worst}"
    return f"EOS {tokenizer.eos_token_id} of {generation.eos_token_id}, logits within {worst:.0e}"


def check_gguf():
    fields = GGUFReader(gguf).fields
    rows = len(fields["tokenizer.ggml.tokens"].data)
    taken = SpecialVocab(source, n_vocab=rows).special_token_ids
    names = {"pad": "padding", "unk": "unknown"}
    for role, token in taken.items():
        field = fields.get(f"tokenizer.ggml.{names.get(role, role)}_token_id")
        assert field is not None, f"no {role} id, the converter takes {token}"
        assert field.contents() == token, f"{role} is {field.contents()}, the converter takes {token}"
    return f"special tokens {taken}"


def where(path):
    return f"transformers {transformers.__version__} {source.parent.name}/{path.name}"


for folder in folders:
    report(where(folder), lambda: check_folder(folder))
report(f"gguf-py {source.parent.name}", check_gguf)
sys.exit(1 if failures else 0)
