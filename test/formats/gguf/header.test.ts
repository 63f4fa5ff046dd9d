import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseHeader, readHeader } from '../../../src/formats/gguf/header.js'
import { OpenLlamaError } from '../../../src/io/errors.js'
import { seeded } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import {
  modelEntries,
  modelTensors,
  oneFloat,
  type RawFile,
  rawGguf,
  text,
  texts,
  u32,
  valueTypes,
} from '../../support/gguf.js'
import { small } from '../../support/llama.js'
import { inMemory } from '../../support/sources.js'

const test = suite('formats: GGUF headers')

const read = (bytes: Uint8Array) => readHeader(inMemory(bytes).source)

const tensor = { name: 'a', dimensions: [1], type: 0, data: oneFloat(1) }
const file = (changes: Partial<RawFile> = {}) =>
  rawGguf({ entries: [text('general.name', 'x')], tensors: [tensor], ...changes })

test('every value type, in both byte orders', async () => {
  for (const bigEndian of [false, true]) {
    const bytes = rawGguf({
      bigEndian,
      tensors: [],
      entries: [
        { key: 'u8', type: valueTypes.uint8, value: (w) => w.u8(200) },
        { key: 'i8', type: valueTypes.int8, value: (w) => w.u8(0xfe) },
        { key: 'u16', type: valueTypes.uint16, value: (w) => w.u16(60000) },
        { key: 'i16', type: valueTypes.int16, value: (w) => w.u16(0xfffe) },
        { key: 'u32', type: valueTypes.uint32, value: (w) => w.u32(4e9) },
        { key: 'i32', type: valueTypes.int32, value: (w) => w.i32(-7) },
        { key: 'f32', type: valueTypes.float32, value: (w) => w.f32(0.5) },
        { key: 'f64', type: valueTypes.float64, value: (w) => w.f64(0.1) },
        { key: 'u64', type: valueTypes.uint64, value: (w) => w.u64(2n ** 64n - 1n) },
        { key: 'i64', type: valueTypes.int64, value: (w) => w.u64(2n ** 64n - 5n) },
        { key: 'yes', type: valueTypes.bool, value: (w) => w.u8(1) },
        { key: 'text', type: valueTypes.string, value: (w) => w.text('\uFEFF서울') },
        {
          key: 'ints',
          type: valueTypes.array,
          value: (w) => w.u32(valueTypes.int32).u64(2).i32(-1).i32(2),
        },
        {
          key: 'bigs',
          type: valueTypes.array,
          value: (w) =>
            w
              .u32(valueTypes.uint64)
              .u64(1)
              .u64(2n ** 63n),
        },
        {
          key: 'flags',
          type: valueTypes.array,
          value: (w) => w.u32(valueTypes.bool).u64(2).u8(0).u8(1),
        },
        texts('texts', ['', '▁a']),
      ],
    })
    const { entries, littleEndian } = await read(bytes)
    assert.is(littleEndian, !bigEndian)
    assert.equal(
      entries.map(({ key, type, value }) => [key, type, value]),
      [
        ['u8', 'uint8', 200],
        ['i8', 'int8', -2],
        ['u16', 'uint16', 60000],
        ['i16', 'int16', -2],
        ['u32', 'uint32', 4e9],
        ['i32', 'int32', -7],
        ['f32', 'float32', 0.5],
        ['f64', 'float64', 0.1],
        ['u64', 'uint64', 2n ** 64n - 1n],
        ['i64', 'int64', -5n],
        ['yes', 'bool', true],
        ['text', 'string', '\uFEFF서울'],
        ['ints', 'int32[]', Int32Array.of(-1, 2)],
        ['bigs', 'uint64[]', BigUint64Array.of(2n ** 63n)],
        ['flags', 'bool[]', [false, true]],
        ['texts', 'string[]', ['', '▁a']],
      ],
    )
  }
})

test('versions 2 and 3 and both byte orders say the same', async () => {
  const [first, ...others] = await Promise.all(
    [2, 3].flatMap((version) =>
      [false, true].map((bigEndian) =>
        read(
          rawGguf({
            version,
            bigEndian,
            entries: modelEntries(small),
            tensors: modelTensors(small, 'f16', bigEndian),
          }),
        ),
      ),
    ),
  )
  for (const other of others) {
    assert.equal(other.tensors, first?.tensors)
    assert.equal(other.entries, first?.entries)
  }
  assert.equal(first?.tensors[0]?.shape, [small.vocab, small.hidden])
})

test('a window that ends within the header asks for more, wherever it ends', async () => {
  const bytes = rawGguf({ entries: modelEntries(small), tensors: modelTensors(small, 'f32') })
  const whole = await read(bytes)
  const size = { path: 'x', size: bytes.length }
  for (let length = 0; length < whole.end; length++) {
    assert.is(parseHeader(bytes.subarray(0, length), size), undefined, `${length} bytes`)
  }
  assert.equal(parseHeader(bytes.subarray(0, whole.end), size), whole)
})

test('a long header is read in steps, and the weights are not', async () => {
  const tokens = Array.from({ length: 100_000 }, (_, i) => `token number ${i} of a long vocabulary`)
  const weights = new Uint8Array(64 * 1024 * 1024)
  const bytes = rawGguf({
    entries: [texts('tokenizer.ggml.tokens', tokens)],
    tensors: [{ name: 'a', dimensions: [weights.length / 4], type: 0, data: weights }],
  })
  const counted = inMemory(bytes)
  const header = await readHeader(counted.source)
  assert.ok(header.end > 4 * 1024 * 1024)
  assert.is(counted.reads, 3)
  assert.ok(counted.longest <= 16 * 1024 * 1024, String(counted.longest))
  const [entry] = header.entries
  assert.is(entry?.type === 'string[]' && entry.value.length, tokens.length)
})

test('a header that does not end: what is read of it is bounded', async () => {
  const { source } = inMemory(
    file({
      entries: [
        {
          key: 'x',
          type: valueTypes.array,
          value: (w) => w.u32(valueTypes.uint8).u64(2e9),
        },
      ],
    }),
  )
  let longest = 0
  const large = {
    ...source,
    size: 4e9,
    async read(offset: number, length: number) {
      longest = Math.max(longest, length)
      const bytes = new Uint8Array(length)
      bytes.set(await source.read(offset, Math.min(source.size, length)))
      return bytes
    },
  }
  await fails(() => readHeader(large), 'input', 'does not end within 134217728 bytes')
  assert.is(longest, 128 * 1024 * 1024)
})

test('the alignment is the file’s own', async () => {
  const { tensors, alignment } = await read(
    file({ alignment: 64, entries: [u32('general.alignment', 64)], tensors: [tensor] }),
  )
  assert.is(alignment, 64)
  assert.is((tensors[0]?.offset ?? 1) % 64, 0)
})

/** What is wrong, the file, and what the error must say. */
const malformed: [string, Uint8Array, ...(string | number)[]][] = [
  ['no magic', new TextEncoder().encode(`GGML${' '.repeat(40)}`), 'GGUF'],
  ['too short', file().subarray(0, 20), 20, 24],
  ['version 1', file({ version: 1 }), 'version 1'],
  ['version 4', file({ version: 4 }), 'version 4'],
  ['version 0', file({ version: 0 }), 'version 0'],
  ['2^62 tensors', file({ tensorCount: 2n ** 62n }), String(2n ** 62n)],
  ['a billion tensors', file({ tensorCount: 1e9 }), '1000000000 tensors'],
  ['a billion key-values', file({ entryCount: 1e9 }), '1000000000 key-values'],
  ['2^64 − 1 key-values', file({ entryCount: 2n ** 64n - 1n }), '18446744073709551615'],
  [
    'a text longer than the file',
    file({
      entries: [
        { key: 'k', type: valueTypes.string, value: (w) => w.u64(1e12).bytes(oneFloat(1)) },
      ],
    }),
    '"k"',
    1e12,
  ],
  [
    'a text of 2^63 bytes',
    file({ entries: [{ key: 'k', type: valueTypes.string, value: (w) => w.u64(2n ** 63n) }] }),
    '"k"',
    String(2n ** 63n),
  ],
  [
    'an array longer than the file',
    file({
      entries: [
        { key: 'k', type: valueTypes.array, value: (w) => w.u32(valueTypes.uint8).u64(1e10) },
      ],
    }),
    '"k"',
    1e10,
  ],
  [
    'an array of texts longer than the file',
    file({
      entries: [
        { key: 'k', type: valueTypes.array, value: (w) => w.u32(valueTypes.string).u64(1e10) },
      ],
    }),
    '"k"',
    1e10,
  ],
  [
    'an array of arrays',
    file({
      entries: [{ key: 'k', type: valueTypes.array, value: (w) => w.u32(valueTypes.array).u64(1) }],
    }),
    'array of arrays',
  ],
  ['a value of no type', file({ entries: [{ key: 'k', type: 13, value: () => 0 }] }), '"k"', 13],
  [
    'a boolean 2',
    file({ entries: [{ key: 'k', type: valueTypes.bool, value: (w) => w.u8(2) }] }),
    '"k"',
    'boolean',
  ],
  ['a key twice', file({ entries: [text('k', 'a'), text('k', 'b')] }), '"k"', 'second time'],
  ['an empty key', file({ entries: [text('', 'a')] }), 'key 1', '0 bytes'],
  [
    'a key that is no UTF-8',
    file({
      entries: [
        {
          key: '',
          type: 0,
          value: () => 0,
        },
      ],
    }).map((byte, i) => (i === 24 ? 1 : i === 32 ? 0xff : byte)),
    'key 1',
    'UTF-8',
  ],
  ['alignment 24', file({ entries: [u32('general.alignment', 24)] }), 'general.alignment', 24],
  ['alignment 0', file({ entries: [u32('general.alignment', 0)] }), 'general.alignment'],
  ['alignment of 2^30', file({ entries: [u32('general.alignment', 2 ** 30)] }), 2 ** 30],
  ['alignment as text', file({ entries: [text('general.alignment', '32')] }), 'string'],
  ['a tensor twice', file({ tensors: [tensor, tensor] }), '"a"', 'second time'],
  ['no dimensions', file({ tensors: [{ ...tensor, dimensions: [] }] }), '"a"', '0 dimensions'],
  [
    'five dimensions',
    file({ tensors: [{ ...tensor, dimensions: [1, 1, 1, 1, 1] }] }),
    '5 dimensions',
  ],
  [
    'a size beyond 2^53',
    file({ tensors: [{ ...tensor, dimensions: [2n ** 60n] }] }),
    String(2n ** 60n),
  ],
  [
    'sizes whose product is beyond 2^53',
    file({ tensors: [{ ...tensor, dimensions: [2 ** 40, 2 ** 40] }] }),
    '"a"',
    'no size',
  ],
  ['a tensor beyond the end', file({ tensors: [{ ...tensor, dimensions: [4096] }] }), 'truncated'],
  [
    'rows that are no whole blocks of a type that is not read',
    file({ tensors: [{ ...tensor, type: 16, dimensions: [32] }] }),
    32,
    'iq2_xxs',
    256,
  ],
  [
    'a tensor of a type that is not read, beyond the end',
    file({ tensors: [{ ...tensor, type: 16, dimensions: [2 ** 20] }] }),
    'truncated',
  ],
  [
    'rows that are no whole blocks',
    file({ tensors: [{ ...tensor, type: 12, dimensions: [32] }] }),
    32,
    'q4_k',
    256,
  ],
  ['a misaligned offset', file({ tensors: [{ ...tensor, offset: 4 }] }), '"a"', 4, 32],
  ['an offset beyond the end', file({ tensors: [{ ...tensor, offset: 2 ** 40 }] }), 'truncated'],
  [
    'an offset beyond 2^53',
    file({ tensors: [{ ...tensor, offset: 2n ** 63n }] }),
    String(2n ** 63n),
  ],
  [
    'tensors that overlap',
    file({ tensors: [tensor, { ...tensor, name: 'b', offset: 0 }] }),
    '"b"',
    'overlaps "a"',
  ],
  ['truncated weights', file({ tensors: [{ ...tensor, dimensions: [64] }] }), 'truncated'],
]

for (const [what, bytes, ...parts] of malformed) {
  test(`refused: ${what}`, async () => {
    await fails(() => read(bytes), 'input', 'gguf', ...parts)
  })
}

test('more than is held in memory, in a file that is large enough for it', async () => {
  const size = 2 ** 40
  const where = { path: 'm.gguf', size }
  const many: [Partial<RawFile>, string][] = [
    [{ entryCount: 65_537 }, '65537 key-values, at most 65536'],
    [{ tensorCount: 200_001 }, '200001 tensors, at most 200000'],
    [
      {
        entries: [
          {
            key: 'tokens',
            type: valueTypes.array,
            value: (w) => w.u32(valueTypes.string).u64(4_000_001),
          },
        ],
      },
      '4000001 elements of "tokens"',
    ],
  ]
  for (const [changes, told] of many) {
    await fails(() => parseHeader(file(changes), where), 'input', 'm.gguf', told)
  }
})

test('truncated anywhere in the header: an error, and never a crash', async () => {
  const bytes = rawGguf({ entries: modelEntries(small), tensors: modelTensors(small, 'f16') })
  const { end } = await read(bytes)
  for (let length = 0; length < end; length++) {
    await fails(() => read(bytes.subarray(0, length)), 'input')
  }
})

test('bytes changed at random: read, or refused', async () => {
  const whole = rawGguf({ entries: modelEntries(small), tensors: modelTensors(small, 'f16') })
  const { end } = await read(whole)
  const random = seeded(20261123)
  for (let round = 0; round < 3000; round++) {
    const bytes = Uint8Array.from(whole.subarray(0, end + 4096))
    for (let i = 0; i <= round % 4; i++) bytes[random() % end] = random() & 0xff
    try {
      await read(bytes)
    } catch (error) {
      if (!(error instanceof OpenLlamaError && error.code === 'input')) throw error
    }
  }
})

test.run()
