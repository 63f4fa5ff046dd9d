"""Holds model cards against huggingface_hub, PyYAML, a Markdown renderer, and the programs that their examples are for.

usage: check_cards.py [--endpoint URL] [--elsewhere | --no-examples] FOLDER...

Each folder has a README.md. huggingface_hub must load it, find in it the results that its YAML has, and
write them back the same; a file in .eval_results must be one to huggingface_hub too; a Hub at URL, where one is
given, must take the card. Every Python example of the card is run as it stands with this interpreter: in the
folder, or, --elsewhere, in an empty one, with everything from the Hub. Charts must be whole and ask for nothing from elsewhere. Prints a line a folder; exit code 1
where anything is wrong.
"""
import argparse
import datetime
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

import yaml
from markdown_it import MarkdownIt

parser = argparse.ArgumentParser()
parser.add_argument("--endpoint")
parser.add_argument("--elsewhere", action="store_true")
parser.add_argument("--no-examples", action="store_true")
parser.add_argument("folders", nargs="+", type=pathlib.Path)
arguments = parser.parse_args()
if arguments.endpoint is not None:
    # Read when huggingface_hub is imported.
    os.environ["HF_ENDPOINT"] = arguments.endpoint
    os.environ.pop("HF_HUB_OFFLINE", None)

import huggingface_hub
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

try:
    from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries
except ImportError:
    parse_eval_result_entries = None

# What a card may have, and of which kind: the documented specification of the metadata.
TEXT = {"license", "library_name", "pipeline_tag", "base_model_relation"}
TEXTS = {"language", "datasets", "tags", "base_model"}
RELATIONS = {"adapter", "merge", "quantized", "finetune"}


def plain(value) -> None:
    """YAML that is read the same by all has no dates, and no keys that are not texts."""
    if isinstance(value, dict):
        for key, each in value.items():
            assert isinstance(key, str), f"key {key!r}"
            plain(each)
    elif isinstance(value, list):
        for each in value:
            plain(each)
    else:
        assert value is None or isinstance(value, (str, int, float)), f"{value!r}"
        assert not isinstance(value, datetime.date), f"{value!r}"


def check_metadata(path: pathlib.Path) -> str:
    text = path.read_text(encoding="utf-8")
    raw = yaml.safe_load(re.match(r"---\n(.*?)^---", text, re.S | re.M)[1])
    plain(raw)
    for key in TEXT & raw.keys():
        assert isinstance(raw[key], str), key
    for key in TEXTS & raw.keys():
        assert all(isinstance(each, str) for each in ([raw[key]] if isinstance(raw[key], str) else raw[key])), key
    assert raw.get("base_model_relation", "quantized") in RELATIONS
    card = ModelCard.load(path)
    assert isinstance(card.data, ModelCardData)
    index = raw.get("model-index")
    results = 0
    if index is not None:
        name, parsed = model_index_to_eval_results(index)
        assert card.data.model_name == name == index[0]["name"]
        metrics = [metric for result in index[0]["results"] for metric in result["metrics"]]
        assert [each.metric_value for each in parsed] == [metric["value"] for metric in metrics]
        assert all(isinstance(each, EvalResult) and each.source_url for each in parsed)
        assert [each.metric_value for each in card.data.eval_results] == [m["value"] for m in metrics]
        again = eval_results_to_model_index(name, parsed)
        values = lambda index: sorted(
            (result["dataset"]["type"], metric["type"], metric["value"])
            for model in index
            for result in model["results"]
            for metric in result["metrics"]
        )
        assert values(again) == values(index)
        results = len(metrics)
    # Before 1.0 it asks huggingface.co, whatever the endpoint is.
    if arguments.endpoint is not None and not huggingface_hub.__version__.startswith("0."):
        card.validate()
    return f"{len(raw)} keys, {results} results"


def check_eval_results(folder: pathlib.Path) -> str:
    count = 0
    for path in sorted(folder.glob(".eval_results/*.yaml")):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        plain(data)
        if parse_eval_result_entries is not None:
            entries = parse_eval_result_entries(data)
            assert eval_result_entries_to_yaml(entries) == data, path.name
        count += len(data)
    return f"{count} in .eval_results"


def check_page(path: pathlib.Path) -> str:
    """Rendered as on the Hub: what our sections hold is no markup of somebody else's."""
    body = re.sub(r"\A---\r?\n.*?^---\r?\n", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert "<script" not in html
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings and len(set(headings)) == len(headings), headings
    for picture in re.findall(r'<img src="([^"]*)"', html):
        assert (path.parent / picture).is_file(), picture
    return f"{len(headings)} sections"


def check_chart(path: pathlib.Path) -> None:
    root = xml.etree.ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg", root.tag
    for element in root.iter():
        name = element.tag.split("}")[1]
        assert name in {"svg", "title", "desc", "style", "rect", "text", "line", "circle", "path"}, name
        assert not any("href" in key or "url(" in value for key, value in element.attrib.items())
        assert "NaN" not in "".join(element.attrib.values()), element.attrib
    assert "@import" not in path.read_text() and "url(" not in path.read_text()


def run_examples(path: pathlib.Path, cwd: pathlib.Path) -> str:
    outputs = []
    for example in re.findall(r"^```python\n(.*?)^```$", path.read_text(encoding="utf-8"), re.S | re.M):
        done = subprocess.run(
            [sys.executable, "-c", example], cwd=cwd, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{example}\n{done.stderr}"
        assert done.stdout.strip() != "", example
        outputs.append(done.stdout.strip().splitlines()[0])
    return f"{len(outputs)} examples run {outputs}"


failures = 0
for folder in arguments.folders:
    where = f"huggingface_hub {huggingface_hub.__version__} card {folder.parent.name}/{folder.name}"
    card = folder / "README.md"
    try:
        said = [check_metadata(card), check_eval_results(folder), check_page(card)]
        for chart in folder.glob("*.svg"):
            check_chart(chart)
        if arguments.no_examples:
            pass
        elif arguments.elsewhere:
            with tempfile.TemporaryDirectory() as empty:
                said.append(run_examples(card, pathlib.Path(empty)))
        else:
            said.append(run_examples(card, folder))
        print(f"ok {where}: {', '.join(said)}")
    except Exception as error:
        failures += 1
        print(f"FAILED {where}: {type(error).__name__}: {error}")
sys.exit(1 if failures else 0)
