"""Holds tokenizer.json, and transformers loading its folder, against SentencePiece.

    python test/interop/check_tokenizers.py FOLDER... -- TEXTS...

FOLDER has tokenizer.model, tokenizer.json and tokenizer_config.json. TEXTS are
read by their names: *.json is a list of {"text", "ids", "decoded"} (ids and
decoded are checked when they are there), *.inp is llama.cpp's probes, anything
else is UTF-8 text taken line by line. Prints a line for each folder and engine; exits
with 1 when anything differs.
"""

import itertools
import json
import os
import sys

# This file has the name of a package that it imports.
sys.path.remove(os.path.dirname(os.path.abspath(__file__)))

import sentencepiece  # noqa: E402
import tokenizers  # noqa: E402
import transformers  # noqa: E402

BATCH = 1000
EXAMPLES = 5
PROBE_SEPARATOR = "\n__ggml_vocab_test__\n"


def read_texts(path):
    """(text, expected ids or None, expected decoded text or None), one by one."""
    if path.endswith(".json"):
        with open(path, encoding="utf-8") as file:
            for probe in json.load(file):
                if isinstance(probe, str):
                    yield probe, None, None
                else:
                    yield probe["text"], probe.get("ids"), probe.get("decoded")
    elif path.endswith(".inp"):
        with open(path, encoding="utf-8", newline="") as file:
            for text in file.read().split(PROBE_SEPARATOR):
                yield text, None, None
    else:
        with open(path, encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n"), None, None


def batches(items):
    items = iter(items)
    while batch := list(itertools.islice(items, BATCH)):
        yield batch


def engines(folder):
    """Name, and functions from a batch of texts to ids, and of ids to texts."""
    fast = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    yield (
        f"tokenizers {tokenizers.__version__}",
        lambda texts: [e.ids for e in fast.encode_batch(texts, add_special_tokens=False)],
        lambda ids: fast.decode_batch(ids, skip_special_tokens=False),
    )
    yield (
        f"transformers {transformers.__version__} ({type(auto).__name__})",
        lambda texts: auto(texts, add_special_tokens=False)["input_ids"],
        lambda ids: [auto.decode(i, skip_special_tokens=False) for i in ids],
    )


def check_special_ids(folder, processor):
    """BOS before a text, and the roles of the special tokens as in the model file."""
    auto = transformers.AutoTokenizer.from_pretrained(folder)
    roles = {
        "bos": (auto.bos_token_id, processor.bos_id()),
        "eos": (auto.eos_token_id, processor.eos_id()),
        "unk": (auto.unk_token_id, processor.unk_id()),
    }
    wrong = [f"{role}: {ours}, the model file says {own}" for role, (ours, own) in roles.items() if ours != own]
    ids = auto("text")["input_ids"]
    if ids[:1] != [processor.bos_id()] or ids[1:] != processor.encode("text"):
        wrong.append(f"ids with special tokens are {ids}")
    if auto.decode(ids, skip_special_tokens=True) != "text":
        wrong.append(f"decoded without special tokens it is {auto.decode(ids, skip_special_tokens=True)!r}")
    return wrong


def check(folder, paths):
    processor = sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model"))
    loaded = list(engines(folder))
    found = {name: {"encode": 0, "decode": 0, "examples": []} for name, _, _ in loaded}
    if any(path.endswith(".json") for path in paths):
        found["sentencepiece against expected"] = {"encode": 0, "decode": 0, "examples": []}
    count = 0

    def note(name, kind, text, got, expected):
        found[name][kind] += 1
        if len(found[name]["examples"]) < EXAMPLES:
            found[name]["examples"].append({"kind": kind, "text": text, "got": got, "expected": expected})

    for path in paths:
        for batch in batches(read_texts(path)):
            texts = [text for text, _, _ in batch]
            ids = processor.encode(texts)
            decoded = processor.decode(ids)
            count += len(texts)
            for (text, want_ids, want_decoded), i, d in zip(batch, ids, decoded):
                if want_ids is not None and want_ids != i:
                    note("sentencepiece against expected", "encode", text, i, want_ids)
                if want_decoded is not None and want_decoded != d:
                    note("sentencepiece against expected", "decode", text, d, want_decoded)
            for name, encode, decode in loaded:
                for text, got, expected in zip(texts, encode(texts), ids):
                    if list(got) != expected:
                        note(name, "encode", text, list(got), expected)
                for text, got, expected in zip(texts, decode(ids), decoded):
                    if got != expected:
                        note(name, "decode", text, got, expected)
    return {"folder": folder, "texts": count, "special": check_special_ids(folder, processor), "engines": found}


def main(arguments):
    if "--" not in arguments:
        print(__doc__, file=sys.stderr)
        return 2
    split = arguments.index("--")
    folders, paths = arguments[:split], arguments[split + 1 :]
    reports = [check(folder, paths) for folder in folders]
    wrong = False
    for report in reports:
        name = os.path.basename(os.path.normpath(report["folder"]))
        for what in report["special"]:
            wrong = True
            print(f"FAILED tokenizer {name}: {what}")
        for engine, found in report["engines"].items():
            good = found["encode"] == 0 and found["decode"] == 0
            wrong = wrong or not good
            counts = f"{report['texts']} texts, {found['encode']} encoded and {found['decode']} decoded differently"
            print(f"{'ok' if good else 'FAILED'} tokenizer {name}, {engine}: {counts}")
            for example in found["examples"]:
                print(f"  {json.dumps(example)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
