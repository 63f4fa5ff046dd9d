"""Saves the random models of test/fixtures/architectures/models.py, and says what they compute.

usage: make_models.py OUT TOKENIZER PATTERN

Of each whose name the regular expression matches, writes OUT/NAME/model as transformers saves it,
with TOKENIZER beside it, and OUT/NAME/expected as check_onnx.py reads it: the logits of three texts of
different lengths, and greedy answers.
"""
import json
import pathlib
import re
import sys

import torch
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "fixtures" / "architectures"))
import models  # noqa: E402

# Each longer than the pieces that check_onnx.py cuts it into.
lengths = (41, 23, 14)
prompts = (
    "The blue whale is",
    "Q: What is the tallest animal?\nA:",
    "animal",
    "What is it of",
    "A: The",
    "Who is the largest",
    "Is the",
    "largest whale",
)
count = 3
answer = 12
# Between the likeliest token and the next, so that rounding decides nothing.
least_margin = 0.02


def greedy(model, prompt):
    ids, margin = list(prompt), float("inf")
    for _ in range(answer):
        best = model(torch.tensor([ids])).logits[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return ids, margin


def answers(model, vocabulary):
    """
    Of prompts whose answers are clear, and are not cut short by an end. Text is a LLaMA's alone: as
    Qwen2's, version 5 reads whatever tokenizer is there in Qwen2's own way.
    """
    spoken = model.config.model_type == "llama"
    found = []
    for text in prompts:
        prompt = [model.config.bos_token_id, *vocabulary.encode(text)]
        ids, margin = greedy(model, prompt)
        if margin >= least_margin and model.config.eos_token_id not in ids:
            found.append({"prompt": text if spoken else None, "prompt_ids": prompt, "ids": ids})
    assert len(found) >= count, f"{len(found)} prompts have clear answers"
    return found[:count]


@torch.no_grad()
def write_expected(model, vocabulary, folder):
    generator = torch.Generator().manual_seed(5)
    texts = {}
    for i, length in enumerate(lengths):
        ids = torch.randint(3, model.config.vocab_size, (length,), generator=generator)
        texts[f"{i}.input_ids"] = ids
        texts[f"{i}.logits"] = model(ids[None]).logits[0].clone()
    folder.mkdir()
    save_file(texts, folder / "logits.safetensors")
    (folder / "generate.json").write_text(json.dumps(answers(model, vocabulary)))


# Threads that wait for one another are slow where the machine has others to run.
torch.set_num_threads(1)
out = pathlib.Path(sys.argv[1])
vocabulary = SentencePieceProcessor(model_file=sys.argv[2])
chosen = [name for name in models.models if re.search(sys.argv[3], name)]
if not chosen:
    sys.exit(f"{sys.argv[3]} matches none of {', '.join(models.models)}")
for name in chosen:
    model = models.make(name)
    models.save(model, out / name / "model", sys.argv[2])
    write_expected(model, vocabulary, out / name / "expected")
