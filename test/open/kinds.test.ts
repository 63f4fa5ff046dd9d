import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { gguf } from '../../src/formats/gguf/gguf.js'
import { vocabularyIn } from '../../src/formats/gguf/kinds.js'
import { readParts } from '../../src/formats/gguf/split.js'
import { locateTensor } from '../../src/formats/torch/strides.js'
import { originOf } from '../../src/io/snapshot.js'
import { nameOf } from '../../src/io/store.js'
import { openCheckpoint } from '../../src/open/open.js'
import { findSource } from '../../src/open/source.js'
import { fails } from '../support/errors.js'
import { type RawEntry, rawGguf, text, texts } from '../support/gguf.js'
import { fixture } from '../support/paths.js'
import { type MadeTensor, madeTensors, safetensorsOf, zeros } from '../support/safetensors.js'
import { tempDir } from '../support/temp.js'
import { convert, f32Hashes } from '../support/tensors.js'

const test = suite('formats: files as people have them')

const kinds = (...names: string[]) => fixture('kinds', ...names)
const hashes = (...names: string[]): Record<string, string> =>
  JSON.parse(readFileSync(fixture(...names), 'utf8'))
const expected = hashes('pytorch', 'expected.json')
const config = readFileSync(fixture('pytorch', 'config.json'), 'utf8')

/** A folder with these files beside the model's configuration. */
function folderOf(files: Record<string, string | Uint8Array>, configuration = config): string {
  const folder = tempDir()
  writeFileSync(join(folder, 'config.json'), configuration)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  return folder
}

/** A folder with a copy of one of the files beside the model's configuration. */
function folderWith(name: string, as = name): string {
  return folderOf({ [as]: readFileSync(kinds(name)) })
}

let weights: Record<string, MadeTensor> | undefined

/** The model's weights in f32 by Hugging Face's names, with names changed. */
async function renamed(
  change: (name: string) => string = (name) => name,
): Promise<Record<string, MadeTensor>> {
  if (weights === undefined) {
    const { out } = await convert(fixture('pytorch', 'strided.bin'), {
      to: 'safetensors',
      dtype: 'f32',
    })
    weights = madeTensors(await openCheckpoint(out))
  }
  return Object.fromEntries(Object.entries(weights).map(([name, made]) => [change(name), made]))
}

for (const [name, ...notes] of [
  ['lightning.ckpt', '"state_dict"; left out: epoch, optimizer_states, hyper', '"model." stands'],
  ['mp_rank_00_model_states.pt', 'under "module"; left out: param_shapes, dtype'],
  ['compiled.bin', '"module._orig_mod." stands before', 'within the names'],
  ['marked.bin'],
] as const) {
  test(`${name}, as its software wrote it`, async () => {
    const folder = folderWith(name)
    const checkpoint = await openCheckpoint(folder)
    for (const note of notes) {
      assert.ok(
        checkpoint.notes.some((told) => told.includes(note)),
        `${note}: ${checkpoint.notes}`,
      )
    }
    assert.is(checkpoint.notes.length, notes.length)
    assert.equal(await f32Hashes(folder), expected)
  })
}

test('llama2.c’s ckpt.pt: the model from its own arguments, masks and tables passed over', async () => {
  const source = kinds('ckpt.pt')
  const { config, notes } = await openCheckpoint(source)
  assert.equal([config.num_attention_heads, config.num_key_value_heads, config.head_dim], [4, 2, 4])
  assert.equal([config.rms_norm_eps, config.max_position_embeddings], [1e-5, 77])
  assert.ok(notes.some((note) => note.includes('layers.0.attention.mask')))
  assert.ok(notes.some((note) => note.includes('freqs_cis')))
  assert.equal(await f32Hashes(source), expected)
})

test('windows that overlap, are spread out, or are one vector for all rows', async () => {
  assert.equal(await f32Hashes(folderWith('views.bin')), hashes('kinds', 'views.json'))
})

test('elements of which no two are neighbours lie in as few windows as there can be', () => {
  for (const [rows, columns, rowStride, columnStride] of [
    [5, 2, 40, 3],
    [2, 5, 40, 3],
    [3, 4, 3, 50],
    [4, 3, 0, 2],
  ] as const) {
    const type = { name: 'FloatStorage', dtype: 'f32' as const, bytes: 4 }
    const storage = { key: '0', type, elements: 500, start: 1 }
    const tensor = {
      storage,
      offset: 2,
      shape: [rows, columns],
      strides: [rowStride, columnStride],
    }
    const payload = { path: 'made.bin', offset: 1000 }
    const { parts, transposed } = locateTensor('w', tensor, 'f32', payload, 'pytorch')
    assert.is(parts.length, Math.min(rows, columns))
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const [r, c] = transposed ? [column, row] : [row, column]
        const part = parts.find((each) => each.column === c)
        const offset = (part?.extents[0]?.offset ?? 0) + r * (part?.pitch ?? 0) * 4
        assert.is(offset, 1000 + (1 + 2 + row * rowStride + column * columnStride) * 4)
      }
    }
  }
})

test('a tied weight that safetensors notes in the metadata', async () => {
  const { config, tensors } = await openCheckpoint(folderWith('tied.safetensors'))
  assert.is(config.tie_word_embeddings, true)
  assert.not(tensors.has('lm_head.weight'))
  const { 'lm_head.weight': _, ...others } = expected
  const tied = await f32Hashes(folderWith('tied.safetensors'))
  // One of the two was kept: the embedding that both are.
  assert.equal(tied, {
    ...others,
    'model.embed_tokens.weight': expected['model.embed_tokens.weight'],
  })
})

test('a Flax model of transformers: its names, kernels, and the half-split rotary order', async () => {
  const { format, naming } = await openCheckpoint(kinds('flax'))
  assert.equal([format, naming], ['flax', 'hf-flax'])
  assert.equal(await f32Hashes(kinds('flax')), hashes('kinds', 'flax', 'expected.json'))
})

test('what stays refused is called by its name, with the next step', async () => {
  await fails(
    () => openCheckpoint(kinds('model_world_size_1_rank_0.pt')),
    'input',
    'a shard of FSDP',
    'merge',
  )
  await fails(() => openCheckpoint(folderWith('zero3.pt')), 'input', 'ZeRO 3', 'zero_to_fp32.py')
  await fails(
    () => openCheckpoint(folderWith('fp8.bin')),
    'input',
    'tensor "lm_head.weight"',
    'float8_e4m3fn',
  )
})

const wrapped: [what: string, change: (name: string) => string, note?: string][] = [
  ['torch.compile', (name) => `_orig_mod.${name}`, '"_orig_mod." stands before'],
  ['DataParallel', (name) => `module.${name}`, '"module." stands before'],
  ['a module around it', (name) => `model.${name}`, '"model." stands before'],
  ['PEFT after merging', (name) => `base_model.model.${name}`, '"base_model.model." stands'],
  ['several of them', (name) => `module._orig_mod.model.${name}`, 'module._orig_mod.model.'],
  ['no "model."', (name) => name.replace(/^model\./, ''), 'lack "model."'],
  [
    'PEFT around a model without "model."',
    (name) => `base_model.model.${name.replace(/^model\./, '')}`,
    'lack "model."',
  ],
  [
    'activation checkpoints and FSDP within names',
    (name) => name.replace(/(layers\.0\.)/, '$1_checkpoint_wrapped_module._fsdp_wrapped_module.'),
    'within the names',
  ],
]

for (const [what, change, note = ''] of wrapped) {
  test(`names: ${what}`, async () => {
    const folder = folderOf({ 'model.safetensors': safetensorsOf(await renamed(change)) })
    const { notes } = await openCheckpoint(folder)
    assert.ok(
      notes.some((told) => told.includes(note)),
      notes.join('; '),
    )
    assert.equal(await f32Hashes(folder), expected)
  })
}

test('names stay as they are where not all carry a wrapper, or two would become one', async () => {
  const some = await renamed((name) => (name.includes('layers') ? `module.${name}` : name))
  const folder = folderOf({ 'model.safetensors': safetensorsOf(some) })
  await fails(() => openCheckpoint(folder), 'input', 'not of a LLaMA model', 'module.model.layers')
  const { 'model.layers.0.mlp.up_proj.weight': up, ...others } = await renamed()
  assert.ok(up)
  const doubled = safetensorsOf({
    ...others,
    'model.layers.0.mlp.up_proj.weight': up,
    'model.layers.0._orig_mod.mlp.up_proj.weight': up,
  })
  await fails(
    () => openCheckpoint(folderOf({ 'model.safetensors': doubled })),
    'input',
    'the same name as "model.layers.0.mlp.up_proj.weight"',
  )
})

test('a model without its head: refused by its class, read where it is tied', async () => {
  const { 'lm_head.weight': _, ...headless } = await renamed((name) => name.replace(/^model\./, ''))
  const file = { 'model.safetensors': safetensorsOf(headless) }
  const bare = { ...JSON.parse(config), architectures: ['LlamaModel'] }
  await fails(
    () => openCheckpoint(folderOf(file, JSON.stringify(bare))),
    'input',
    'saved from LlamaModel',
    'LlamaForCausalLM',
  )
  const tied = folderOf(file, JSON.stringify({ ...bare, tie_word_embeddings: true }))
  assert.is((await openCheckpoint(tied)).config.tie_word_embeddings, true)
})

test('the class by its first name', async () => {
  const first = config.replace('LlamaForCausalLM', 'LLaMAForCausalLM')
  const folder = folderOf({ 'model.safetensors': safetensorsOf(await renamed()) }, first)
  assert.is((await openCheckpoint(folder)).tensors.size, 12)
})

test('Mistral’s own layout: Meta’s names and rotary order, and a params.json that says more', async () => {
  const meta = await convert(fixture('pytorch', 'strided.bin'), { to: 'meta', dtype: 'f32' })
  const { tensors } = await openCheckpoint(meta.out)
  const made: Record<string, MadeTensor> = {}
  for (const { storedName, shape, parts } of tensors.values()) {
    const { path = '', offset = 0, length = 0 } = parts[0]?.extents[0] ?? {}
    made[storedName] = {
      dtype: 'F32',
      shape,
      data: readFileSync(path).subarray(offset, offset + length),
    }
  }
  const params = { dim: 8, n_layers: 1, head_dim: 4, hidden_dim: 12, n_heads: 4, n_kv_heads: 2 }
  const folder = tempDir()
  writeFileSync(join(folder, 'consolidated.safetensors'), safetensorsOf(made, {}))
  const write = (more: object) =>
    writeFileSync(
      join(folder, 'params.json'),
      JSON.stringify({ ...params, norm_eps: 1e-5, vocab_size: 16, ...more }),
    )
  write({})
  assert.equal(await f32Hashes(folder), expected)
  const { config } = await openCheckpoint(folder)
  assert.equal([config.model_type, config.rope_theta, config.rms_norm_eps], ['mistral', 1e6, 1e-5])
  write({ sliding_window: 64, max_seq_len: 99 })
  const windowed = (await openCheckpoint(folder)).config
  assert.equal([windowed.rope_theta, windowed.max_position_embeddings], [1e4, 99])
  assert.is(windowed.sliding_window, 64)
  write({ moe: { num_experts: 8 } })
  await fails(() => openCheckpoint(folder), 'input', 'params.json', 'mixture of experts')
})

test('shards without an index are read together; those that are missing are named', async () => {
  const entries = Object.entries(await renamed())
  const shards = [entries.slice(0, 4), entries.slice(4, 9), entries.slice(9)].map((part, i) => [
    `model-0000${i + 1}-of-00003.safetensors`,
    safetensorsOf(Object.fromEntries(part)),
  ])
  const folder = folderOf(Object.fromEntries(shards))
  assert.equal(await f32Hashes(folder), expected)
  assert.equal(await f32Hashes(join(folder, 'model-00002-of-00003.safetensors')), expected)
  const cut = folderOf(Object.fromEntries(shards.slice(1)))
  await fails(
    () => openCheckpoint(cut),
    'input',
    'of the 3 shards',
    '1 is missing: model-00001-of-00003.safetensors',
    'openllama pull',
  )
  const index = (count: number) => ({
    'model.safetensors.index.json': JSON.stringify({
      weight_map: Object.fromEntries(
        entries.map(([name], i) => [
          name,
          `model-0000${Math.floor(i / 4) + 1}-of-0000${count}.safetensors`,
        ]),
      ),
    }),
  })
  await fails(
    () => openCheckpoint(folderOf({ ...Object.fromEntries(shards), ...index(4) })),
    'input',
    'model.safetensors.index.json',
    'of the 3 files that it names 3 are missing',
    'there are model-00001-of-00003.safetensors',
  )
})

test('an index of another name is taken where it is the only one', async () => {
  const file = safetensorsOf(await renamed())
  const map = Object.fromEntries(
    Object.keys(await renamed()).map((name) => [name, 'a.safetensors']),
  )
  const folder = folderOf({
    'a.safetensors': file,
    'b.safetensors': file,
    'other.safetensors.index.json': JSON.stringify({ weight_map: map }),
  })
  const { files } = await openCheckpoint(folder)
  assert.equal(
    files.map(({ path }) => path),
    [join(folder, 'a.safetensors')],
  )
  // The usual name goes before it.
  writeFileSync(join(folder, 'model.safetensors'), file)
  assert.is((await openCheckpoint(folder)).files[0]?.path, join(folder, 'model.safetensors'))
})

test('buffers: integers that no LLaMA has are left out with a note, weights of integers refused', async () => {
  const all = await renamed()
  const folder = folderOf({
    'model.safetensors': safetensorsOf({ ...all, 'model.extra': zeros('I64', [1, 4], 64) }),
  })
  const { notes } = await openCheckpoint(folder)
  assert.ok(notes.some((note) => note.includes('model.extra (I64)')))
  assert.equal(await f32Hashes(folder), expected)
  const integers = { ...all, 'model.norm.weight': zeros('I32', [8], 32) }
  await fails(
    () => openCheckpoint(folderOf({ 'model.safetensors': safetensorsOf(integers) })),
    'input',
    'tensor "model.norm.weight"',
    'I32, which is not supported',
  )
})

/** What a quantized projection consists of, by its method's own names. */
const quantized: [method: string, told: object | undefined, tensors: Record<string, MadeTensor>][] =
  [
    ['bitsandbytes 8 bit', { quant_method: 'bitsandbytes' }, { weight: zeros('I8', [16, 8], 8), SCB: zeros('F32', [16], 32) }], // biome-ignore format: one line a method
    ['bitsandbytes nf4', undefined, { weight: zeros('U8', [64, 1], 8), 'weight.absmax': zeros('U8', [2], 8), 'weight.quant_state.bitsandbytes__nf4': zeros('U8', [9], 8) }], // biome-ignore format: one line a method
    ['GPTQ, 4 bit, groups of 128', { quant_method: 'gptq', bits: 4, group_size: 128 }, { qweight: zeros('I32', [1, 16], 32), qzeros: zeros('I32', [1, 2], 32), g_idx: zeros('I32', [8], 32), scales: zeros('F16', [1, 16], 16) }], // biome-ignore format: one line a method
    ['AWQ', undefined, { qweight: zeros('I32', [8, 2], 32), qzeros: zeros('I32', [1, 2], 32), scales: zeros('F16', [1, 16], 16) }], // biome-ignore format: one line a method
    ['FP8 with scales', { quant_method: 'fp8' }, { weight: zeros('F8_E4M3', [16, 8], 8), weight_scale_inv: zeros('F32', [1, 1], 32) }], // biome-ignore format: one line a method
    ['FP8 with scales, compressed-tensors, float-quantized', { quant_method: 'compressed-tensors', format: 'float-quantized' }, { weight: zeros('F8_E4M3', [16, 8], 8), weight_scale: zeros('F32', [16, 1], 32) }], // biome-ignore format: one line a method
    ['compressed-tensors, pack-quantized', { quant_method: 'compressed-tensors', format: 'pack-quantized' }, { weight_packed: zeros('I32', [16, 1], 32), weight_scale: zeros('BF16', [16, 1], 16), weight_shape: zeros('I64', [2], 64) }], // biome-ignore format: one line a method
    ['MLX', undefined, { weight: zeros('U32', [16, 1], 32), scales: zeros('BF16', [16, 1], 16), biases: zeros('BF16', [16, 1], 16) }], // biome-ignore format: one line a method
    ['HQQ', undefined, { W_q: zeros('U8', [64], 8), scale: zeros('F16', [16], 16) }],
    ['AQLM', undefined, { codes: zeros('I8', [16, 1, 1], 8), codebooks: zeros('F16', [1, 4], 16) }],
    ['EETQ', undefined, { weight: zeros('I8', [8, 16], 8), weight_scales: zeros('F16', [16], 16) }],
    ['torchao', { quant_method: 'torchao' }, { weight: zeros('I8', [16, 8], 8) }],
  ]

for (const [method, told, tensors] of quantized) {
  test(`weights that are quantized: ${method}`, async () => {
    const { 'model.layers.0.self_attn.q_proj.weight': _, ...others } = await renamed()
    const query = Object.entries(tensors).map(
      ([name, made]) => [`model.layers.0.self_attn.q_proj.${name}`, made] as const,
    )
    const file = safetensorsOf({ ...others, ...Object.fromEntries(query) })
    const configuration = { ...JSON.parse(config), ...(told ? { quantization_config: told } : {}) }
    const folder = folderOf({ 'model.safetensors': file }, JSON.stringify(configuration))
    const error = await fails(
      () => openCheckpoint(folder),
      'input',
      `its weights are quantized: ${method}`,
      'Take the original model',
    )
    assert.is(error.exit, 3)
  })
}

test('an adapter, and a model whose adapter is not merged', async () => {
  const lora = {
    'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight': zeros('F32', [2, 8], 32),
    'base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight': zeros('F32', [16, 2], 32),
  }
  const path = join(tempDir(), 'adapter.safetensors')
  writeFileSync(path, safetensorsOf(lora))
  await fails(() => openCheckpoint(path), 'input', 'a LoRA adapter', 'merge_and_unload()')
  const all = await renamed((name) => `base_model.model.${name}`)
  const folder = folderOf({ 'model.safetensors': safetensorsOf({ ...all, ...lora }) })
  await fails(() => openCheckpoint(folder), 'input', 'not merged', 'merge_and_unload()')
})

test('a Trainer’s folder: what is beside the weights is no checkpoint', async () => {
  const folder = folderWith('marked.bin', 'checkpoint.bin')
  const names = ['optimizer.pt', 'scheduler.pt', 'rng_state.pth', 'rng_state_0.pth']
  for (const name of [...names, 'training_args.bin', 'random_states_0.pkl']) {
    copyFileSync(kinds('zero3.pt'), join(folder, name))
  }
  mkdirSync(join(folder, 'global_step3'))
  assert.equal(await f32Hashes(folder), expected)
})

test('a pickle of protocol 0: its global is named', async () => {
  const path = join(tempDir(), 'model.pkl')
  writeFileSync(path, "cos\nsystem\n(S'true'\ntR.")
  await fails(() => openCheckpoint(path), 'input', 'os.system', 'nothing of it was run')
  const instance = "(dp0\nS'args'\np1\n(iargparse\nNamespace\np2\nsb."
  writeFileSync(path, instance)
  await fails(() => openCheckpoint(path), 'input', 'argparse.Namespace')
})

test('an adapter’s folder: its base model is named; beside a model it is a note', async () => {
  const adapter = {
    'adapter_config.json': JSON.stringify({
      base_model_name_or_path: 'acme/tiny',
      peft_type: 'LORA',
    }),
    'adapter_model.safetensors': safetensorsOf({ a: zeros('F32', [2], 32) }),
  }
  await fails(
    () => openCheckpoint(folderOf(adapter)),
    'input',
    'a LoRA adapter of acme/tiny',
    'merge_and_unload()',
  )
  const beside = folderOf({ ...adapter, 'model.safetensors': safetensorsOf(await renamed()) })
  const { notes } = await openCheckpoint(beside)
  assert.ok(notes.some((note) => note.includes('adapter lies beside')))
})

const latin = (text: string) => Buffer.from(text, 'latin1')

/** By a file that they have: folders of models that are saved in other ways. */
const folders = [
  ['__0_0.distcp', 'torch.distributed.checkpoint', 'Merge'],
  ['model_world_size_8_rank_3.pt', 'FSDP (DTensor)', 'merge'],
  ['zero_to_fp32.py', 'DeepSpeed', 'zero_to_fp32.py FOLDER OUT'],
  ['zero_pp_rank_0_mp_rank_00_model_states.pt', 'DeepSpeed', 'zero_to_fp32.py FOLDER OUT'],
  ['model_index.json', 'Diffusers', 'LLaMA'],
  ['tf_model.h5', 'HDF5', 'from_tf=True'],
  ['saved_model.pb', 'TensorFlow', 'from_tf=True'],
  ['manifest.ocdbt', 'Orbax', 'flax.serialization'],
  ['weights.npz', 'MLX', 'mlx_lm'],
  ['model.safetensors.incomplete', 'a download that was not finished', 'openllama pull'],
] as const

for (const [name, ...parts] of folders) {
  test(`a folder with ${name} is called by what it is`, async () => {
    const folder = folderOf({
      [name]: name.endsWith('.h5') ? latin('\x89HDF\r\n\x1a\n') : 'something',
    })
    await fails(() => openCheckpoint(folder), 'input', ...parts)
  })
}

/** By their first bytes. */
const files: [what: string, bytes: Uint8Array, ...parts: string[]][] = [
  ['llama2.c’s first version', llama2c(8, 12, 1, 4, 2, 16, 5), 'llama2.c', 'ckpt.pt'],
  ['the same with a head of its own', llama2c(8, 12, 1, 4, 2, -16, 5), 'llama2.c', 'ckpt.pt'],
  ['llama2.c’s second', latin('24ka\x02\0\0\0'), 'llama2.c', 'ckpt.pt'],
  ['llama.cpp before GGUF', latin('tjgg\x03\0\0\0'), 'before GGUF'],
  ['a gzip archive', latin('\x1f\x8b\x08'), 'gzip', 'Unpack'],
  ['a tar archive', Buffer.concat([Buffer.alloc(257), latin('ustar\x0000')]), 'tar', 'Unpack'],
  ['an array of numpy', latin('\x93NUMPY\x01\0'), 'numpy'],
]

for (const [what, bytes, ...parts] of files) {
  test(`a file is called by what it is: ${what}`, async () => {
    const path = join(tempDir(), 'model.bin')
    writeFileSync(path, bytes)
    await fails(() => openCheckpoint(path), 'input', path, ...parts)
    await fails(() => openCheckpoint(join(path, '..')), 'input', path, ...parts)
  })
}

/** What llama2.c's export.py writes: seven sizes, and as many f32 weights as they make. */
function llama2c(...sizes: [number, number, number, number, number, number, number]): Uint8Array {
  const [dim, hidden, layers, heads, keyHeads, vocabulary, length] = sizes
  const rows = Math.abs(vocabulary) * dim
  const attention = dim * dim + 2 * dim * ((keyHeads * dim) / heads) + dim * dim
  const tables = length * (dim / heads)
  const all =
    rows +
    layers * (2 * dim + attention + 3 * dim * hidden) +
    dim +
    tables +
    (vocabulary < 0 ? rows : 0)
  const file = Buffer.alloc(28 + 4 * all)
  sizes.forEach((size, i) => {
    file.writeInt32LE(size, 4 * i)
  })
  return file
}

test('GGUF files that are no models', async () => {
  const of = (entries: RawEntry[]) => {
    const path = join(tempDir(), 'file.gguf')
    writeFileSync(path, rawGguf({ entries, tensors: [] }))
    return () => openCheckpoint(path)
  }
  const type = (value: string) => [text('general.type', value)]
  await fails(of(type('imatrix')), 'input', 'an importance matrix', '`imatrix`')
  await fails(of(type('adapter')), 'input', 'an adapter', 'llama-export-lora')
  await fails(of([text('general.architecture', 'clip')]), 'input', 'mmproj')
  await fails(of([text('general.architecture', 'llama')]), 'input', 'no tensors')
  const tokens = texts('tokenizer.ggml.tokens', ['a'])
  await fails(of([text('general.architecture', 'bert'), tokens]), 'input', 'a vocabulary without')
  const path = join(tempDir(), 'vocabulary.gguf')
  writeFileSync(
    path,
    rawGguf({ entries: [text('general.architecture', 'bert'), tokens], tensors: [] }),
  )
  for (const source of [path, join(path, '..')]) {
    const found = await findSource(source)
    const vocabulary = vocabularyIn(await readParts(found.path), source)
    assert.equal([vocabulary?.tokens, vocabulary?.metadata.length], [1, 2])
  }
})

test('beside a GGUF, a projector and an importance matrix are no second model', () => {
  const detect = (...names: string[]) => gguf.detectDirectory?.(names)
  assert.is(detect('mmproj-model-f16.gguf', 'model-q4.gguf', 'model-imatrix.gguf'), 'model-q4.gguf')
  assert.is(detect('a.gguf', 'b.gguf'), undefined)
  assert.is(detect('imatrix.gguf'), 'imatrix.gguf')
})

const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1842767\n'

test('a pointer of Git LFS is called so, whichever file it stands for', async () => {
  const weights = { 'model.safetensors': safetensorsOf(await renamed()) }
  for (const name of ['config.json', 'model.safetensors.index.json', 'generation_config.json']) {
    const folder = folderOf({ ...weights, [name]: pointer })
    const work = () => convert(folder, { to: 'gguf' })
    await fails(work, 'input', join(folder, name), 'Git LFS pointer', '1842767 bytes')
  }
  for (const name of ['tokenizer.json', 'tokenizer.model', 'chat_template.jinja']) {
    const folder = folderOf({ ...weights, 'tokenizer.json': '{}', [name]: pointer })
    const work = () => convert(folder, { to: 'gguf' })
    await fails(work, 'input', join(folder, name), 'Git LFS pointer')
  }
})

test('a snapshot of the Hub’s cache: the repository’s name, its commit, and links to nowhere', async () => {
  const cache = join(tempDir(), 'models--acme--tiny-2b')
  const commit = '0123456789abcdef0123456789abcdef01234567'
  const snapshot = join(cache, 'snapshots', commit)
  for (const folder of [snapshot, join(cache, 'blobs')]) mkdirSync(folder, { recursive: true })
  const content = { 'model.safetensors': safetensorsOf(await renamed()), 'config.json': config }
  for (const [name, bytes] of Object.entries(content)) {
    writeFileSync(join(cache, 'blobs', name), bytes)
    symlinkSync(join('..', '..', 'blobs', name), join(snapshot, name))
  }
  assert.is(nameOf(snapshot), 'tiny-2b')
  assert.equal(originOf(join(snapshot, 'model.safetensors')), {
    repository: 'acme/tiny-2b',
    commit,
  })
  const { out } = await convert(snapshot, { to: 'gguf', out: join(tempDir(), 'm.gguf') })
  const record = JSON.parse(readFileSync(`${out}.openllama.json`, 'utf8'))
  assert.equal([record.source.repository, record.source.commit], ['acme/tiny-2b', commit])
  const { metadata = [] } = await openCheckpoint(out)
  const said = (key: string) => metadata.find((entry) => entry.key === `general.${key}`)?.value
  assert.is(said('name'), 'Tiny 2b')
  rmSync(join(cache, 'blobs', 'model.safetensors'))
  for (const source of [snapshot, join(snapshot, 'model.safetensors')]) {
    await fails(
      () => openCheckpoint(source),
      'input',
      'a link to',
      'where nothing is',
      'openllama pull acme/tiny-2b',
    )
  }
  writeFileSync(join(cache, 'blobs', 'abc.incomplete'), '')
  rmSync(join(snapshot, 'model.safetensors'))
  await fails(() => openCheckpoint(snapshot), 'input', 'not finished: abc.incomplete', 'pull')
})

test('what is no snapshot keeps its name', () => {
  assert.is(nameOf('/a/snapshots/b'), 'b')
  assert.is(nameOf('/a/models--x--y/snapshots/b/part'), 'part')
  assert.is(originOf('/a/models--x--y/snapshots/main/model.safetensors'), undefined)
  assert.is(nameOf('/a/models--gpt/snapshots/main'), 'gpt')
})

test('all head counts that divide are listed, the usual ones first', async () => {
  const { 'tok_embeddings.weight': _, ...all } = await renamed()
  const path = join(tempDir(), 'model.safetensors')
  writeFileSync(path, safetensorsOf(all))
  const error = await fails(() => openCheckpoint(path), 'usage', '16 rows of queries and 8 of keys')
  for (const count of ['2 (head_dim 8)', '4 (head_dim 4)', '8 (head_dim 2)']) {
    assert.ok(error.message.includes(count), error.message)
  }
})

test.run()
