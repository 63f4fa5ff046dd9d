"""Holds the tests' own Hub against huggingface_hub: what goes up comes down, byte for byte.

usage: check_hub.py WORK

HF_ENDPOINT and HF_TOKEN name the Hub; WORK is an empty folder. Prints `ok …` or `FAILED …` lines.
"""

import hashlib
import os
import random
import sys
import traceback
from pathlib import Path

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

VERSION = huggingface_hub.__version__
REPO = f"tester/python-{VERSION.replace('.', '-')}"
failed = 0


def step(what):
    def run(work):
        global failed
        try:
            work()
            print(f"ok huggingface_hub {VERSION}: {what}")
        except Exception:
            failed += 1
            print(f"FAILED huggingface_hub {VERSION}: {what}\n{traceback.format_exc()}")
        return work

    return run


def raises(kind, work):
    try:
        work()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} is expected")


def files(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }


work = Path(sys.argv[1])
source = work / "source"
(source / "sub" / "deeper").mkdir(parents=True)
noise = random.Random(7)
(source / "config.json").write_text('{"model_type": "llama"}\n')
(source / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Ünï\n")
(source / "sub" / "a b#c%20.txt").write_text("a name that must be escaped\n")
(source / "sub" / "deeper" / "small.safetensors").write_bytes(noise.randbytes(3000))
(source / "model.safetensors").write_bytes(noise.randbytes(11 * 1024 * 1024))
(source / "large.bin").write_bytes(noise.randbytes(13 * 1024 * 1024 + 5))
api = HfApi()


@step("whoami, create, info")
def _():
    assert api.whoami()["name"] == "tester"
    api.create_repo(REPO, private=True)
    raises(HfHubHTTPError, lambda: api.create_repo(REPO))
    api.create_repo(REPO, exist_ok=True)
    assert api.model_info(REPO).private
    raises(RepositoryNotFoundError, lambda: api.model_info("tester/none"))
    raises(HfHubHTTPError, lambda: api.model_info(REPO, token=False))


@step("upload_folder: small files, a large file in one piece, one in parts")
def _():
    api.upload_folder(repo_id=REPO, folder_path=source, commit_message="all")
    assert set(api.list_repo_files(REPO)) == {*files(source), ".gitattributes"}
    info = {f.path: f for f in api.get_paths_info(REPO, ["model.safetensors", "config.json", "sub"])}
    assert info["model.safetensors"].lfs.sha256 == files(source)["model.safetensors"]
    assert info["config.json"].lfs is None


@step("snapshot_download, hf_hub_download")
def _():
    there = Path(snapshot_download(REPO))
    got = files(there)
    del got[".gitattributes"]
    assert got == files(source), got
    one = hf_hub_download(REPO, "large.bin", local_dir=work / "one")
    assert files(Path(one).parent)["large.bin"] == files(source)["large.bin"]
    raises(EntryNotFoundError, lambda: hf_hub_download(REPO, "none.bin"))
    raises(RevisionNotFoundError, lambda: hf_hub_download(REPO, "large.bin", revision="none"))


@step("the same again sends nothing; a file is deleted")
def _():
    before = api.model_info(REPO).sha
    api.upload_folder(repo_id=REPO, folder_path=source, commit_message="again")
    assert api.model_info(REPO).sha == before
    api.create_commit(REPO, [CommitOperationDelete("config.json")], commit_message="less")
    assert "config.json" not in api.list_repo_files(REPO)
    assert "config.json" in api.list_repo_files(REPO, revision=before)


@step("branches, tags, a pull request and its merge")
def _():
    api.create_branch(REPO, branch="side")
    raises(HfHubHTTPError, lambda: api.create_branch(REPO, branch="side"))
    api.create_tag(REPO, tag="v1", revision="side")
    add = CommitOperationAdd("notes.txt", b"hello")
    made = api.create_commit(REPO, [add], commit_message="a request", create_pr=True)
    assert made.pr_revision == f"refs/pr/{made.pr_num}", made
    assert "notes.txt" not in api.list_repo_files(REPO)
    assert "notes.txt" in api.list_repo_files(REPO, revision=made.pr_revision)
    api.merge_pull_request(REPO, made.pr_num)
    assert api.get_discussion_details(REPO, made.pr_num).status == "merged"
    assert "notes.txt" in api.list_repo_files(REPO)
    names = [ref.name for ref in api.list_repo_refs(REPO, include_pull_requests=True).branches]
    assert names == ["main", "side"], names


@step("who may only read cannot write; a stale parent is refused")
def _():
    add = CommitOperationAdd("more.txt", b"x")
    reader = os.environ["HF_READER"]
    api.update_repo_settings(REPO, private=False)
    raises(HfHubHTTPError, lambda: HfApi(token=reader).create_commit(REPO, [add], commit_message="no"))
    old = api.list_repo_commits(REPO)[-1].commit_id
    raises(HfHubHTTPError, lambda: api.create_commit(REPO, [add], commit_message="no", parent_commit=old))


@step("cards are validated")
def _():
    # Not ModelCard.validate: 0.36 asks huggingface.co, whatever HF_ENDPOINT says.
    api._validate_yaml("---\nlicense: apache-2.0\n---\n# x", repo_type="model")
    wrong = "---\nlicense: no-such-license\n---\n# x"
    raises(ValueError, lambda: api._validate_yaml(wrong, repo_type="model"))


sys.exit(1 if failed else 0)
