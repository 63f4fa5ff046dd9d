"""Reads GGUF files with gguf-py, llama.cpp's own library: every key, every tensor.

    python test/interop/check_gguf.py FILE...               each file is read from end to end
    python test/interop/check_gguf.py --same FILE FILE      and both say the same, general.name aside

Prints one JSON line; ends with 1 where something is wrong.
"""

import hashlib
import json
import sys

from gguf import GGUFReader

# What GGUFReader puts beside the file's own keys.
ALIGNMENT = 32


def read(path):
    reader = GGUFReader(path)
    entries = {
        key: [[kind.name for kind in field.types], field.contents()]
        for key, field in reader.fields.items()
        if not key.startswith("GGUF.")
    }
    tensors = [
        [
            tensor.name,
            tensor.tensor_type.name,
            [int(size) for size in tensor.shape],
            hashlib.sha256(tensor.data.tobytes()).hexdigest(),
        ]
        for tensor in reader.tensors
    ]
    problems = [
        f"{path}: {tensor.name} begins at {tensor.data_offset}"
        for tensor in reader.tensors
        if tensor.data_offset % ALIGNMENT != 0
    ]
    return entries, tensors, problems


def differences(first, second):
    (entries, tensors, _), (other_entries, other_tensors, _) = first, second
    found = []
    if list(entries) != list(other_entries):
        found.append(f"keys: {list(entries)} and {list(other_entries)}")
    for key in entries.keys() & other_entries.keys():
        if key != "general.name" and entries[key] != other_entries[key]:
            found.append(f"{key}: {str(entries[key])[:80]} and {str(other_entries[key])[:80]}")
    if len(tensors) != len(other_tensors):
        found.append(f"{len(tensors)} and {len(other_tensors)} tensors")
    for ours, theirs in zip(tensors, other_tensors):
        if ours != theirs:
            found.append(f"{ours} and {theirs}")
    return found


def main(arguments):
    same = arguments[:1] == ["--same"]
    paths = arguments[1:] if same else arguments
    if len(paths) < (2 if same else 1):
        print(__doc__, file=sys.stderr)
        return 2
    files = [read(path) for path in paths]
    problems = [problem for file in files for problem in file[2]]
    if same:
        problems += differences(files[0], files[1])
    print(
        json.dumps(
            {
                "ok": not problems,
                "files": [
                    {"path": path, "keys": len(entries), "tensors": len(tensors)}
                    for path, (entries, tensors, _) in zip(paths, files)
                ],
                "problems": problems,
            }
        )
    )
    return 1 if problems else 0


sys.exit(main(sys.argv[1:]))
