"""Looks, without a network, for what openllama has pulled, as huggingface_hub does.

usage: check_hub_cache.py REPOSITORY FOLDER

FOLDER has the same files. Prints an `ok …` or a `FAILED …` line.
"""

import filecmp
import sys
from pathlib import Path

import huggingface_hub
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download, try_to_load_from_cache

repository, folder = sys.argv[1], Path(sys.argv[2])
expected = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
what = f"huggingface_hub {huggingface_hub.__version__}: finds {repository} as openllama has pulled it"
try:
    there = Path(snapshot_download(repository))
    for name in expected:
        path = Path(hf_hub_download(repository, name))
        assert path == there / name == Path(try_to_load_from_cache(repository, name)), path
        assert filecmp.cmp(path, folder / name, shallow=False), f"{name} is another"
    report = scan_cache_dir()
    assert not report.warnings, report.warnings
    found = [repo for repo in report.repos if repo.repo_id == repository]
    assert found and found[0].refs.keys() == {"main"}, found
    print(f"ok {what}")
except Exception as error:
    print(f"FAILED {what}: {error!r}")
    sys.exit(1)
