"""Holds our GGUFs against those that llama.cpp's converter and llama-quantize make of the same models.

usage: check_converter.py MODELS KIND,… NAME…           against converter.json of the fixtures
       check_converter.py MODELS KIND,… NAME… --write   writes it; needs LLAMA_CPP

For each NAME, MODELS/NAME/model is what transformers saved, MODELS/NAME/KIND.gguf is ours. With
LLAMA_CPP naming a folder of llama.cpp's source, in which llama-quantize is built below build/bin, its
programs run too, and each key, its place, and each byte of a tensor are compared. Prints a line a
model; exit code 1 on a mismatch.
"""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from gguf import GGUFReader

golden_path = pathlib.Path("test/fixtures/architectures/converter.json")
floats = ("f32", "f16", "bf16")


def is_float(kind: str) -> bool:
    """f32, or f32-fused: with queries, keys and values in one array."""
    return kind.split("-")[0] in floats


def short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def summary(path) -> dict:
    """Everything but where the file came from; of the tokenizer, a hash."""
    reader = GGUFReader(path)
    fields = {
        key: [[kind.name for kind in field.types], field.contents()]
        for key, field in reader.fields.items()
        if not key.startswith(("GGUF.", "general.name"))
    }
    tokenizer = {key: field for key, field in fields.items() if key.startswith("tokenizer.")}
    return {
        "keys": {key: field[1] for key, field in fields.items() if key not in tokenizer},
        "types": short(json.dumps({key: field[0] for key, field in sorted(fields.items())}).encode()),
        "tokenizer": short(json.dumps(sorted(tokenizer.items())).encode()),
        "tensors": {
            tensor.name: f"{tensor.tensor_type.name}{tensor.shape.tolist()} {short(tensor.data.tobytes())}"
            for tensor in reader.tensors
        },
    }


def theirs(llama: pathlib.Path, source, kinds, folder: pathlib.Path) -> dict:
    """What llama.cpp's programs make of a model, by the kind; the quantizer is given the f32."""
    environment = {**os.environ, "PYTHONPATH": str(llama / "gguf-py")}
    made = {kind: folder / f"{kind}.gguf" for kind in ["f32", *kinds]}
    for kind, path in sorted(made.items(), key=lambda item: not is_float(item[0])):
        outtype, *fused = kind.split("-")
        convert = [sys.executable, llama / "convert_hf_to_gguf.py", source, "--outtype", outtype]
        convert += ["--fuse-qkv"] if fused else []
        quantize = [llama / "build" / "bin" / "llama-quantize", made["f32"], path, kind]
        command = [*convert, "--outfile", path] if is_float(kind) else quantize
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, f"{command} ended with {ran.returncode}\n{ran.stderr[-2000:]}"
    return {kind: summary(made[kind]) for kind in kinds}


def differences(kind: str, ours: dict, wanted: dict, ordered: bool) -> list[str]:
    found = []
    for part in ("keys", "tensors"):
        for name in {**ours[part], **wanted[part]}:
            pair = [side[part].get(name) for side in (ours, wanted)]
            if pair[0] != pair[1]:
                found.append(f"{kind} {name}: {pair[0]} for {pair[1]}")
        # llama-quantize puts the keys that it changes at the end, which means nothing.
        if (ordered or part == "tensors") and list(ours[part]) != list(wanted[part]):
            found.append(f"{kind}: the {part} are in another order")
    for part in ("types", "tokenizer"):
        if ours[part] != wanted[part]:
            found.append(f"{kind}: the {part} differ" + (" of keys" if part == "types" else ""))
    return found


def pack(kinds: dict) -> dict:
    """The same without what is said twice: metadata once, and of each tensor its hashes."""
    first = next(iter(kinds.values()))
    return {
        "keys": {key: value for key, value in first["keys"].items() if key != "general.file_type"},
        "types": first["types"],
        "tokenizer": first["tokenizer"],
        "file_types": {kind: each["keys"]["general.file_type"] for kind, each in kinds.items()},
        "orders": {kind: short("\n".join(each["tensors"]).encode()) for kind, each in kinds.items()},
        "tensors": {
            name: " ".join(each["tensors"].get(name, "none") for each in kinds.values())
            for name in sorted({name for each in kinds.values() for name in each["tensors"]})
        },
    }


def weights_of(source: pathlib.Path) -> str:
    return short((source / "model.safetensors").read_bytes())


def main(arguments):
    models, kinds = pathlib.Path(arguments[0]), arguments[1].split(",")
    names = [name for name in arguments[2:] if not name.startswith("--")]
    write = "--write" in arguments
    llama = os.environ.get("LLAMA_CPP")
    golden = json.loads(golden_path.read_text()) if golden_path.exists() else {}
    failures = 0
    for name in names:
        ours = {kind: summary(models / name / f"{kind}.gguf") for kind in kinds}
        problems = []
        if llama is not None:
            with tempfile.TemporaryDirectory() as folder:
                source = models / name / "model"
                live = theirs(pathlib.Path(llama), source, kinds, pathlib.Path(folder))
            for kind in kinds:
                problems += differences(kind, ours[kind], live[kind], is_float(kind))
            if write:
                golden[name] = {"weights": weights_of(source), **pack(live)}
        packed, wanted = pack(ours), golden.get(name, {"tensors": {}})
        if wanted.get("weights") != weights_of(models / name / "model"):
            failures += 1
            print(f"FAILED {name}: converter.json is of other weights; is it another torch, or a new model?")
            continue
        for part in packed:
            if part != "tensors" and packed[part] != wanted.get(part):
                problems.append(f"{part}: {packed[part]} for {wanted.get(part)}")
        for tensor in {**packed["tensors"], **wanted["tensors"]}:
            pair = [side["tensors"].get(tensor) for side in (packed, wanted)]
            if pair[0] != pair[1]:
                problems.append(f"{tensor}: {pair[0]} for {pair[1]}")
        by = "llama.cpp's programs, and what they gave before" if llama else "what llama.cpp's programs gave"
        if problems:
            failures += 1
            print(f"FAILED {name} against {by}: {'; '.join(problems)[:1500]}")
        else:
            count = len(packed["tensors"])
            print(f"ok {name}: {count} tensors in {', '.join(kinds)}, and all keys, are {by}")
    if write:
        golden_path.write_text(json.dumps(golden, indent=0) + "\n")
    if llama is None:
        print("skipped: llama.cpp's programs themselves; LLAMA_CPP names their source, where it is")
    return 1 if failures else 0


sys.exit(main(sys.argv[1:]))
