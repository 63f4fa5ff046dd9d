"""Fetches what openllama has pushed, as huggingface_hub does.

usage: check_hub_push.py REPOSITORY FOLDER

FOLDER is what was pushed, to main and as a pull request. Prints `ok …` or `FAILED …` lines.
"""

import filecmp
import sys
import tempfile
from pathlib import Path

import huggingface_hub
from huggingface_hub import HfApi, ModelCard, get_repo_discussions, snapshot_download

repository, folder = sys.argv[1], Path(sys.argv[2])
expected = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
what = f"huggingface_hub {huggingface_hub.__version__}: {repository} as openllama has pushed it"
try:
    api = HfApi()
    with tempfile.TemporaryDirectory() as empty:
        for revision in ["main", "refs/pr/1"]:
            there = Path(snapshot_download(repository, revision=revision, cache_dir=empty))
            found = sorted(str(p.relative_to(there)) for p in there.rglob("*") if p.is_file())
            missing = ["only-there.txt"] if revision == "main" else []
            assert found == sorted([".gitattributes", *(set(expected) - set(missing))]), found
            for name in found:
                if name == ".gitattributes":
                    continue
                assert filecmp.cmp(there / name, folder / name, shallow=False), f"{name} is another"
    [request] = get_repo_discussions(repository)
    assert request.is_pull_request and request.status == "open" and request.title == "Add one", request
    card = ModelCard.load(repository)
    assert card.data.license == "apache-2.0", card.data
    # Nothing is left to do for Python.
    before = api.model_info(repository, revision="refs/pr/1").sha
    api.upload_folder(repo_id=repository, folder_path=folder, revision="refs/pr/1")
    assert api.model_info(repository, revision="refs/pr/1").sha == before
    print(f"ok {what}")
except Exception as error:
    print(f"FAILED {what}: {error!r}")
    sys.exit(1)
