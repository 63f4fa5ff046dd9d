import { readFileSync } from 'node:fs'
import { type Checkpoint, resolveCheckpoint } from '../../src/checkpoint/checkpoint.js'
import { describeCheckpoint, inspection } from '../../src/cli/inspection.js'
import { easylm } from '../../src/formats/flax/easylm.js'
import { flax } from '../../src/formats/flax/flax.js'
import type { Format } from '../../src/formats/format.js'
import { gguf } from '../../src/formats/gguf/gguf.js'
import { safetensors } from '../../src/formats/hf/safetensors.js'
import { formats } from '../../src/formats/index.js'
import { onnx } from '../../src/formats/onnx/onnx.js'
import { pytorch } from '../../src/formats/torch/pytorch.js'
import { OpenLlamaError } from '../../src/io/errors.js'
import { openCheckpoint } from '../../src/open/open.js'
import { loadTokenizer } from '../../src/tokenizer/load.js'
import { summarizeTokenizer } from '../../src/tokenizer/summary.js'
import { f32, modelEntries, modelTensors, rawGguf, text, texts, u32 } from '../support/gguf.js'
import { configJson } from '../support/listing.js'
import { type Model, tensorsOf } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { arraysOf, streamOf, treeOf } from '../support/stream.js'
import { zipOf } from '../support/zip.js'
import { type Files, place } from './memory-store.js'
import { bytesMutator } from './mutate.js'
import { jsonMutator } from './mutate-json.js'
import type { Target } from './target.js'

/** As few bytes as a model can have. */
const model: Model = {
  vocab: 3,
  hidden: 2,
  intermediate: 3,
  layers: 1,
  heads: 1,
  kvHeads: 1,
  headDim: 2,
}
const config = configJson(model)

/** Names of tensors in every format, their types and what else stands in headers. */
const words = [
  ...tensorsOf(model).flatMap(({ hf, easylm, meta, gguf }) => [hf, easylm, meta, gguf]),
  ...['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'dtype', 'shape', 'data_offsets', '__metadata__'],
  ...['float32', 'bfloat16', '_orig_mod.', 'module.', 'model.', 'rope_freqs.weight'],
]

/** Formats and their descriptions of it, as `inspect` and `convert --dry-run` do. */
async function describeAll(checkpoint: Checkpoint): Promise<void> {
  JSON.stringify(inspection({ kind: 'checkpoint', checkpoint, warnings: checkpoint.notes }, true))
  describeCheckpoint(checkpoint, undefined, true)
  for (const { describe } of formats) {
    try {
      await describe?.(checkpoint, { dtype: 'auto', modelParallel: 1 })
    } catch (error) {
      if (!(error instanceof OpenLlamaError)) throw error
    }
  }
}

/** Reads a file as its format does, and resolves what it lists. */
async function list(format: Format, name: string, bytes: Uint8Array, more: Files = {}) {
  place({ ...more, [name]: bytes })
  const listing = await format.open?.(`mem://m/${name}`)
  return listing && resolveCheckpoint(listing, { heads: 1 }, { beside: [] })
}

/** Opens one of some files, the input among them, with a configuration beside it. */
async function open(files: Files, path: string): Promise<Checkpoint> {
  place({ 'config.json': config, ...files })
  return openCheckpoint(`mem://m/${path}`)
}

const safetensorsHead = (() => {
  let position = 0
  const entries = tensorsOf(model).map(({ hf, shape }) => {
    const begin = position
    position += 2 * shape.reduce((product, n) => product * n, 1)
    return [hf, { dtype: 'BF16', shape, data_offsets: [begin, position] }]
  })
  return { json: JSON.stringify(Object.fromEntries(entries)), data: position }
})()

function safetensorsFile(json: Uint8Array | string, data = safetensorsHead.data): Uint8Array {
  const head = Buffer.from(json)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(head.length))
  return Buffer.concat([length, head, Buffer.alloc(data)])
}

const shards = (() => {
  const all: Record<string, unknown> = JSON.parse(safetensorsHead.json)
  const names = Object.keys(all)
  const files: Record<string, Uint8Array> = {}
  const map: Record<string, string> = {}
  for (const [i, part] of [names.slice(0, 5), names.slice(5)].entries()) {
    const file = `model-0000${i + 1}-of-00002.safetensors`
    let position = 0
    const entries = part.map((name) => {
      const { shape } = tensorsOf(model).find(({ hf }) => hf === name) ?? { shape: [0] }
      const begin = position
      position += 2 * shape.reduce((product, n) => product * n, 1)
      map[name] = file
      return [name, { dtype: 'F16', shape, data_offsets: [begin, position] }]
    })
    files[file] = safetensorsFile(JSON.stringify(Object.fromEntries(entries)), position)
  }
  return { files, index: JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }) }
})()

const vocabulary = [
  text('tokenizer.ggml.model', 'llama'),
  texts('tokenizer.ggml.tokens', ['<unk>', '<s>', '</s>']),
  u32('tokenizer.ggml.bos_token_id', 1),
]

const scaling = [
  text('llama.rope.scaling.type', 'yarn'),
  f32('llama.rope.scaling.factor', 4),
  u32('llama.rope.scaling.original_context_length', 32),
  f32('llama.rope.freq_base', 10000),
  text('general.name', 'a'),
  text('tokenizer.chat_template', '{{ a }}'),
]

const torch = [
  ...['strided.bin', 'tied.bin', 'strided-legacy.bin', 'strided-protocol4.bin'].map((name) =>
    fixture('pytorch', name),
  ),
  ...['lightning.ckpt', 'ckpt.pt', 'fp8.bin', 'marked.bin', 'views.bin', 'zero3.pt'].map((name) =>
    fixture('kinds', name),
  ),
].map((path) => readFileSync(path))

/** Kept small: a pickle that names one storage, and the storage. */
const pickles = torch.flatMap((bytes) => {
  const at = bytes.indexOf('data.pkl')
  if (at === -1) return []
  const begin = bytes.indexOf(0x80, at)
  const end = bytes.indexOf('PK', begin)
  return end > begin ? [bytes.subarray(begin, end)] : []
})

export const weightTargets: Target[] = [
  {
    name: 'safetensors',
    seeds: () => [safetensorsFile(safetensorsHead.json)],
    mutate: bytesMutator([...words, '"', '[', ']', '{', '}', '0', '1e5', ',']),
    run: (bytes) => list(safetensors, 'model.safetensors', bytes),
  },
  {
    name: 'safetensors-header',
    seeds: () => [safetensorsHead.json, '{"__metadata__":{"format":"pt"}}'],
    mutate: jsonMutator(words),
    run: (bytes) => list(safetensors, 'model.safetensors', safetensorsFile(bytes)),
  },
  {
    name: 'index',
    seeds: () => [shards.index],
    mutate: jsonMutator([...Object.keys(shards.files), 'weight_map', 'metadata', ...words]),
    run: (bytes) => list(safetensors, 'model.safetensors.index.json', bytes, shards.files),
  },
  {
    name: 'gguf',
    seeds: () => [
      rawGguf({ entries: modelEntries(model), tensors: modelTensors(model, 'f32') }),
      rawGguf({
        entries: modelEntries(model),
        tensors: modelTensors(model, 'bf16', true),
        bigEndian: true,
      }),
      rawGguf({ entries: [...modelEntries(model), ...vocabulary], tensors: [] }),
    ],
    mutate: bytesMutator([
      ...words,
      'GGUF',
      'llama',
      'llama.rope.scaling.type',
      'yarn',
      'general.alignment',
    ]),
    run: (bytes) => list(gguf, 'm.gguf', bytes),
  },
  {
    name: 'gguf-metadata',
    seeds: () => [
      rawGguf({
        entries: [...modelEntries(model), ...vocabulary, ...scaling],
        tensors: modelTensors(model, 'f16'),
      }),
    ],
    mutate: bytesMutator([
      ...['general.name', 'general.alignment', 'tokenizer.ggml.scores', 'tokenizer.chat_template'],
      ...['linear', 'yarn', 'longrope', 'llama3', 'gpt2', 'no_vocab', 'none', 'unigram', 't5'],
      ...['tokenizer.ggml.token_type', 'tokenizer.ggml.merges', 'llama.rope.scaling.attn_factor'],
    ]),
    async run(bytes) {
      const checkpoint = await open({ 'm.gguf': bytes }, 'm.gguf')
      await summarizeTokenizer(checkpoint)
      await loadTokenizer(checkpoint)
      return describeAll(checkpoint)
    },
  },
  {
    name: 'easylm',
    seeds: () => [streamOf(arraysOf(model, 'bfloat16')), streamOf(arraysOf(model, 'float32'))],
    mutate: bytesMutator(words),
    run: (bytes) => list(easylm, 'stream', bytes),
  },
  {
    name: 'flax',
    seeds: () => [
      treeOf(arraysOf(model, 'bfloat16')),
      treeOf(arraysOf(model, 'float32')),
      readFileSync(fixture('kinds', 'flax', 'flax_model.msgpack')),
    ],
    mutate: bytesMutator(words),
    run: (bytes) => list(flax, 'm.msgpack', bytes),
  },
  {
    name: 'torch',
    seeds: () => torch,
    mutate: bytesMutator([
      ...words,
      'PK\u0003\u0004',
      'PK\u0001\u0002',
      'data.pkl',
      'archive/data/0',
    ]),
    run: (bytes) => list(pytorch, 'm.bin', bytes),
  },
  {
    name: 'pickle',
    seeds: () => pickles,
    mutate: bytesMutator([
      ...words,
      ...['ctorch._utils\n_rebuild_tensor_v2\n', 'ccollections\nOrderedDict\n', 'cos\nsystem\n'],
      ...[
        'ctorch\nFloatStorage\n',
        'ctorch\nSize\n',
        'ctorch._utils\n_rebuild_tensor_v3\n',
        'ctorch._tensor\n_rebuild_from_type_v2\n',
        'ctorch.storage\nUntypedStorage\n',
        'ccollections\nCounter\n',
        'c__builtin__\nset\n',
        'model_args',
        'ctorch\nbfloat16\n',
        'storage',
        'cpu',
        ')R.',
        '}q',
      ],
    ]),
    run: (bytes) => {
      const archive = zipOf([
        { name: 'a/data.pkl', data: bytes },
        { name: 'a/byteorder', data: Buffer.from('little') },
        ...['0', '1', '2'].map((name) => ({ name: `a/data/${name}`, data: new Uint8Array(256) })),
        { name: 'a/version', data: Buffer.from('3\n') },
      ])
      return list(pytorch, 'm.bin', archive)
    },
  },
  {
    name: 'onnx',
    async seeds() {
      const opened = await open(
        { 'model.safetensors': safetensorsFile(safetensorsHead.json) },
        'model.safetensors',
      )
      const target = await onnx.describe?.(opened, { dtype: 'f32' })
      const graph = target?.files.find(({ name }) => name.endsWith('.onnx'))
      const bytes = Buffer.alloc(graph?.size ?? 0)
      for (const literal of graph?.literals ?? []) bytes.set(literal.bytes, literal.offset)
      return [bytes]
    },
    mutate: bytesMutator([...words, 'location', 'offset', 'length', 'MatMul', 'Gather', '../x']),
    run: (bytes) => list(onnx, 'model.onnx', bytes),
  },
  {
    name: 'config',
    seeds: () => [
      config,
      readFileSync(fixture('tiny-v2', 'config.json')),
      JSON.stringify({
        ...JSON.parse(config),
        rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 }, // biome-ignore format: one line
      }),
      JSON.stringify({ ...JSON.parse(config), rope_scaling: { type: 'yarn', factor: 4 } }),
    ],
    mutate: jsonMutator([
      ...['rope_scaling', 'rope_parameters', 'rope_type', 'type', 'factor', 'linear', 'dynamic'],
      ...['yarn', 'longrope', 'llama3', 'low_freq_factor', 'short_factor', 'long_factor'],
      ...['attention_factor', 'mscale', 'truncate', 'beta_fast', 'rms_norm_eps', 'rope_theta'],
      ...['eos_token_id', 'bos_token_id', 'pad_token_id', 'quantization_config', 'sliding_window'],
      ...['mistral', 'MistralForCausalLM', 'max_position_embeddings', 'tie_word_embeddings'],
    ]),
    run: async (bytes) => {
      const files = {
        'config.json': bytes,
        'model.safetensors': safetensorsFile(safetensorsHead.json),
      }
      return describeAll(await open(files, 'model.safetensors'))
    },
  },
  {
    name: 'params',
    seeds: () => [
      '{"dim":2,"n_layers":1,"n_heads":1,"norm_eps":1e-5,"vocab_size":3,"multiple_of":1}',
      '{"dim":2,"n_layers":1,"n_heads":1,"n_kv_heads":1,"norm_eps":1e-5,"rope_theta":500000,"use_scaled_rope":true,"vocab_size":-1,"ffn_dim_multiplier":1.3,"multiple_of":1}',
    ],
    mutate: jsonMutator([
      'dim',
      'n_heads',
      'head_dim',
      'hidden_dim',
      'sliding_window',
      'rope_scaling',
    ]),
    run: async (bytes) => {
      const files = { 'params.json': bytes, 'consolidated.00.pth': metaFile }
      place(files)
      return describeAll(await openCheckpoint('mem://m'))
    },
  },
]

/** The model as Meta's files have it, all in one storage. */
const metaFile = (() => {
  const tensors = tensorsOf(model)
  const line = (...parts: (string | number)[]) => parts.join('')
  const int = (n: number) => `K${String.fromCharCode(n)}`
  const tuple = (items: number[]) => `(${items.map(int).join('')}t`
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`
  let pickle = '\x80\x02}('
  for (const [i, { meta, shape }] of tensors.entries()) {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1))
    const size = shape.reduce((a, b) => a * b, 1)
    pickle += line(
      text(meta),
      'ctorch._utils\n_rebuild_tensor_v2\n((',
      text('storage'),
      'ctorch\nFloatStorage\n',
      text(String(i)),
      text('cpu'),
      int(size),
      'tQ',
      int(0),
      tuple(shape),
      tuple(strides),
      '\x89ccollections\nOrderedDict\n)RtR',
    )
  }
  pickle += 'u.'
  return zipOf([
    { name: 'a/data.pkl', data: Buffer.from(pickle, 'latin1') },
    ...tensors.map(({ shape }, i) => ({
      name: `a/data/${i}`,
      data: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)),
    })),
  ])
})()
