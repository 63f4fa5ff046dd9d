import fc from 'fast-check'
import { pack, unpack } from 'msgpackr'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  atEnd,
  msgpackCursor,
  readHead,
  readText,
  skipBytes,
  skipValue,
} from '../../../src/formats/flax/msgpack.js'
import { equalBytes, hex } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { arrayHead, recordHead } from '../../support/heads.js'
import { inMemory } from '../../support/sources.js'
import { arrayRecord, ndarray, packed } from '../../support/stream.js'

const test = suite('formats: msgpack')

const cursorOver = (bytes: Uint8Array) => msgpackCursor(inMemory(bytes).source, 'easylm')
const headOf = (bytes: Uint8Array) => readHead(cursorOver(bytes), 'a value')

test('numbers of every size', async () => {
  const numbers = [0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]
  const negative = [-1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31)]
  for (const value of [...numbers, ...negative, 0.5, 1e300])
    assert.equal(await headOf(pack(value)), { type: 'number', value })
  // Forms that msgpackr does not choose.
  for (const [bytes, value] of [
    ['cc05', 5],
    ['cd0005', 5],
    ['ce00000005', 5],
    ['cf0000000000000005', 5],
    ['cf0020000000000001', 2 ** 53],
    ['d0ff', -1],
    ['d1fffe', -2],
    ['d2fffffffd', -3],
    ['d3fffffffffffffffc', -4],
    ['ca3f000000', 0.5],
    ['cb3fe0000000000000', 0.5],
  ] as const)
    assert.equal(await headOf(Buffer.from(bytes, 'hex')), { type: 'number', value }, bytes)
})

test('heads of every type and width', async () => {
  for (const [bytes, head] of [
    ['c0', { type: 'nil' }],
    ['c2', { type: 'boolean', value: false }],
    ['c3', { type: 'boolean', value: true }],
    ['80', { type: 'map', length: 0 }],
    ['8f', { type: 'map', length: 15 }],
    ['de0102', { type: 'map', length: 0x102 }],
    ['df01020304', { type: 'map', length: 0x1020304 }],
    ['90', { type: 'array', length: 0 }],
    ['9f', { type: 'array', length: 15 }],
    ['dc0102', { type: 'array', length: 0x102 }],
    ['ddffffffff', { type: 'array', length: 0xffffffff }],
    ['a0', { type: 'string', length: 0 }],
    ['bf', { type: 'string', length: 31 }],
    ['d9ff', { type: 'string', length: 255 }],
    ['da0102', { type: 'string', length: 0x102 }],
    ['dbffffffff', { type: 'string', length: 0xffffffff }],
    ['c4ff', { type: 'binary', length: 255 }],
    ['c50102', { type: 'binary', length: 0x102 }],
    ['c6ffffffff', { type: 'binary', length: 0xffffffff }],
    ['d401', { type: 'extension', code: 1, length: 1 }],
    ['d502', { type: 'extension', code: 2, length: 2 }],
    ['d6ff', { type: 'extension', code: -1, length: 4 }],
    ['d701', { type: 'extension', code: 1, length: 8 }],
    ['d801', { type: 'extension', code: 1, length: 16 }],
    ['c7ff01', { type: 'extension', code: 1, length: 255 }],
    ['c8010203', { type: 'extension', code: 3, length: 0x102 }],
    ['c9ffffffff01', { type: 'extension', code: 1, length: 0xffffffff }],
  ] as const) {
    const cursor = cursorOver(Buffer.from(bytes, 'hex'))
    assert.equal(await readHead(cursor, 'a value'), head, bytes)
    assert.ok(atEnd(cursor), bytes)
  }
})

test('the one byte that msgpack never uses', async () => {
  await fails(() => headOf(Uint8Array.of(0xc1)), 'input', 'byte 0', '0xc1', 'weights', 'easylm')
})

test('any value is stepped over exactly', async () => {
  const leaf = fc.oneof(
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.string({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  )
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.array(tie('value'), { maxLength: 20 }),
      fc.dictionary(fc.string({ maxLength: 40 }), tie('value'), { maxKeys: 20 }),
    ),
  }))
  await fc.assert(
    fc.asyncProperty(value, async (each) => {
      const bytes = packed(each)
      const { source } = inMemory(Buffer.concat([bytes, Uint8Array.of(0xc3)]))
      const cursor = msgpackCursor(source, 'easylm')
      await skipValue(cursor, 'a value')
      assert.is(cursor.offset, bytes.length)
      assert.equal(await readHead(cursor, 'the end'), { type: 'boolean', value: true })
    }),
    { numRuns: 300, seed: 1 },
  )
})

test('a payload is skipped without being read', async () => {
  const bytes = pack(Buffer.alloc(1_000_000))
  const counted = inMemory(bytes)
  await skipValue(msgpackCursor(counted.source, 'easylm'), 'a value')
  assert.ok(counted.bytes <= 512, `${counted.bytes} bytes were read`)
})

test('texts: any, also beyond what is read ahead; too long, cut, or no UTF-8 are told', async () => {
  for (const text of ['', 'wte', 'ä▁'.repeat(200), 'x'.repeat(4096)])
    assert.is(await readText(cursorOver(pack(text)), 'a key'), text)
  await fails(() => readText(cursorOver(pack('x'.repeat(4097))), 'a key'), 'input', 4097, 4096)
  await fails(
    () => readText(cursorOver(Buffer.from('a3616263', 'hex').subarray(0, 3)), 'a key'),
    'input',
    'a key',
    'ends at byte 3',
    'truncated',
  )
  await fails(
    () => readText(cursorOver(Buffer.from('a2ff61', 'hex')), 'a key'),
    'input',
    'UTF-8',
    'a key',
  )
  await fails(() => readText(cursorOver(pack(5)), 'a key'), 'input', 'a key', 'number')
})

test('nesting without end is refused, not followed', async () => {
  for (const byte of [0x91, 0x81])
    await fails(
      () => skipValue(cursorOver(new Uint8Array(100_000).fill(byte)), 'a value'),
      'input',
      'levels deep',
    )
})

test('skipping beyond the end', async () => {
  const cursor = cursorOver(new Uint8Array(10))
  skipBytes(cursor, 10, 'all')
  await fails(() => skipBytes(cursor, 1, 'more'), 'input', 'more', 10)
})

test('heads of records and arrays are msgpackr’s, for every width of length', () => {
  for (const elements of [0, 1, 2, 5, 40, 70, 250, 20_000, 65_500, 70_000]) {
    for (const [dtype, name, size] of [
      ['f32', 'float32', 4],
      ['bf16', 'bfloat16', 2],
      ['f16', 'float16', 2],
      ['f64', 'float64', 8],
    ] as const) {
      for (const key of ['a', 'transformer/h/31/feed_forward/w1/kernel', `x/${'y'.repeat(300)}`]) {
        const data = new Uint8Array(elements * size).fill(7)
        const whole = arrayRecord({ key, dtype: name, shape: [elements], data })
        const head = recordHead(key, dtype, [elements])
        equalBytes(Buffer.concat([head, data]), whole, `${key} of ${elements} ${dtype}`)
        equalBytes(
          Buffer.concat([arrayHead(dtype, [elements]), data]),
          ndarray([elements], name, data),
          'array',
        )
      }
    }
  }
})

test('heads of lengths that no test can allocate', () => {
  const head = recordHead('lm_head/kernel', 'f32', [8192, 32000])
  const [key] = unpack(Buffer.concat([Uint8Array.of(0x91), head.subarray(1, 17)]))
  assert.equal(key, ['lm_head', 'kernel'])
  // bin32 of all (6 more than the extension's 21 + 0x3e800000), ext32 of type 1, [shape, dtype, bin32].
  assert.is(
    hex(head.subarray(17)),
    'c63e80001b' + 'c93e80001501' + '93' + '92cd2000cd7d00' + 'a7666c6f61743332' + 'c63e800000',
  )
})

test.run()
