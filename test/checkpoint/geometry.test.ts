import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ConfigChoice,
  type Listing,
  resolveCheckpoint,
} from '../../src/checkpoint/checkpoint.js'
import type { ModelConfig } from '../../src/checkpoint/config.js'
import { presets } from '../../src/checkpoint/presets.js'
import { fails } from '../support/errors.js'
import { configOf, listingOf } from '../support/listing.js'
import { type Model, small, tensorsOf } from '../support/llama.js'

const test = suite('checkpoint: geometry')

const given = (values: Partial<ModelConfig>): ConfigChoice => ({
  given: { values, from: 'my/config.json' },
})
const read = (listing: Listing, choice: ConfigChoice = given(configOf(small))) =>
  resolveCheckpoint(listing, choice, { beside: [] })

test('the shapes of each naming and a configuration settle every size', () => {
  for (const naming of ['hf', 'easylm', 'meta'] as const) {
    const { config, tensors } = read(listingOf(small, naming))
    assert.is(config.vocab_size, 48)
    assert.is(config.hidden_size, 40)
    assert.is(config.intermediate_size, 56)
    assert.is(config.num_hidden_layers, 2)
    assert.is(config.num_attention_heads, 8)
    assert.is(config.num_key_value_heads, 2)
    assert.is(config.head_dim, 4)
    assert.equal(
      [...tensors].map(([name, { shape }]) => [name, shape]),
      tensorsOf(small).map(({ hf, shape }) => [hf, shape]),
    )
  }
})

test('the order of the arrays in the file does not matter, the result has that of a forward pass', () => {
  const listing = listingOf(small)
  listing.arrays.reverse()
  assert.equal(
    [...read(listing).tensors.keys()],
    tensorsOf(small).map(({ hf }) => hf),
  )
})

test('missing tensors are listed by the names of the source', async () => {
  for (const lost of tensorsOf(small)) {
    if (lost.hf === 'lm_head.weight') continue
    const listing = listingOf(small, 'easylm', (array) =>
      array.name === lost.easylm ? undefined : array,
    )
    await fails(() => read(listing), 'input', '1 tensor is missing', lost.easylm, 'weights')
  }
  const many = listingOf(small, 'easylm', (array) =>
    array.name.includes('/1/') ? undefined : array,
  )
  const config = { ...configOf(small), num_hidden_layers: 2 }
  await fails(() => read(many, given(config)), 'input', 'num_hidden_layers 2', 1, 'my/config.json')
})

test('a hole of a whole layer is missing tensors, not a smaller model', async () => {
  const holed = listingOf({ ...small, layers: 4 }, 'easylm', (array) =>
    array.name.includes('/h/2/') ? undefined : array,
  )
  await fails(
    () => read(holed, {}),
    'input',
    '9 tensors are missing',
    'transformer/h/2/attention/wq/kernel',
    '1 more',
  )
})

test('unknown tensors are listed', async () => {
  const listing = listingOf(small)
  listing.arrays.push({
    name: 'transformer/h/0/attention/wq/bias',
    dtype: 'f32',
    shape: [32],
    parts: [],
  })
  await fails(
    () => read(listing),
    'input',
    'a tensor is not of a LLaMA model',
    'transformer/h/0/attention/wq/bias',
  )
  listing.arrays.push({ name: 'extra', dtype: 'f32', shape: [1], parts: [] })
  await fails(() => read(listing), 'input', '2 tensors are not', 'wq/bias, extra')
})

test('a tensor that is there twice is refused, not the last one taken', async () => {
  const listing = listingOf(small)
  listing.arrays.push(...listing.arrays.filter(({ name }) => name === 'lm_head/kernel'))
  await fails(() => read(listing), 'input', 'lm_head/kernel', 'twice')
})

test('a layer number that is absurd is told, not allocated for', async () => {
  for (const layer of ['99999999', '9007199254740993', '100000000000000000000']) {
    const listing = listingOf(small)
    listing.arrays.push({
      name: `transformer/h/${layer}/ffn_norm/kernel`,
      dtype: 'f32',
      shape: [40],
      parts: [],
    })
    const error = await fails(() => read(listing), 'input', 'weights')
    assert.match(error.message, /layer|not of a LLaMA model/)
  }
})

test('shapes that disagree: both numbers and both names', async () => {
  const changed = (name: string, shape: number[]) =>
    listingOf(small, 'easylm', (array) => (array.name === name ? { ...array, shape } : array))
  for (const [name, shape, wrong, right, witness] of [
    [
      'transformer/h/1/attention/wq/kernel',
      [40, 36],
      36,
      32,
      'transformer/h/0/attention/wq/kernel',
    ],
    ['transformer/h/1/attention/wv/kernel', [40, 12], 12, 8, 'transformer/h/0/attention/wk/kernel'],
    [
      'transformer/h/0/feed_forward/w2/kernel',
      [57, 40],
      57,
      56,
      'transformer/h/0/feed_forward/w1/kernel',
    ],
    ['transformer/h/0/feed_forward/w1/kernel', [44, 56], 44, 40, 'transformer/wte/embedding'],
    ['transformer/ln_f/kernel', [41], 41, 40, 'transformer/wte/embedding'],
    ['lm_head/kernel', [40, 50], 50, 48, 'transformer/wte/embedding'],
    // A kernel that was stored the wrong way round.
    ['transformer/h/0/attention/wo/kernel', [40, 32], 32, 40, 'transformer/wte/embedding'],
  ] as const) {
    await fails(() => read(changed(name, [...shape])), 'input', name, wrong, right, witness)
  }
  await fails(
    () => read(changed('transformer/ln_f/kernel', [40, 1])),
    'input',
    'transformer/ln_f/kernel',
    '1 dimensions',
  )
  await fails(
    () => read(changed('transformer/wte/embedding', [1920])),
    'input',
    'transformer/wte/embedding',
    '2 dimensions',
  )
  await fails(
    () => read(changed('transformer/wte/embedding', [48, 40, 1])),
    'input',
    'transformer/wte/embedding',
  )
  await fails(
    () => read(changed('transformer/wte/embedding', [0, 40])),
    'input',
    'transformer/wte/embedding',
    'no elements',
  )
})

test('a configuration that disagrees with the shapes: its name, both numbers, and the tensor', async () => {
  for (const [field, claimed, real, witness] of [
    ['vocab_size', 64, 48, 'transformer/wte/embedding'],
    ['hidden_size', 48, 40, 'transformer/wte/embedding'],
    ['intermediate_size', 64, 56, 'transformer/h/0/feed_forward/w1/kernel'],
    ['num_hidden_layers', 3, 2, 'tensors'],
    ['num_key_value_heads', 4, 8, 'transformer/h/0/attention/wk/kernel'],
    ['head_dim', 8, 32, 'transformer/h/0/attention/wq/kernel'],
    ['num_attention_heads', 16, 32, 'transformer/h/0/attention/wq/kernel'],
  ] as const) {
    const choice = given({ ...configOf(small), [field]: claimed })
    await fails(
      () => read(listingOf(small), choice),
      'input',
      claimed,
      real,
      witness,
      'my/config.json',
      '`config`',
    )
  }
})

test('heads and key-value heads the wrong way round are refused', async () => {
  const swapped = given({ ...configOf(small), num_attention_heads: 2, num_key_value_heads: 8 })
  await fails(() => read(listingOf(small), swapped), 'input', '`config`')
  const { head_dim: _, ...rest } = configOf(small)
  const bare = given({ ...rest, num_attention_heads: 2, num_key_value_heads: 8 })
  await fails(() => read(listingOf(small), bare), 'input', '`config`')
})

test('an open head count is a usage error that names --heads and --config and what would fit', async () => {
  const model: Model = { ...small, headDim: 16, heads: 4, kvHeads: 2 }
  await fails(
    () => read(listingOf(model), {}),
    'usage',
    '`heads`',
    '`config`',
    '64 rows',
    '4 (head_dim 16)',
    '2 (head_dim 32)',
  )
})

test('--heads decides it, also over a configuration', () => {
  assert.is(read(listingOf(small), { heads: 8 }).config.head_dim, 4)
  const other = read(listingOf(small), { heads: 4, ...given(configOf(small)) }).config
  assert.equal([other.num_attention_heads, other.num_key_value_heads, other.head_dim], [4, 1, 8])
})

test('head counts that cannot be are refused', async () => {
  await fails(
    () => read(listingOf(small), { heads: 5 }),
    'input',
    '5 attention heads',
    32,
    '`heads`',
  )
  await fails(
    () => read(listingOf(small), { heads: 32 }),
    'input',
    'head_dim would be 1',
    '`heads`',
  )
  await fails(() => read(listingOf(small), { heads: 2 }), 'input', '8 rows', 'heads of 16')
  const odd: Model = { ...small, heads: 6, kvHeads: 4 }
  await fails(
    () => read(listingOf(odd), { heads: 6 }),
    'input',
    '6 attention heads',
    '4 key-value heads',
  )
})

test('an explicit head_dim that is not hidden size / heads is kept', () => {
  const { config } = read(listingOf(small))
  assert.is.not(config.head_dim, small.hidden / small.heads)
  assert.is(config.head_dim, 4)
})

test('tied embeddings: with a configuration that says so, with a warning where none does', async () => {
  const tied: Model = { ...small, tied: true }
  const told = read(listingOf(tied), given(configOf(tied)))
  assert.is(told.config.tie_word_embeddings, true)
  assert.not(told.tensors.has('lm_head.weight'))
  assert.equal(told.notes, [])
  const { tie_word_embeddings: _, ...silent } = configOf(tied)
  const assumed = read(listingOf(tied), given(silent))
  assert.is(assumed.config.tie_word_embeddings, true)
  assert.match(assumed.notes.join(), 'embedding')
  await fails(
    () => read(listingOf(tied), given(configOf(small))),
    'input',
    'no output head',
    'tie_word_embeddings false',
  )
  assert.is(read(listingOf(small), { heads: 8 }).config.tie_word_embeddings, false)
})

test('no output head and no configuration: lost, as far as anyone can tell', async () => {
  const headless = listingOf({ ...small, tied: true })
  await fails(
    () => read(headless, { heads: 8 }),
    'input',
    'no output head',
    '`config`',
    'tie_word_embeddings',
  )
})

test('release shapes: the OpenLLaMA release is assumed, and said so with what else it might be', () => {
  for (const name of ['open_llama_3b', 'open_llama_7b', 'open_llama_13b']) {
    const preset = presets.get(name)
    assert.ok(preset)
    const { config, notes } = read(listingOf(modelOf(preset)), {})
    assert.equal(config, preset)
    assert.match(notes.join('\n'), name)
    if (name !== 'open_llama_3b')
      assert.match(
        notes.join('\n'),
        /llama2_(7|13)b has the same shapes.*max_position_embeddings 4096/,
      )
  }
})

test('presets of the same shapes: in what they differ, field by field', () => {
  const shapes = new Map<string, string[]>()
  for (const [name, { hidden_size, num_hidden_layers, intermediate_size }] of presets) {
    const key = String([hidden_size, num_hidden_layers, intermediate_size])
    shapes.set(key, [...(shapes.get(key) ?? []), name])
  }
  const told = new Set<string>()
  for (const [first = '', ...others] of shapes.values()) {
    const taken = presets.get(first)
    assert.ok(taken)
    const { notes } = read(listingOf(modelOf(taken)), {})
    for (const name of others) {
      const other = presets.get(name)
      const differing = (['rms_norm_eps', 'rope_theta', 'max_position_embeddings'] as const).filter(
        (field) => other?.[field] !== taken[field],
      )
      const line = notes.find((note) => note.startsWith(`${name} has the same shapes`))
      assert.is(line === undefined, differing.length === 0, name)
      for (const field of differing) {
        assert.match(line ?? '', `${field} ${other?.[field]} for ${taken[field]}`)
        told.add(field)
      }
    }
  }
  assert.is(told.size, 3, 'all three fields differ somewhere')
})

test('each preset fits a checkpoint of its own shapes', () => {
  for (const [name, preset] of presets) {
    const choice = { given: { values: preset, from: name } }
    assert.equal(read(listingOf(modelOf(preset)), choice).config, preset, name)
  }
})

test('a checkpoint without layers, or with nothing', async () => {
  await fails(() => read(listingOf({ ...small, layers: 0 })), 'input', 'no layer')
  await fails(() => read({ ...listingOf(small), arrays: [] }), 'input', 'weights')
})

test.run()

function modelOf(config: ModelConfig): Model {
  return {
    vocab: config.vocab_size,
    hidden: config.hidden_size,
    intermediate: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headDim: config.head_dim,
  }
}
