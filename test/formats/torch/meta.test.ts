import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ModelConfig } from '../../../src/checkpoint/config.js'
import { configDefaults } from '../../../src/checkpoint/config.js'
import { joinRanks } from '../../../src/formats/torch/meta-parallel.js'
import {
  configFromParams,
  intermediateOf,
  paramsFromConfig,
} from '../../../src/formats/torch/meta-params.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { fails } from '../../support/errors.js'
import { fixture, shared } from '../../support/paths.js'
import { expectedTensors } from '../../support/sources.js'
import { tempDir } from '../../support/temp.js'
import { convert, f32Hashes, tensorHashes } from '../../support/tensors.js'

const llama3 = fixture('pytorch', 'llama3-mp2')
const expected: Record<string, string> = JSON.parse(
  readFileSync(fixture('pytorch', 'expected.json'), 'utf8'),
)

test('LLaMA 3’s two files: the embedding split by vocabulary, a weight column-major', async () => {
  const { config, tensors } = await openCheckpoint(llama3)
  assert.equal(await f32Hashes(llama3), expected)
  assert.is(tensors.get('model.embed_tokens.weight')?.parts.length, 2)
  assert.is(tensors.get('model.layers.0.self_attn.o_proj.weight')?.layout.transposed, true)
  assert.equal([config.hidden_size, config.head_dim, config.num_key_value_heads], [8, 4, 2])
  assert.is(config.rope_theta, 500000)
})

test('one of its files names the whole model', async () => {
  assert.equal(await f32Hashes(join(llama3, 'consolidated.01.pth')), expected)
})

test('to meta in one file and in two, and back', async () => {
  for (const modelParallel of [1, 2]) {
    const { out, target } = await convert(llama3, { to: 'meta', modelParallel })
    assert.is(target.files.filter(({ name }) => name.endsWith('.pth')).length, modelParallel)
    assert.equal(await f32Hashes(out), expected, `${modelParallel} files`)
  }
})

test('a tied head goes onto the embedding’s storage, and comes back tied', async () => {
  const source = fixture('pytorch', 'tied.bin')
  const single = await convert(source, { to: 'meta' })
  const back = await openCheckpoint(single.out)
  assert.is(back.config.tie_word_embeddings, true)
  assert.not(back.tensors.has('lm_head.weight'))
  // Two files split the two differently: the head is written, with the embedding's values.
  const double = await convert(source, { to: 'meta', modelParallel: 2 })
  const hashes = await f32Hashes(double.out)
  assert.is(hashes['lm_head.weight'], hashes['model.embed_tokens.weight'])
  assert.is(hashes['model.embed_tokens.weight'], expected['model.embed_tokens.weight'])
})

test('files are missed by their names', async () => {
  const folder = tempDir()
  copyFileSync(join(llama3, 'consolidated.01.pth'), join(folder, 'consolidated.01.pth'))
  await fails(() => openCheckpoint(folder), 'input', 'consolidated.00.pth is not')
})

test('one file of two is told from its shapes', async () => {
  // Split by the hidden axis, the embedding gives it away.
  const { out } = await convert(llama3, { to: 'meta', modelParallel: 2 })
  const folder = tempDir()
  for (const name of ['consolidated.00.pth', 'params.json']) {
    copyFileSync(join(out, name), join(folder, name))
  }
  await fails(
    () => openCheckpoint(folder),
    'input',
    'tok_embeddings.weight',
    'in the one file make 4, "norm.weight" has 8',
  )
})

test('files of two models are told apart', async () => {
  const mixed = await convert(llama3, { to: 'meta', modelParallel: 2 })
  const other = await convert(llama3, { to: 'meta', modelParallel: 2, dtype: 'f16' })
  const second = 'consolidated.01.pth'
  copyFileSync(join(other.out, second), join(mixed.out, second))
  await fails(() => openCheckpoint(mixed.out), 'input', 'f32', 'f16')
})

test('norms must be the same shape in all files', async () => {
  const piece = (rows: number) => [
    { name: 'norm.weight', dtype: 'f32' as const, shape: [rows], parts: [] },
  ]
  await fails(() => joinRanks([piece(8), piece(9)], 'folder'), 'input', '[8]', '[9]')
})

test('a model that does not divide is refused before any work', async () => {
  await fails(
    () => convert(llama3, { to: 'meta', modelParallel: 3 }),
    'usage',
    '`modelParallel` 3',
    '4 attention heads',
  )
  await fails(() => convert(llama3, { to: 'meta', modelParallel: 4 }), 'usage', '2 key-value heads')
  await fails(() => convert(llama3, { to: 'meta', modelParallel: 101 }), 'usage', '101', 'for 100')
  await fails(() => convert(llama3, { to: 'safetensors', modelParallel: 2 }), 'usage', 'for meta')
})

/** params.json of the releases, the intermediate size that their code makes of it, and their context. */
const releases = [
  ['7B', { dim: 4096, multiple_of: 256, n_heads: 32, n_layers: 32, norm_eps: 1e-6, vocab_size: -1 }, 11008, 2048], // biome-ignore format: one line a release
  ['65B', { dim: 8192, multiple_of: 256, n_heads: 64, n_layers: 80, norm_eps: 1e-5, vocab_size: -1 }, 22016, 2048], // biome-ignore format: one line a release
  ['2 7B', { dim: 4096, multiple_of: 256, n_heads: 32, n_layers: 32, norm_eps: 1e-5, vocab_size: -1 }, 11008, 4096], // biome-ignore format: one line a release
  ['2 70B', { dim: 8192, multiple_of: 4096, ffn_dim_multiplier: 1.3, n_heads: 64, n_kv_heads: 8, n_layers: 80, norm_eps: 1e-5, vocab_size: -1 }, 28672, 4096], // biome-ignore format: one line a release
  ['3 8B', { dim: 4096, multiple_of: 1024, ffn_dim_multiplier: 1.3, n_heads: 32, n_kv_heads: 8, n_layers: 32, norm_eps: 1e-5, rope_theta: 500000, vocab_size: 128256 }, 14336, 8192], // biome-ignore format: one line a release
  ['3.1 8B', { dim: 4096, multiple_of: 1024, ffn_dim_multiplier: 1.3, n_heads: 32, n_kv_heads: 8, n_layers: 32, norm_eps: 1e-5, rope_theta: 500000, use_scaled_rope: true, vocab_size: 128256 }, 14336, 131072], // biome-ignore format: one line a release
  ['3.2 1B', { dim: 2048, multiple_of: 256, ffn_dim_multiplier: 1.5, n_heads: 32, n_kv_heads: 8, n_layers: 16, norm_eps: 1e-5, rope_theta: 500000, use_scaled_rope: true, vocab_size: 128256 }, 8192, 131072], // biome-ignore format: one line a release
] as const

for (const [name, params, intermediate, context] of releases) {
  test(`params.json of LLaMA ${name}`, () => {
    assert.is(intermediateOf(params.dim, params), intermediate)
    const { config } = configFromParams({ ...params }, 'params.json', 32000)
    const { values } = config
    assert.is(values.max_position_embeddings, context)
    assert.is(values.num_attention_heads, params.n_heads)
    const scaled = 'use_scaled_rope' in params
    const factor = name === '3.2 1B' ? 32 : 8
    assert.equal(
      values.rope_scaling,
      scaled
        ? {
            rope_type: 'llama3',
            factor,
            low_freq_factor: 1,
            high_freq_factor: 4,
            original_max_position_embeddings: 8192,
          }
        : null,
    )
    assert.is(values.bos_token_id, params.vocab_size === -1 ? undefined : 128000)
    // And back: what Meta's own file has, field by field, nothing lost.
    const written = paramsFromConfig(whole(values, intermediate, params.vocab_size))
    const vocabulary = params.vocab_size === -1 ? 32000 : params.vocab_size
    assert.equal(written.params, { ...params, vocab_size: vocabulary })
    assert.equal(written.notes, [])
  })
}

function whole(
  values: Partial<ModelConfig>,
  intermediate_size: number,
  vocab: number,
): ModelConfig {
  const { hidden_size = 0, num_attention_heads = 1 } = values
  return {
    ...configDefaults,
    hidden_size,
    num_hidden_layers: 1,
    num_attention_heads,
    num_key_value_heads: 1,
    intermediate_size,
    head_dim: hidden_size / num_attention_heads,
    ...values,
    vocab_size: vocab === -1 ? 32000 : vocab,
  }
}

test('any intermediate size is made by some rule', () => {
  for (const [dim, intermediate] of [
    [3200, 8640],
    [2048, 5632],
    [4096, 14336],
    [256, 256],
    [160, 416],
    [5120, 13825],
    [288, 768],
  ] as const) {
    const { params, notes } = paramsFromConfig(
      whole({ hidden_size: dim, num_attention_heads: 4 }, intermediate, 512),
    )
    const { multiple_of, ffn_dim_multiplier } = params
    assert.type(multiple_of, 'number')
    const rule = {
      multiple_of: Number(multiple_of),
      ...(ffn_dim_multiplier === undefined
        ? {}
        : { ffn_dim_multiplier: Number(ffn_dim_multiplier) }),
    }
    assert.is(intermediateOf(dim, rule), intermediate)
    assert.equal(notes, [])
  }
})

test('what params.json cannot say is told, and lost where it computes', () => {
  const config = whole({ hidden_size: 4096, num_attention_heads: 32 }, 11008, 32000)
  const { notes, losses } = paramsFromConfig({
    ...config,
    intermediate_size: 11009,
    max_position_embeddings: 1234,
    rope_scaling: { rope_type: 'yarn', factor: 4 },
    head_dim: 64,
  })
  assert.is(notes.length, 1)
  assert.ok(notes.some((note) => note.includes('max_position_embeddings 1234')))
  assert.equal(
    losses.map(({ field, to }) => [field, to]),
    [
      ['rope_scaling', null],
      ['head_dim', 128],
    ],
  )
})

test('another factor of the scaling is said, and read', () => {
  const { config } = configFromParams(
    { use_scaled_rope: true, rope_scaling_factor: 16, rope_high_freq_factor: 2 },
    'params.json',
    undefined,
  )
  const { rope_scaling = null } = config.values
  assert.is(rope_scaling?.factor, 16)
  const { params } = paramsFromConfig({
    ...whole({ hidden_size: 4096, num_attention_heads: 32 }, 11008, 32000),
    rope_scaling,
  })
  assert.equal([params.rope_scaling_factor, params.rope_high_freq_factor], [16, 2])
})

test('values that are no sizes are refused', async () => {
  for (const [field, value] of [
    ['dim', -1],
    ['n_heads', 1.5],
    ['norm_eps', 'small'],
  ] as const) {
    await fails(
      () => configFromParams({ [field]: value }, 'params.json', undefined),
      'input',
      field,
    )
  }
})

test('Meta’s names in a file of another name are understood', async () => {
  const folder = tempDir()
  const { out } = await convert(llama3, { to: 'meta' })
  copyFileSync(join(out, 'consolidated.00.pth'), join(folder, 'model.pth'))
  writeFileSync(join(folder, 'params.json'), readFileSync(join(out, 'params.json')))
  assert.equal(await f32Hashes(join(folder, 'model.pth')), expected)
})

const peers = suite('meta: torch’s own files')

for (const model of ['tiny-v1', 'tiny-v2']) {
  const hf = shared('conversions of Meta’s layout as torch wrote it', 'fixtures', model, 'hf-bf16')
  if (hf === undefined) continue
  for (const folder of model === 'tiny-v2' ? ['meta', 'meta-mp2'] : ['meta']) {
    peers(`${model}: ${folder} holds the expected values`, async () => {
      const hashes = Object.entries(await f32Hashes(join(hf, '..', folder)))
      assert.is(hashes.length, expectedTensors(model).size)
      for (const [name, hash] of hashes)
        assert.is(hash, expectedTensors(model).get(name)?.sha256_f32, name)
    })
  }
  for (const modelParallel of model === 'tiny-v2' ? [1, 2] : [1, 2, 4, 8]) {
    peers(
      `${model}: to meta in ${modelParallel} files and back gives the source’s bytes`,
      async () => {
        const there = await convert(hf, { to: 'meta', modelParallel })
        const back = await convert(there.out, { to: 'safetensors' })
        assert.equal(
          tensorHashes(await openCheckpoint(back.out)),
          tensorHashes(await openCheckpoint(hf)),
        )
      },
    )
  }
}

test.run()
peers.run()
