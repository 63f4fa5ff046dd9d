"""Saves a model as training software and users do, one folder a way, for openllama to read.

usage: save_kinds.py MODEL OUT

MODEL is a folder of transformers. Each folder in OUT has the model's configuration and its weights,
in bf16. Prints the names of the folders as JSON.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file, save_model
from transformers import AutoModelForCausalLM

source, out = Path(sys.argv[1]), Path(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
state = model.state_dict()
made = []


def folder(name):
    path = out / name
    path.mkdir(parents=True)
    shutil.copy(source / "config.json", path)
    made.append(name)
    return path


def torch_save(name, value, file="pytorch_model.bin", **options):
    torch.save(value, folder(name) / file, **options)


torch_save("plain", state)
torch_save("legacy", state, _use_new_zipfile_serialization=False)
torch_save("protocol-4", state, pickle_protocol=4)
torch_save("data-parallel", torch.nn.DataParallel(model).state_dict())
torch_save("compiled", torch.compile(model).state_dict())
torch_save("compiled-data-parallel", torch.nn.DataParallel(torch.compile(model)).state_dict())
torch_save("parameters", {name: torch.nn.Parameter(tensor) for name, tensor in state.items()})
torch_save("bare", model.model.state_dict() | {"lm_head.weight": state["lm_head.weight"]})

# Views: transposed, windows on one storage with an offset, every second row, a wider matrix's columns.
views = dict(state)
for name, tensor in state.items():
    if tensor.dim() != 2:
        padded = torch.zeros(tensor.numel() * 3, dtype=tensor.dtype)
        padded[5 : 5 + 2 * tensor.numel() : 2] = tensor
        views[name] = padded[5 : 5 + 2 * tensor.numel() : 2]
    elif "q_proj" in name:
        views[name] = tensor.t().contiguous().t()
    elif "k_proj" in name:
        wide = torch.zeros(tensor.shape[0] * 2, tensor.shape[1] + 7, dtype=tensor.dtype)
        wide[::2, 3 : 3 + tensor.shape[1]] = tensor
        views[name] = wide[::2, 3 : 3 + tensor.shape[1]]
    elif "v_proj" in name:
        spread = torch.zeros(*tensor.shape, 3, dtype=tensor.dtype)
        spread[:, :, 1] = tensor
        views[name] = spread[:, :, 1]
layer = "model.layers.0.mlp."
fused = torch.cat([state[layer + "gate_proj.weight"], state[layer + "up_proj.weight"]])
views[layer + "gate_proj.weight"], views[layer + "up_proj.weight"] = fused.chunk(2)
torch_save("views", views)
torch_save("views-legacy", views, _use_new_zipfile_serialization=False)

optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
sum(parameter.float().sum() for parameter in model.parameters()).backward()
clean = {name: tensor.clone() for name, tensor in state.items()}
optimizer.step()
training = {
    "epoch": 3,
    "global_step": 7,
    "state_dict": {"model." + name: tensor for name, tensor in clean.items()},
    "optimizer_states": [optimizer.state_dict()],
    "lr_schedulers": [],
    "hyper_parameters": {"dtype": torch.bfloat16, "size": torch.Size([1, 2]), "device": torch.device("cpu")},
}
torch_save("lightning", training, "last.ckpt")
trainer = folder("trainer")
save_file(clean, trainer / "model.safetensors", metadata={"format": "pt"})
torch.save(optimizer.state_dict(), trainer / "optimizer.pt")
torch.save({"last_epoch": 1}, trainer / "scheduler.pt")
torch.save({"python": None, "cpu": torch.get_rng_state()}, trainer / "rng_state.pth")

model.load_state_dict(clean)
save_model(model, str(folder("save_model") / "model.safetensors"))
shards = folder("shards")
model.save_pretrained(shards, max_shard_size="500KB")
next(shards.glob("*.index.json")).unlink()
compiled = {"_orig_mod." + name: tensor.contiguous() for name, tensor in clean.items()}
save_file(compiled, folder("compiled-safetensors") / "model.safetensors")

print(json.dumps(made))
