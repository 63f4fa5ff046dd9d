import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Listing } from '../../../src/checkpoint/checkpoint.js'
import { presets } from '../../../src/checkpoint/presets.js'
import { listStream } from '../../../src/formats/flax/easylm.js'
import { openFile } from '../../../src/io/source.js'
import { equalBytes } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { fixtureValues, inF16 } from '../../support/fixtures.js'
import { recordHead } from '../../support/heads.js'
import {
  easylmShape,
  fixtures,
  hfValues,
  type Model,
  small,
  tensorsOf,
} from '../../support/llama.js'
import { fixture, shared } from '../../support/paths.js'
import {
  bytesOfArray,
  counting,
  decode,
  expectedTensors,
  hashOfF32,
  inMemory,
} from '../../support/sources.js'
import { makeSparse } from '../../support/sparse.js'
import { arrayRecord, arraysOf, ndarray, packed, record, streamOf } from '../../support/stream.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: easylm')
const models = Object.entries(fixtures)

const list = (bytes: Uint8Array, loader?: string) => listStream(inMemory(bytes).source, loader)

for (const [name, model] of models) {
  test(`${name}: bf16, as EasyLM wrote it, holds the expected values`, async () => {
    const path = fixture(name, 'easylm', 'streaming_params_bf16')
    await holdsExpected(path, name, model, 'bf16')
  })

  for (const [file, dtype] of [
    ['streaming_params_fp32', 'f32'],
    ['streaming_params_fp16', 'f16'],
  ] as const) {
    test(`${name}: ${file}, as EasyLM wrote it, holds the expected values`, async () => {
      const path = shared('EasyLM’s own files of other types', 'fixtures', name, 'easylm', file)
      if (path !== undefined) await holdsExpected(path, name, model, dtype)
    })
  }

  test(`${name}: our heads are the bytes that EasyLM wrote`, async () => {
    const path = fixture(name, 'easylm', 'streaming_params_bf16')
    const bytes = await readFile(path)
    let end = 0
    for (const { name: key, shape, parts } of (await list(bytes)).arrays) {
      const { offset, length } = parts[0]?.extents[0] ?? { offset: 0, length: 0 }
      equalBytes(recordHead(key, 'bf16', shape), bytes.subarray(end, offset), key)
      end = offset + length
    }
    assert.is(end, bytes.length)
  })
}

test('a train state: the parameters are taken, the rest is stepped over, and said so', async () => {
  const path = shared(
    'EasyLM’s own train state',
    'fixtures',
    'tiny-v2',
    'easylm',
    'streaming_train_state_bf16',
  )
  if (path === undefined) return
  await holdsExpected(path, 'tiny-v2', fixtures['tiny-v2'], 'bf16', (listing) => {
    assert.is(listing.notes.length, 1)
    assert.match(listing.notes[0] ?? '', /train state.*optimiser.*left out/)
    assert.match(listing.notes[0] ?? '', 'opt_state/')
    assert.match(listing.notes[0] ?? '', 'step')
  })
})

const state = Buffer.concat([
  record('step', packed(1000)),
  ...arraysOf(small, 'float32').map((array) =>
    arrayRecord({ ...array, key: `params/params/${array.key}` }),
  ),
  record('opt_state/0/count', packed(7)),
  record('opt_state/1/0/mu/params/lm_head/kernel', ndarray([2], 'int8', new Uint8Array(2))),
])
const plain = streamOf(arraysOf(small, 'float32'))

test('what the optimiser keeps may be of any type, and is not listed', async () => {
  for (const loader of [undefined, 'trainstate_params', 'trainstate']) {
    const { arrays, notes } = await list(state, loader)
    assert.equal(
      arrays.map(({ name }) => name),
      tensorsOf(small).map(({ easylm }) => easylm),
    )
    assert.match(
      notes.join(),
      '3 arrays: step, opt_state/0/count, opt_state/1/0/mu/params/lm_head/kernel',
    )
  }
  assert.equal((await list(plain)).notes, [])
})

test('params:: of a whole train state is refused and the right load type named', async () => {
  await fails(
    () => list(state, 'params'),
    'input',
    'params::',
    'trainstate_params::weights',
    'train state',
  )
  assert.is((await list(plain, 'params')).arrays.length, tensorsOf(small).length)
})

test('params wrapped in params, as flax has them', async () => {
  const wrapped = streamOf(
    arraysOf(small, 'float32').map((array) => ({ ...array, key: `params/${array.key}` })),
  )
  assert.equal(
    (await list(wrapped)).arrays.map(({ name }) => name),
    tensorsOf(small).map(({ easylm }) => easylm),
  )
})

test('7B in f32, 27 GB: indexing reads less than 1 MB', async () => {
  const config = presets.get('open_llama_7b')
  assert.ok(config)
  const model: Model = {
    vocab: config.vocab_size,
    hidden: config.hidden_size,
    intermediate: config.intermediate_size,
    layers: config.num_hidden_layers,
    heads: config.num_attention_heads,
    kvHeads: config.num_key_value_heads,
    headDim: config.head_dim,
  }
  const path = join(tempDir(), 'streaming_params')
  const size = await makeSparse(path, model, 'f32')
  const expected = tensorsOf(model)
  assert.ok(size > 26.9e9, `${size} bytes`)
  const inner = await openFile(path)
  const counted = counting(inner)
  const listing = await listStream(counted.source)
  await inner.close()
  assert.is(listing.arrays.length, 291)
  assert.equal(
    listing.arrays.map(({ name }) => name),
    expected.map(({ easylm }) => easylm),
  )
  assert.ok(counted.bytes < 200_000, `${counted.bytes} bytes were read`)
  assert.ok(counted.reads <= 2 * 291, `${counted.reads} reads`)
  const last = listing.arrays.at(-1)?.parts[0]?.extents[0]
  assert.is(last && last.offset + last.length, size)
})

const one = { key: 'lm_head/kernel', dtype: 'float32', shape: [2, 3], data: new Uint8Array(24) }
const whole = arrayRecord(one)

test('a record that is not what EasyLM writes: what, where, and what is there instead', async () => {
  const cases: [string, Uint8Array, (string | number)[]][] = [
    [
      'a dtype that is not known',
      arrayRecord({ ...one, dtype: 'float8_e4m3fn' }),
      ['float8_e4m3fn', 'lm_head/kernel', 'bfloat16'],
    ],
    [
      'too few bytes',
      arrayRecord({ ...one, data: new Uint8Array(20) }),
      ['[2, 3] of f32 takes 24 bytes, it has 20', 'lm_head/kernel'],
    ],
    ['too many bytes', arrayRecord({ ...one, data: new Uint8Array(28) }), [24, 28]],
    ['a shape of 2^40 bytes', arrayRecord({ ...one, shape: [2 ** 19, 2 ** 19] }), [2 ** 40, 24]],
    [
      'a shape that overflows',
      arrayRecord({ ...one, shape: [2 ** 31, 2 ** 31, 2 ** 31] }),
      ['no size'],
    ],
    ['a negative shape', arrayRecord({ ...one, shape: [-2, -3] }), ['[-2, -3]', 'no size']],
    ['a fractional shape', arrayRecord({ ...one, shape: [1.5, 4] }), ['1.5', 'no size']],
    [
      'a shape of nine dimensions',
      arrayRecord({ ...one, shape: [1, 1, 1, 1, 1, 1, 1, 2, 3] }),
      ['9 dimensions'],
    ],
    [
      'an empty value',
      record('lm_head/kernel', new Uint8Array(0)),
      ['ends at byte', 'lm_head/kernel'],
    ],
    [
      'a scalar',
      record('lm_head/kernel', packed(5)),
      ['number', 'extension of type 1', 'lm_head/kernel'],
    ],
    [
      'bytes behind the array',
      record(
        'lm_head/kernel',
        Buffer.concat([ndarray([1], 'float32', new Uint8Array(4)), Uint8Array.of(0)]),
      ),
      ['its array ends', 'lm_head/kernel'],
    ],
    [
      'a value that is no binary',
      packed([['lm_head', 'kernel'], 'text']),
      ['lm_head/kernel', 'string'],
    ],
    [
      'a key that is no array',
      packed(['lm_head', Buffer.alloc(4)]),
      ['the key of record 1', 'string'],
    ],
    ['a key that is no text', packed([[1, 2], Buffer.alloc(4)]), ['the key of record 1', 'number']],
    [
      'three things',
      packed([['a'], Buffer.alloc(4), 1]),
      ['byte 0', 'record [key, value]', 'EasyLM'],
    ],
    ['a map', packed({ a: 1 }), ['byte 0', 'record [key, value]']],
  ]
  for (const [what, bytes, parts] of cases) {
    const error = await fails(() => list(bytes), 'input', 'easylm: weights', ...parts)
    assert.ok(error.message.length < 400, what)
  }
})

test('garbage behind the last record: where it starts, and that what is before it is whole', async () => {
  for (const garbage of ['00', '00000000', '7b7d', '93', 'c1', '3c68746d6c3e'])
    await fails(
      () => list(Buffer.concat([whole, Buffer.from(garbage, 'hex')])),
      'input',
      whole.length,
      /00|7b|93|3c/.test(garbage) ? '1 records before it' : 'weights',
    )
})

test('a key that is there twice', async () => {
  await fails(
    () => list(Buffer.concat([whole, whole])),
    'input',
    'lm_head/kernel',
    'second time',
    `byte ${whole.length}`,
  )
})

test('a stream cut anywhere: an error that says where it ends, but for between records', async () => {
  const stream = streamOf(
    arraysOf({ ...small, layers: 1, hidden: 4, intermediate: 6, vocab: 5 }, 'bfloat16'),
  )
  const { arrays } = await list(stream)
  const ends = new Map<number, number>([[0, 0]])
  arrays.forEach(({ parts }, i) => {
    const { offset, length } = parts[0]?.extents[0] ?? { offset: 0, length: 0 }
    ends.set(offset + length, i + 1)
  })
  assert.is(ends.size, arrays.length + 1)
  for (let length = 0; length < stream.length; length++) {
    const cut = stream.subarray(0, length)
    const records = ends.get(length)
    if (records !== undefined) assert.is((await list(cut)).arrays.length, records)
    else await fails(() => list(cut), 'input', `ends at byte ${length}`, 'truncated', 'weights')
  }
})

test('an array in chunks, as flax writes it over 1 GiB', async () => {
  const data = Uint8Array.from({ length: 24 }, (_, i) => i)
  const chunks = chunked([2, 3], [data.subarray(0, 8), data.subarray(8, 12), data.subarray(12)])
  const file = record('lm_head/kernel', chunks)
  const [array] = (await list(file)).arrays
  assert.ok(array)
  assert.equal([array.dtype, array.shape], ['f32', [2, 3]])
  assert.is(array.parts[0]?.extents.length, 3)
  equalBytes(bytesOfArray(array, file), data, 'the chunks in a row')
  const missing = record('lm_head/kernel', chunked([2, 3], [data.subarray(0, 8)]))
  await fails(() => list(missing), 'input', 'lm_head/kernel', 24, 8)
})

test('a dtype that is a property of every object is none of ours', async () => {
  const bytes = arrayRecord({ ...one, dtype: 'constructor' })
  await fails(() => list(bytes), 'input', 'dtype is "constructor"', 'float32')
})

test('random state beside the parameters may be of any type', async () => {
  const key = record('dropout_rng', ndarray([2], 'uint32', new Uint8Array(8)))
  const { arrays, notes } = await list(Buffer.concat([key, state]))
  assert.is(arrays.length, tensorsOf(small).length)
  assert.match(notes.join(), '4 arrays: dropout_rng')
})

test.run()

function chunked(shape: number[], pieces: Uint8Array[]): Uint8Array {
  const map = (entries: [string, Uint8Array][]) =>
    Buffer.concat([
      Uint8Array.of(0x80 + entries.length),
      ...entries.flatMap(([key, value]) => [packed(key), value]),
    ])
  return map([
    ['__msgpack_chunked_array__', packed(true)],
    ['shape', map(shape.map((n, i) => [String(i), packed(n)]))],
    [
      'chunks',
      map(pieces.map((piece, i) => [String(i), ndarray([piece.length / 4], 'float32', piece)])),
    ],
  ])
}

/** Every tensor of a file, brought to Hugging Face's layout by plain loops, hashes as expected. */
async function holdsExpected(
  path: string,
  name: string,
  model: Model,
  dtype: 'f32' | 'f16' | 'bf16',
  also: (listing: Listing) => void = (listing) => assert.equal(listing.notes, []),
): Promise<void> {
  const file = await readFile(path)
  const listing = await list(file)
  also(listing)
  const expected = expectedTensors(name)
  assert.is(listing.arrays.length, expected.size)
  const exact = await fixtureValues(model === fixtures['tiny-v1'] ? 'tiny-v1' : 'tiny-v2')
  for (const tensor of tensorsOf(model)) {
    const array = listing.arrays.find((each) => each.name === tensor.easylm)
    assert.ok(array, tensor.easylm)
    assert.is(array.dtype, dtype)
    assert.equal(array.shape, easylmShape(tensor))
    const values = hfValues(decode(bytesOfArray(array, file), dtype), tensor, model)
    const wanted = expected.get(tensor.hf)
    if (dtype !== 'f16') assert.is(hashOfF32(values), wanted?.sha256_f32, tensor.hf)
    else assert.is(hashOfF32(values), hashOfF32(inF16(exact.get(tensor.hf))), tensor.hf)
  }
}
