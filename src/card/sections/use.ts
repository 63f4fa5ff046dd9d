import type { Traits } from '../../formats/format.js'
import { traitsOf } from '../../formats/index.js'
import type { Artifact } from '../artifacts.js'
import { codeBlock, literal, shellWord } from '../markdown.js'
import type { Subject } from '../subject.js'

/** What the examples let the model continue. */
const prompt = 'The largest animal is'

/** How to load what is in the directory: an example for each program that takes it, to be run as it stands. */
export function useSection(subject: Subject): string {
  const parts = [
    transformers(subject),
    llamaCpp(subject),
    onnxRuntime(subject),
    transformersJs(subject),
    stream(subject),
    msgpack(subject),
    torchParts(subject),
  ].filter((part) => part !== '')
  if (parts.length === 0) return ''
  const where = subject.repo === undefined ? ['Run the examples in the folder of this card.'] : []
  return ['## Use', ...where, ...parts].join('\n\n')
}

function has({ others }: Subject, name: string): boolean {
  return others.some((file) => file.name === name)
}

/** What is loaded so: of several formats, that which a card is for first. */
function loadedBy({ artifacts }: Subject, loading: Traits['loading']): Artifact | undefined {
  const rankOf = ({ format }: Artifact) => traitsOf(format).rank
  return artifacts
    .filter(({ format }) => traitsOf(format).loading === loading)
    .sort((a, b) => rankOf(a) - rankOf(b))[0]
}

function transformers(subject: Subject): string {
  const artifact = loadedBy(subject, 'from_pretrained')
  if (artifact === undefined || !has(subject, 'config.json')) return ''
  const where = literal(subject.repo ?? '.')
  // A tokenizer of somebody else's may give transformers 4 more than a model takes.
  const inputs = subject.tokenizerIsChecked ? '**inputs' : 'inputs.input_ids'
  const load = `model = AutoModelForCausalLM.from_pretrained(${where}, dtype="auto")`
  const text =
    has(subject, 'tokenizer.json') || has(subject, 'tokenizer.model')
      ? `from transformers import AutoModelForCausalLM, AutoTokenizer

${load}
tokenizer = AutoTokenizer.from_pretrained(${where})
inputs = tokenizer(${literal(prompt)}, return_tensors="pt")
output = model.generate(${inputs}, max_new_tokens=32, do_sample=False)
print(tokenizer.decode(output[0], skip_special_tokens=True))`
      : `import torch
from transformers import AutoModelForCausalLM

${load}
print(model(torch.tensor([[1]])).logits.shape)`
  return [
    '### transformers',
    codeBlock('python', text),
    tokenizerAdvice(subject),
    'Before transformers 4.56, `dtype` was called `torch_dtype`.',
  ].join('\n\n')
}

/** What is right for this model's tokenizer, and what the automatic conversion would do to it. */
function tokenizerAdvice(subject: Subject): string {
  const { mergesSpaces, release, tokenizerIsChecked } = subject
  const here = placeOf(subject)
  const isOpenLlama =
    release !== undefined || (subject.tokenizer?.generation.startsWith('openllama') ?? false)
  const spaces =
    mergesSpaces === undefined
      ? ''
      : mergesSpaces
        ? ' As in training, it merges runs of spaces into one and drops spaces at both ends of a text.'
        : ' As in training, it keeps every space.'
  const scores = isOpenLlama ? ', and evaluations with it give scores that are too low' : ''
  const wrong = `the tokenizer that transformers itself derives from \`tokenizer.model\` differs from SentencePiece wherever there are runs of spaces${scores}`
  if (tokenizerIsChecked) {
    return `**Tokenizer:** \`AutoTokenizer\` loads the \`tokenizer.json\` of this ${here}, which was verified against SentencePiece when it was written.${spaces} Keep it next to the weights: ${wrong}. Special tokens that are spelled out in a text, such as \`<s>\`, are read as plain text; with \`tokenizer(text, split_special_tokens=False)\` they are read as special tokens.`
  }
  if (has(subject, 'tokenizer.json')) {
    return `**Tokenizer:** the \`tokenizer.json\` of this ${here} was not written by openllama and has not been verified.${spaces} \`openllama tokenizer check .\` compares it with SentencePiece: ${wrong}.`
  }
  if (has(subject, 'tokenizer.model')) {
    return `**Tokenizer:** there is no \`tokenizer.json\` in this ${here}.${spaces} Write a verified one with \`openllama tokenizer convert . --to tokenizer.json\`, or load the slow tokenizer of transformers 4 with \`use_fast=False\`: ${wrong}.`
  }
  return `There is no tokenizer in this ${here}, so the example only shows the shape of the logits.`
}

function placeOf({ repo }: Subject): string {
  return repo === undefined ? 'folder' : 'repository'
}

function llamaCpp(subject: Subject): string {
  const all = subject.artifacts.filter(({ format }) => traitsOf(format).engine === 'llama.cpp')
  // Most people want the usual compromise of size and quality.
  const chosen = all.find(({ files }) => /q4_k_m/i.test(files[0]?.name ?? '')) ?? all[0]
  const file = chosen?.files[0]
  if (file === undefined) return ''
  const where =
    subject.repo === undefined
      ? `-m ${shellWord(file.name)}`
      : `--hf-repo ${shellWord(subject.repo)} --hf-file ${shellWord(file.name)}`
  // Flags as in common/arg.cpp of llama.cpp (August 2026).
  const parts = [
    '### llama.cpp',
    codeBlock(
      'sh',
      `llama-completion ${where} \\\n  -p ${shellWord(prompt)} -n 32 --temp 0 -no-cnv`,
    ),
    'In older versions of llama.cpp the program is called `llama-cli`.',
  ]
  if (subject.mergesSpaces === true) {
    parts.push(
      'llama.cpp does not merge spaces as this model\'s tokenizer does. Merge runs of spaces in the prompt, with `tr -s " "` for example, and strip its ends.',
    )
  }
  return parts.join('\n\n')
}

/** Graphs, and transformers.js's names for what they are. */
const graphTypes: readonly (readonly [file: string, dtype: string])[] = [
  ['onnx/model.onnx', 'fp32'],
  ['onnx/model_fp16.onnx', 'fp16'],
  ['onnx/model_quantized.onnx', 'q8'],
  ['onnx/model_q4.onnx', 'q4'],
  ['onnx/model_q4f16.onnx', 'q4f16'],
]

function graphsOf({ artifacts }: Subject): string[] {
  return artifacts
    .filter(({ format }) => traitsOf(format).graph)
    .flatMap(({ files }) => files.find(({ name }) => name.endsWith('.onnx'))?.name ?? [])
}

function onnxRuntime(subject: Subject): string {
  const [graph] = graphsOf(subject)
  if (graph === undefined || !has(subject, 'config.json') || !has(subject, 'tokenizer.json')) {
    return ''
  }
  const { repo } = subject
  const imports = repo === undefined ? '' : 'from huggingface_hub import snapshot_download\n'
  const folder =
    repo === undefined
      ? '"."'
      : `snapshot_download(${literal(repo)}, allow_patterns=["*.json", ${literal(`${graph}*`)}])`
  const text = `import json

import numpy as np
import onnxruntime
${imports}from tokenizers import Tokenizer

folder = ${folder}
with open(f"{folder}/config.json") as file:
    config = json.load(file)
end = np.atleast_1d(config["eos_token_id"])
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
session = onnxruntime.InferenceSession(f"{folder}/" + ${literal(graph)})
names = [output.name for output in session.get_outputs()]
past = [node for node in session.get_inputs() if node.name.startswith("past_key_values")]
kind = np.float16 if past[0].type == "tensor(float16)" else np.float32
cache = {node.name: np.zeros((1, node.shape[1], 0, node.shape[3]), kind) for node in past}
ids = tokenizer.encode(${literal(prompt)}).ids
new = ids
for _ in range(32):
    feed = {
        "input_ids": np.array([new], np.int64),
        "attention_mask": np.ones((1, len(ids)), np.int64),
        "position_ids": np.arange(len(ids) - len(new), len(ids), dtype=np.int64)[None],
        **cache,
    }
    output = dict(zip(names, session.run(None, feed)))
    new = [int(output["logits"][0, -1].argmax())]
    if new[0] in end:
        break
    ids = ids + new
    cache = {node.name: output[node.name.replace("past_key_values", "present")] for node in past}
print(tokenizer.decode([id for id in ids if id != config["bos_token_id"]]))`
  return ['### ONNX Runtime', codeBlock('python', text)].join('\n\n')
}

function transformersJs(subject: Subject): string {
  const graphs = graphsOf(subject)
  const known = graphTypes.find(([file]) => graphs.includes(file))
  if (known === undefined || !has(subject, 'config.json') || !has(subject, 'tokenizer.json')) {
    return ''
  }
  const { repo } = subject
  const [imports, local, where] =
    repo === undefined
      ? [
          'env, pipeline',
          'env.allowRemoteModels = false\nenv.localModelPath = "../"\n',
          'basename(process.cwd())',
        ]
      : ['pipeline', '', literal(repo)]
  const path = repo === undefined ? 'import { basename } from "node:path"\n' : ''
  const text = `${path}import { ${imports} } from "@huggingface/transformers"

${local}const generate = await pipeline("text-generation", ${where}, { dtype: ${literal(known[1])} })
const options = { max_new_tokens: 32, do_sample: false }
const [{ generated_text }] = await generate(${literal(prompt)}, options)
console.log(generated_text)`
  return ['### transformers.js', codeBlock('js', text)].join('\n\n')
}

/** A file of the repository, or of the folder, as a Python expression with what it needs. */
function located({ repo }: Subject, file: string): { imports: string; path: string } {
  if (repo === undefined) return { imports: '', path: literal(file) }
  return {
    imports: 'from huggingface_hub import hf_hub_download\n',
    path: `hf_hub_download(${literal(repo)}, ${literal(file)})`,
  }
}

function stream(subject: Subject): string {
  const file = loadedBy(subject, 'stream')?.files[0]
  if (file === undefined) return ''
  const { imports, path } = located(subject, file.name)
  const text = `import msgpack
from flax.serialization import from_bytes
${imports}
params = {}
with open(${path}, "rb") as stream:
    for key, value in msgpack.Unpacker(stream, read_size=83886080, max_buffer_size=0):
        params["/".join(key)] = from_bytes(None, value)
print(len(params), "arrays")`
  return [
    '### EasyLM',
    serve(subject, 'params', file.name),
    'To load the arrays without EasyLM:',
    codeBlock('python', text),
  ].join('\n\n')
}

function msgpack(subject: Subject): string {
  const file = loadedBy(subject, 'msgpack')?.files[0]
  if (file === undefined) return ''
  const { imports, path } = located(subject, file.name)
  const text = `from flax.serialization import msgpack_restore
${imports}
with open(${path}, "rb") as file:
    params = msgpack_restore(file.read())
print(list(params))`
  return [
    '### EasyLM and Flax',
    serve(subject, 'flax_params', file.name),
    'To load the arrays without EasyLM:',
    codeBlock('python', text),
  ].join('\n\n')
}

/** Flags of EasyLM's LLaMAConfigurator, which has no field for the size of a head. */
const easylmFields = [
  'vocab_size',
  'hidden_size',
  'intermediate_size',
  'num_hidden_layers',
  'num_attention_heads',
  'num_key_value_heads',
  'max_position_embeddings',
  'rms_norm_eps',
  'rope_theta',
] as const

/**
 * EasyLM's own server. The kinds of checkpoint (`params`, `flax_params`), flags and names of models
 * are those of EasyLM/checkpoint.py and EasyLM/models/llama of its last version (August 2024); its
 * documentation says `flax::`, which its code does not take.
 */
function serve(subject: Subject, kind: 'params' | 'flax_params', file: string): string {
  const { config, release, repo } = subject
  const size = /_(3b|7b|13b)(?:_|$)/.exec(release?.id ?? '')?.[1]
  const geometry =
    size === undefined
      ? easylmFields.flatMap((field) =>
          config === undefined ? [] : `--llama.${field}=${config[field]}`,
        )
      : [`--llama.base_model=llama_${size}`]
  const tokenizer = [`--tokenizer=${shellWord(release?.repository ?? repo ?? '.')}`]
  const flags = [`--load_checkpoint=${shellWord(`${kind}::${file}`)}`, ...tokenizer, ...geometry]
  const command = ['python -m EasyLM.models.llama.llama_serve', ...flags].join(' \\\n  ')
  const download =
    repo === undefined ? '' : `hf download ${shellWord(repo)} ${shellWord(file)} --local-dir .\n`
  return [
    'To serve the model with [EasyLM](https://github.com/young-geng/EasyLM):',
    codeBlock('sh', download + command),
  ].join('\n\n')
}

function torchParts(subject: Subject): string {
  const files = loadedBy(subject, 'parts')?.files ?? []
  const [first] = files
  if (first === undefined) return ''
  const { repo } = subject
  const names = `[${files.map(({ name }) => literal(name)).join(', ')}]`
  const text = `import torch
${repo === undefined ? '' : 'from huggingface_hub import hf_hub_download\n'}
names = ${names}
paths = ${repo === undefined ? 'names' : `[hf_hub_download(${literal(repo)}, name) for name in names]`}
shards = [torch.load(path, map_location="cpu", weights_only=True) for path in paths]
print(len(shards[0]), "tensors in each of", len(shards), "files")`
  return [
    '### PyTorch',
    "The files have the layout that Meta's own LLaMA code expects.",
    codeBlock('python', text),
  ].join('\n\n')
}
