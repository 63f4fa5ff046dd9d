import { readFile } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listParameters } from '../../../src/formats/flax/flax.js'
import { equalBytes } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { fixtures, hfValues, small, tensorsOf } from '../../support/llama.js'
import { shared } from '../../support/paths.js'
import {
  bytesOfArray,
  decode,
  expectedTensors,
  hashOfF32,
  inMemory,
} from '../../support/sources.js'
import { arraysOf, Ndarray, packed, treeOf } from '../../support/stream.js'

const test = suite('formats: flax')

const list = (bytes: Uint8Array) => listParameters(inMemory(bytes).source)
const arrays = arraysOf(small, 'float32')

for (const [file, chunked] of [
  ['flax_params.msgpack', false],
  ['flax_params_chunked.msgpack', true],
] as const) {
  test(`${file}, as flax wrote it, holds the expected values`, async () => {
    const path = shared('flax’s own files', 'fixtures', 'tiny-v2', 'easylm', file)
    if (path === undefined) return
    const bytes = await readFile(path)
    const model = fixtures['tiny-v2']
    const found = (await list(bytes)).arrays
    const expected = expectedTensors('tiny-v2')
    assert.is(found.length, expected.size)
    let pieces = 0
    for (const tensor of tensorsOf(model)) {
      const array = found.find(({ name }) => name === tensor.easylm)
      assert.ok(array, tensor.easylm)
      pieces += array.parts[0]?.extents.length ?? 0
      const values = hfValues(decode(bytesOfArray(array, bytes), array.dtype), tensor, model)
      assert.is(hashOfF32(values), expected.get(tensor.hf)?.sha256_f32, tensor.hf)
    }
    assert.is(pieces > found.length, chunked)
  })
}

test('with and without the params that flax wraps them in', async () => {
  for (const root of [[], ['params'], ['params', 'params']]) {
    const bytes = treeOf(arrays, root)
    const listing = await list(bytes)
    assert.equal(listing.arrays.map(({ name }) => name).sort(), arrays.map(({ key }) => key).sort())
    for (const { key, data } of arrays) {
      const found = listing.arrays.find(({ name }) => name === key)
      assert.ok(found)
      equalBytes(bytesOfArray(found, bytes), data, key)
    }
  }
})

test('a whole train state: the optimiser’s is stepped over, and said so', async () => {
  const params = treeOf(arrays, ['params'])
  const state = Buffer.concat([
    Uint8Array.of(0x83),
    packed('step'),
    packed(12),
    packed('opt_state'),
    packed({ 0: { count: 1, mu: new Ndarray([2], 'int8', new Uint8Array(2)), nil: null } }),
    packed('params'),
    params,
  ])
  const listing = await list(state)
  assert.equal(listing.arrays.map(({ name }) => name).sort(), arrays.map(({ key }) => key).sort())
  assert.match(listing.notes.join(), /train state.*step, opt_state/)
})

test('indexing reads no payload', async () => {
  const big = {
    key: 'lm_head/kernel',
    dtype: 'float32',
    shape: [1000, 500],
    data: new Uint8Array(2e6),
  }
  const counted = inMemory(treeOf([big]))
  await listParameters(counted.source)
  assert.ok(counted.bytes < 2000, `${counted.bytes} bytes were read`)
})

test('a tree cut anywhere, or with anything behind it', async () => {
  const bytes = treeOf(
    arraysOf({ ...small, layers: 1, hidden: 4, intermediate: 6, vocab: 5 }, 'float16'),
  )
  for (let length = 0; length < bytes.length; length++)
    await fails(() => list(bytes.subarray(0, length)), 'input', 'weights', 'truncated')
  await fails(
    () => list(Buffer.concat([bytes, Uint8Array.of(0xc0)])),
    'input',
    '1 bytes too many',
    bytes.length,
  )
})

test('what is no array: by its name and what it is', async () => {
  await fails(
    () => list(packed({ params: { lm_head: { kernel: 5 } } })),
    'input',
    'params/lm_head/kernel',
    'number',
  )
  await fails(
    () => list(packed({ params: { lm_head: { kernel: 'x' } } })),
    'input',
    'params/lm_head/kernel',
    'string',
  )
  await fails(() => list(packed({ params: { lm_head: [1] } })), 'input', 'params/lm_head', 'array')
  await fails(() => list(packed([1])), 'input', 'the tree of parameters', 'byte 0', 'array')
  const eight = new Ndarray([2], 'int8', new Uint8Array(2))
  await fails(() => list(packed({ a: eight })), 'input', 'int8', 'float32')
})

test('a name that is there twice', async () => {
  const leaf = packed(new Ndarray([1], 'float32', new Uint8Array(4)))
  const twice = Buffer.concat([Uint8Array.of(0x82), packed('a'), leaf, packed('a'), leaf])
  await fails(() => list(twice), 'input', 'tensor "a"', 'second time')
})

test('nesting without end', async () => {
  const deep = Buffer.concat(Array.from({ length: 5000 }, () => Buffer.from('81a161', 'hex')))
  await fails(() => list(deep), 'input', 'levels deep')
})

test('a map that claims 2^32 entries', async () => {
  await fails(() => list(Buffer.from('dfffffffffa161c0', 'hex')), 'input', 'weights')
})

const piece = (n: number, dtype = 'float32') =>
  new Ndarray([n], dtype, new Uint8Array(n * (dtype === 'float32' ? 4 : 2)))

test('chunked arrays that do not add up', async () => {
  const tree = (chunked: object) => packed({ w: { __msgpack_chunked_array__: true, ...chunked } })
  const good = { shape: { 0: 2, 1: 3 }, chunks: { 0: piece(4), 1: piece(2) } }
  assert.equal((await list(tree(good))).arrays[0]?.shape, [2, 3])
  for (const [bad, ...parts] of [
    [{ ...good, chunks: { 0: piece(4) } }, '24 bytes, it has 16'],
    [{ ...good, chunks: { 0: piece(4), 2: piece(2) } }, '"2"', '"1"'],
    [{ ...good, chunks: { 0: piece(4), 1: piece(4, 'float16') } }, 'f32', 'f16'],
    [{ ...good, chunks: {} }, 'lacks'],
    [{ chunks: good.chunks }, 'lacks'],
    [{ shape: good.shape }, 'lacks'],
    [{ ...good, other: 1 }, 'unknown key "other"'],
    [{ ...good, shape: { 0: 2, 1: -3 } }, 'no size'],
    [{ ...good, shape: { 0: 2, 1: 'x' } }, 'shape of "w"'],
    [{ ...good, chunks: { 0: 5 } }, 'number'],
  ] as const)
    await fails(() => list(tree(bad)), 'input', 'w', ...parts)
})

test.run()
