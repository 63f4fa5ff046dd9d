import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveCheckpoint } from '../../../src/checkpoint/checkpoint.js'
import type { About } from '../../../src/formats/about.js'
import type { Target, TargetOptions } from '../../../src/formats/format.js'
import { listFile, safetensors } from '../../../src/formats/hf/safetensors.js'
import { splitShards } from '../../../src/formats/hf/shards.js'
import { loadTokenizer } from '../../../src/tokenizer/load.js'
import { equalBytes } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { configOf, listingOf } from '../../support/listing.js'
import { fixtures, small, tensorsOf } from '../../support/llama.js'
import { fixture, shared } from '../../support/paths.js'
import {
  bytesOfArray,
  decode,
  expectedTensors,
  hashOfF32,
  inMemory,
} from '../../support/sources.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: safetensors')

/** A file with this header, however wrong, and this many bytes behind it. */
function file(header: object | string, bytes: number): Uint8Array {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(bytes)])
}

const list = (bytes: Uint8Array) => listFile(inMemory(bytes).source)
const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
})

test('what the reference implementation accepts', async () => {
  const header = {
    __metadata__: { format: 'pt' },
    b: entry(8, 24, [2, 2]),
    a: entry(0, 8),
    empty: entry(24, 24, [0, 7]),
    scalar: entry(24, 28, []),
  }
  const arrays = await list(file(header, 28))
  assert.equal(
    arrays.map(({ name, shape }) => [name, shape]),
    [
      ['a', [2]],
      ['b', [2, 2]],
      ['empty', [0, 7]],
      ['scalar', []],
    ],
  )
  const start = 8 + JSON.stringify(header).length
  assert.equal(arrays[1]?.parts[0]?.extents, [{ path: 'weights', offset: start + 8, length: 16 }])
  assert.equal(await list(file({}, 0)), [])
})

test('what the format forbids: each with tensor and numbers', async () => {
  const cases: [string, Uint8Array, (string | number)[]][] = [
    ['a gap at the start', file({ a: entry(4, 8) }, 8), ['tensor "a"', 'gap', 4, 0]],
    ['a gap', file({ a: entry(0, 8), b: entry(12, 16) }, 16), ['tensor "b"', 'gap', 12, 8]],
    ['an overlap', file({ a: entry(0, 8), b: entry(4, 12) }, 12), ['tensor "b"', 'overlaps', 4, 8]],
    ['a byte left over', file({ a: entry(0, 8) }, 9), ['has']],
    ['a byte too few', file({ a: entry(0, 8) }, 7), ['tensor "a"', 'truncated']],
    ['backwards', file({ a: { ...entry(0, 8), data_offsets: [8, 0] } }, 8), ['tensor "a"', 8, 0]],
    ['a wrong size', file({ a: entry(0, 8, [3]) }, 8), ['tensor "a"', '12 bytes, it has 8']],
    [
      'a shape that overflows',
      file({ a: entry(0, 8, [2 ** 40, 2 ** 40]) }, 8),
      ['tensor "a"', 'no size'],
    ],
    ['an unknown dtype', file({ a: entry(0, 8, [2], 'F9') }, 8), ['tensor "a"', 'F9', 'BF16']],
    [
      'a dtype that is an object',
      file({ a: { ...entry(0, 8), dtype: {} } }, 8),
      ['tensor "a"', 'dtype'],
    ],
    [
      'integers of a wrong size',
      file({ a: entry(0, 8, [2], 'F8_E4M3') }, 8),
      ['tensor "a"', '[2] of F8_E4M3', 8],
    ],
    [
      'six-bit floats that fill no whole bytes',
      file({ a: entry(0, 2, [3], 'F6_E2M3') }, 2),
      ['tensor "a"', 'F6_E2M3', 2],
    ],
    ['no dtype', file({ a: { shape: [2], data_offsets: [0, 8] } }, 8), ['tensor "a"', 'dtype']],
    [
      'a negative offset',
      file({ a: { ...entry(0, 8), data_offsets: [-8, 0] } }, 8),
      ['tensor "a"', 'data_offsets'],
    ],
    ['a fractional shape', file({ a: entry(0, 8, [0.5, 4]) }, 8), ['tensor "a"', 'shape']],
    ['three offsets', file({ a: { ...entry(0, 8), data_offsets: [0, 4, 8] } }, 8), ['tensor "a"']],
    ['no offsets', file({ a: { dtype: 'F32', shape: [2] } }, 8), ['tensor "a"']],
    ['an entry that is no object', file({ a: 5 }, 8), ['tensor "a"', 'object']],
    ['a header that is no object', file('[]', 0), ['JSON object']],
    ['a header that is no JSON', file('{"a":', 0), ['JSON']],
    [
      'a header that is no UTF-8',
      Buffer.concat([Buffer.from('0400000000000000', 'hex'), Buffer.from('7b22ff7d', 'hex')]),
      ['JSON'],
    ],
    ['seven bytes', new Uint8Array(7), [7, 8]],
    [
      'a header of 2^40 bytes',
      Buffer.concat([Buffer.from('0000000000010000', 'hex'), Buffer.from('{}')]),
      [2 ** 40, 100_000_000],
    ],
    [
      'a header longer than the file',
      Buffer.concat([Buffer.from('ff00000000000000', 'hex'), Buffer.from('{}')]),
      [263, 10, 'truncated'],
    ],
  ]
  for (const [what, bytes, parts] of cases) {
    const error = await fails(() => list(bytes), 'input', 'weights', ...parts)
    assert.ok(error.message.length < 300, what)
  }
})

test('detection: a header length below the cap and an opening brace', () => {
  assert.ok(safetensors.detect?.(file({ a: entry(0, 8) }, 8)))
  assert.not(safetensors.detect?.(Buffer.from('{"a": 1, "b": 2}')))
  assert.not(safetensors.detect?.(new Uint8Array(512)))
  assert.not(safetensors.detect?.(Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0)))
})

for (const folder of ['hf-bf16', 'hf-f32-sharded']) {
  for (const name of ['tiny-v1', 'tiny-v2'] as const) {
    test(`${name}: ${folder}, as transformers wrote it, holds the expected values`, async () => {
      const path = shared('safetensors by transformers', 'fixtures', name, folder)
      if (path === undefined) return
      const entries =
        folder === 'hf-bf16'
          ? ['model.safetensors']
          : ['model.safetensors.index.json', 'model-00001-of-00004.safetensors']
      const chosen = safetensors.detectDirectory?.(entries)
      assert.is(chosen, entries[0])
      const listing = await safetensors.open?.(join(path, chosen ?? ''))
      assert.is(listing?.files.length, folder === 'hf-bf16' ? 1 : name === 'tiny-v1' ? 4 : 5)
      const expected = expectedTensors(name)
      assert.is(listing?.arrays.length, expected.size)
      for (const array of listing?.arrays ?? []) {
        const bytes = bytesOfArray(array, readFileSync(array.parts[0]?.extents[0]?.path ?? ''))
        assert.is(
          hashOfF32(decode(bytes, array.dtype)),
          expected.get(array.name)?.sha256_f32,
          array.name,
        )
      }
    })
  }
}

test('an index that disagrees with its shards', async () => {
  const folder = tempDir()
  writeFileSync(join(folder, 'one.safetensors'), file({ a: entry(0, 8) }, 8))
  writeFileSync(join(folder, 'two.safetensors'), file({ b: entry(0, 8) }, 8))
  writeFileSync(join(folder, 'three.safetensors'), file({ b: entry(0, 8), c: entry(8, 16) }, 16))
  const index = join(folder, 'model.safetensors.index.json')
  const open = async (map: unknown) => {
    writeFileSync(index, JSON.stringify({ weight_map: map }))
    return safetensors.open?.(index)
  }
  const good = await open({ a: 'one.safetensors', b: 'two.safetensors' })
  assert.equal(good?.arrays.map(({ name }) => name).sort(), ['a', 'b'])
  for (const [map, ...parts] of [
    [{ a: 'one.safetensors', b: 'one.safetensors' }, 'b'],
    [{ a: 'one.safetensors', b: 'three.safetensors' }, 'tensor "c"', 'not in the index'],
    [
      { a: 'one.safetensors', b: 'two.safetensors', c: 'three.safetensors' },
      'tensor "b"',
      'two.safetensors',
      'three.safetensors',
    ],
    [{ a: 'one.safetensors', b: 'four.safetensors' }, 'four.safetensors', '1 is missing'],
    [{ a: 'one.safetensors', b: '../two.safetensors' }, 'tensor "b"', 'no file of this folder'],
    [{ a: 'one.safetensors', b: '/etc/passwd' }, 'tensor "b"', 'no file of this folder'],
    [{ a: 'one.safetensors', b: 'C:two.safetensors' }, 'tensor "b"', 'no file of this folder'],
    [{ a: '..' }, 'tensor "a"', 'no file of this folder'],
    [{ a: 5 }, 'tensor "a"', 'no file of this folder'],
    [undefined, 'weight_map'],
    [[], 'weight_map'],
  ] as const)
    await fails(() => open(map), 'input', ...parts)
})

test('shards: in order, none empty, none over the limit unless one tensor is', () => {
  const split = (sizes: number[], most: number) => splitShards(sizes, (size) => size, most)
  assert.equal(split([3, 3, 3, 3], 6), [
    [3, 3],
    [3, 3],
  ])
  assert.equal(split([3, 3, 3], 100), [[3, 3, 3]])
  assert.equal(split([9, 1, 1, 9, 1], 5), [[9], [1, 1], [9], [1]])
  assert.equal(split([5, 5], 5), [[5], [5]])
})

const about: About = { folder: 'test', card: new Map(), generation: {}, notes: [] }

const checkpoint = resolveCheckpoint(
  listingOf(small),
  { given: { values: configOf(small), from: 'test' } },
  { beside: [] },
)
const describe = (options: Partial<TargetOptions> = {}): Target => {
  const target = safetensors.describe?.(checkpoint, {
    dtype: 'bf16',
    maxShardSize: 5e9,
    about,
    ...options,
  })
  if (target === undefined) throw new Error('safetensors cannot be written')
  return target
}

/** The bytes of a described file, with zeros for weights. */
function written(target: Target, name: string): Uint8Array {
  const found = target.files.find((each) => each.name === name)
  assert.ok(found, name)
  const bytes = new Uint8Array(found.size)
  for (const literal of found.literals) bytes.set(literal.bytes, literal.offset)
  return bytes
}

const tokenizerPath = fixture('tiny-v2', 'easylm', 'tokenizer.model')

test('one file: our reader takes it, in the order of a forward pass, aligned to 8, format pt', async () => {
  const tokenizer = await loadTokenizer({
    path: tokenizerPath,
    files: [],
    tokenizer: { model: tokenizerPath, beside: [] },
  })
  assert.ok(tokenizer)
  const target = describe({ tokenizer })
  assert.equal(
    target.files.map(({ name }) => name),
    [
      'model.safetensors',
      'config.json',
      'generation_config.json',
      'tokenizer.model',
      'tokenizer.json',
      'tokenizer_config.json',
      'special_tokens_map.json',
    ],
  )
  const bytes = written(target, 'model.safetensors')
  const arrays = await list(bytes)
  assert.equal(
    arrays.map(({ name, shape, dtype }) => [name, shape, dtype]),
    tensorsOf(small).map(({ hf, shape }) => [hf, shape, 'bf16']),
  )
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true))
  assert.is(length % 8, 0)
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)))
  assert.equal(header.__metadata__, { format: 'pt' })
  for (const [name, { parts }] of target.tensors) {
    const found = arrays.find((array) => array.name === name)
    assert.equal(found?.parts[0]?.extents[0]?.offset, parts[0]?.extents[0]?.offset, name)
  }
  equalBytes(written(target, 'tokenizer.model'), readFileSync(tokenizerPath), 'tokenizer.model')
})

test('shards: each whole by itself, the index names them, the total is of the weights', async () => {
  for (const most of [1, 1000, 6000, 20_000]) {
    const target = describe({ maxShardSize: most, dtype: 'f32' })
    const index = JSON.parse(
      new TextDecoder().decode(written(target, 'model.safetensors.index.json')),
    )
    const names = target.files
      .map(({ name }) => name)
      .filter((name) => name.endsWith('.safetensors'))
    assert.ok(names.length > 1)
    const all = new Map<string, string>()
    for (const [i, name] of names.entries()) {
      const digits = (n: number) => String(n).padStart(5, '0')
      assert.is(name, `model-${digits(i + 1)}-of-${digits(names.length)}.safetensors`)
      const arrays = await list(written(target, name))
      assert.ok(arrays.length > 0, `${name} is empty`)
      const bytes = arrays.reduce((sum, { parts }) => sum + (parts[0]?.extents[0]?.length ?? 0), 0)
      assert.ok(bytes <= most || arrays.length === 1, `${name} has ${bytes} bytes`)
      for (const array of arrays) all.set(array.name, name)
    }
    assert.equal(index.weight_map, Object.fromEntries(all))
    assert.is(all.size, tensorsOf(small).length)
    const elements = tensorsOf(small).map(({ shape }) => shape.reduce((a, b) => a * b, 1))
    assert.is(index.metadata.total_size, 4 * elements.reduce((a, b) => a + b, 0))
  }
})

test('a type that is given is every tensor’s; auto keeps each one’s own', () => {
  for (const dtype of ['f32', 'f16', 'bf16'] as const) {
    for (const tensor of describe({ dtype }).tensors.values()) assert.is(tensor.dtype, dtype)
  }
  for (const tensor of describe({ dtype: 'auto' }).tensors.values()) assert.is(tensor.dtype, 'f32')
})

test('tied embeddings: no head is written, and config.json says so', () => {
  const model = { ...fixtures['tiny-v2'], tied: true }
  const tied = resolveCheckpoint(
    listingOf(model),
    { given: { values: configOf(model), from: 'test' } },
    { beside: [] },
  )
  const target = safetensors.describe?.(tied, {
    dtype: 'auto',
    maxShardSize: 5e9,
    about,
  })
  assert.ok(target)
  assert.not(target.tensors.has('lm_head.weight'))
  const config = JSON.parse(new TextDecoder().decode(written(target, 'config.json')))
  assert.is(config.tie_word_embeddings, true)
})

test('a dtype that is a property of every object is none of ours', async () => {
  const header = { a: entry(0, 4, [1], 'constructor') }
  await fails(() => list(file(header, 4)), 'input', 'dtype is "constructor"', 'F32')
})

test.run()
