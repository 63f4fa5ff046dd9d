import type { Artifact } from './artifacts.js'
import { code, codeBlock, literal, shellWord } from './markdown.js'
import type { Subject } from './subject.js'

/** What the examples let the model continue. */
const prompt = 'The largest animal is'

/** How to load what is in the directory: an example for each program that takes it, to be run as it stands. */
export function useSection(subject: Subject): string {
  const parts = [
    transformers(subject),
    llamaCpp(subject),
    onnxRuntime(subject),
    transformersJs(subject),
    easylm(subject),
    flax(subject),
    meta(subject),
  ].filter((part) => part !== '')
  if (parts.length === 0) return ''
  const where =
    subject.repo === undefined ? ['The examples are to be run in the folder of this card.'] : []
  return ['## Use', ...where, ...parts].join('\n\n')
}

function has({ others }: Subject, name: string): boolean {
  return others.some((file) => file.name === name)
}

function firstOf({ artifacts }: Subject, format: Artifact['format']): Artifact | undefined {
  return artifacts.find((artifact) => artifact.format === format)
}

function transformers(subject: Subject): string {
  const artifact = firstOf(subject, 'safetensors') ?? firstOf(subject, 'pytorch')
  if (artifact === undefined || !has(subject, 'config.json')) return ''
  const where = literal(subject.repo ?? '.')
  const withTokenizer = has(subject, 'tokenizer.json') || has(subject, 'tokenizer.model')
  const load = `import torch
from transformers import AutoModelForCausalLM${withTokenizer ? ', AutoTokenizer' : ''}

model = AutoModelForCausalLM.from_pretrained(${where}, torch_dtype="auto")`
  const example = withTokenizer
    ? `${load}
tokenizer = AutoTokenizer.from_pretrained(${where})
inputs = tokenizer(${literal(prompt)}, return_tensors="pt")
output = model.generate(inputs.input_ids, max_new_tokens=32, do_sample=False)
print(tokenizer.decode(output[0], skip_special_tokens=True))`
    : `${load}
print(model(torch.tensor([[1]])).logits.shape)`
  const text = withTokenizer ? example.replace('import torch\n', '') : example
  return ['### transformers', codeBlock('python', text), tokenizerAdvice(subject)].join('\n\n')
}

/** What is right for this model's tokenizer, and what the automatic conversion would do to it. */
export function tokenizerAdvice(subject: Subject): string {
  const { mergesSpaces, release, tokenizerIsChecked } = subject
  const isOpenLlama =
    release !== undefined || (subject.tokenizer?.generation.startsWith('openllama') ?? false)
  const spaces =
    mergesSpaces === undefined
      ? ''
      : mergesSpaces
        ? 'It merges runs of spaces into one and drops those at both ends of a text, as in training.'
        : 'It keeps every space, as in training.'
  const wrong = `What transformers makes of ${isOpenLlama ? "OpenLLaMA's" : 'a'} \`tokenizer.model\` by itself differs from SentencePiece wherever spaces come in runs, and evaluations made with it come out too low`
  if (tokenizerIsChecked) {
    return `The tokenizer: \`AutoTokenizer\` loads the \`tokenizer.json\` of this folder, which was held against SentencePiece before it was written. ${spaces} Keep that file beside the weights: ${lower(wrong)}. Special tokens that a text spells, such as \`<s>\`, are text to it; \`tokenizer(text, split_special_tokens=False)\` makes tokens of them.`
  }
  if (has(subject, 'tokenizer.json')) {
    return `The tokenizer: the \`tokenizer.json\` of this folder was not made by this conversion. ${spaces} \`openllama tokenizer check .\` tells whether it equals SentencePiece. ${wrong}.`
  }
  if (has(subject, 'tokenizer.model')) {
    return `The tokenizer: there is no \`tokenizer.json\` in this folder. ${spaces} ${wrong}; make a right one with \`openllama tokenizer convert . --to tokenizer.json\`, or load the slow tokenizer with \`use_fast=False\` in transformers 4.`
  }
  return 'There is no tokenizer in this folder: the example shows logits only.'
}

function lower(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1)
}

function llamaCpp(subject: Subject): string {
  const all = subject.artifacts.filter(({ format }) => format === 'gguf')
  // Most people want the usual compromise of size and quality.
  const chosen = all.find(({ files }) => /q4_k_m/i.test(files[0]?.name ?? '')) ?? all[0]
  const file = chosen?.files[0]
  if (file === undefined) return ''
  const where =
    subject.repo === undefined
      ? `-m ${shellWord(file.name)}`
      : `--hf-repo ${shellWord(subject.repo)} --hf-file ${shellWord(file.name)}`
  const parts = [
    '### llama.cpp',
    codeBlock(
      'sh',
      `llama-completion ${where} \\\n  -p ${shellWord(prompt)} -n 32 --temp 0 -no-cnv`,
    ),
    'Older versions of llama.cpp call the program `llama-cli`.',
  ]
  if (subject.mergesSpaces === true) {
    parts.push(
      'llama.cpp keeps runs of spaces, which this model never saw: merge them in the prompt, and strip its ends. `tr -s " "` does the former.',
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
    .filter(({ format }) => format === 'onnx')
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
    end = np.atleast_1d(json.load(file)["eos_token_id"])
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
print(tokenizer.decode(ids))`
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

function easylm(subject: Subject): string {
  const file = firstOf(subject, 'easylm')?.files[0]
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
    `EasyLM's scripts take the file as ${code(`--load_checkpoint=params::${file.name}`)}. Without EasyLM:`,
    codeBlock('python', text),
  ].join('\n\n')
}

function flax(subject: Subject): string {
  const file = firstOf(subject, 'flax')?.files[0]
  if (file === undefined) return ''
  const { imports, path } = located(subject, file.name)
  const text = `from flax.serialization import msgpack_restore
${imports}
with open(${path}, "rb") as file:
    params = msgpack_restore(file.read())
print(list(params))`
  return [
    '### EasyLM and Flax',
    `EasyLM's scripts take the file as ${code(`--load_checkpoint=flax_params::${file.name}`)}. Without EasyLM:`,
    codeBlock('python', text),
  ].join('\n\n')
}

function meta(subject: Subject): string {
  const files = firstOf(subject, 'meta')?.files ?? []
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
    "The files are laid out as Meta's own code expects them.",
    codeBlock('python', text),
  ].join('\n\n')
}
