"""The check's figures, computed once more from transformers' logits.

usage: check_parity.py <check --json> <artifact folder> <source folder> <corpus>
"""

import json
import sys

import sentencepiece
import torch
from transformers import AutoModelForCausalLM

limit = 1e-3


def main(path, artifact, source, corpus):
    with open(path) as file:
        parity = json.load(file)["parity"]
    metrics = {metric["name"]: metric["value"] for metric in parity["metrics"]}
    processor = sentencepiece.SentencePieceProcessor(model_file=f"{source}/tokenizer.model")
    with open(corpus, encoding="utf-8") as file:
        ids = [1, *processor.encode(file.read())]
    count = parity["positions"]
    ours, theirs = (log_probabilities(folder, ids[:count]) for folder in (artifact, source))
    following = torch.tensor(ids[1 : count + 1])
    kld = (theirs.exp() * (theirs - ours)).sum(-1)
    expected = {
        "kld_mean": kld.mean(),
        "kld_median": kld.sort().values[(count + 1) // 2 - 1],
        "top1_agreement": (ours.argmax(-1) == theirs.argmax(-1)).double().mean(),
        "perplexity": perplexity(ours, following),
        "perplexity_source": perplexity(theirs, following),
    }
    assert count >= 200, count
    assert expected["kld_mean"] > 1e-4, "the two are too near for a relative comparison"
    for name, value in expected.items():
        error = abs(metrics[name] - float(value)) / float(value)
        told = "ok" if error < limit else "FAILED"
        print(f"{told} parity {artifact.split('/')[-2]}: {name} {metrics[name]:.6g}, transformers {float(value):.6g}")


def log_probabilities(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    return logits.double().log_softmax(-1)


def perplexity(logs, following):
    return (-logs.gather(1, following[:, None]).mean()).exp()


main(*sys.argv[1:])
