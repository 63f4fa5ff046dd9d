import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Cast, loadKernels } from '../../src/kernels/kernels.js'
import { equalElements, seeded } from '../support/bytes.js'
import { bf16FromF32, f16FromF32, f32FromBf16, f32FromF16, f32Value } from '../support/floats.js'

const most = 4 * 1024 * 1024
const kernels = loadKernels(2 * 4 * most + 4096)
const { memory } = viewOf(kernels.bytes(kernels.base, 1))
const source = kernels.base
const target = kernels.base + 4 * most + 64

type Bits = Uint16Array | Uint32Array

interface Case {
  name: string
  cast: Cast
  from: 16 | 32
  to: 16 | 32
  twin(bits: number): number
  /** All but the sign of an element: zero for both zeros. */
  counts: boolean
}

const casts: Case[] = [
  {
    name: 'f32 to f16',
    cast: kernels.castF32ToF16,
    from: 32,
    to: 16,
    twin: f16FromF32,
    counts: true,
  },
  {
    name: 'f32 to bf16',
    cast: kernels.castF32ToBf16,
    from: 32,
    to: 16,
    twin: bf16FromF32,
    counts: false,
  },
  {
    name: 'f16 to f32',
    cast: kernels.castF16ToF32,
    from: 16,
    to: 32,
    twin: f32FromF16,
    counts: false,
  },
  {
    name: 'bf16 to f32',
    cast: kernels.castBf16ToF32,
    from: 16,
    to: 32,
    twin: f32FromBf16,
    counts: false,
  },
  {
    name: 'f16 to bf16',
    cast: kernels.castF16ToBf16,
    from: 16,
    to: 16,
    twin: (bits) => bf16FromF32(f32FromF16(bits)),
    counts: false,
  },
  {
    name: 'bf16 to f16',
    cast: kernels.castBf16ToF16,
    from: 16,
    to: 16,
    twin: (bits) => f16FromF32(f32FromBf16(bits)),
    counts: true,
  },
]

const specials16 = [
  0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x3c00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7c01, 0xfe12,
  0x7f7f, 0xff80, 0x7f81, 0x3380, 0x3300, 0xb301, 0x4780, 0x477f, 0xc780, 0x3880, 0x387f,
]
const specials32 = [
  0x00000000, 0x80000000, 0x3f800000, 0xbf801000, 0x3f803000, 0x477fefff, 0x477ff000, 0xc77ff000,
  0x7f800000, 0xff800000, 0x7f800001, 0xffc12345, 0x7fbfffff, 0x33000000, 0x33000001, 0x80000001,
  0x007fffff, 0x38800000, 0x387fffff, 0x7f7fffff, 0x7f7f8000, 0x3f808000, 0x3f818000,
]

const test = suite('kernels: casts')

for (const each of casts.filter(({ from }) => from === 16)) {
  test(`${each.name}: all 65,536 values`, () => {
    check(
      each,
      Uint16Array.from({ length: 65536 }, (_, i) => i),
    )
  })

  test(`${each.name}: all values among others, so that no step of eight is uniform`, () => {
    const next = seeded(7)
    check(
      each,
      Uint16Array.from({ length: 65536 * 4 }, () => next() >>> 16),
    )
  })
}

for (const each of casts.filter(({ from }) => from === 32)) {
  test(`${each.name}: every boundary of rounding to f16 and bf16, and its neighbours`, () => {
    check(each, boundaries())
  })

  test(`${each.name}: two million values of all exponents`, () => {
    const next = seeded(11)
    check(each, Uint32Array.from({ length: 2_000_000 }, next))
  })

  test(`${each.name}: a million values as weights are`, () => {
    const next = seeded(13)
    const values = Float32Array.from({ length: 1_000_000 }, () => (next() / 2 ** 31 - 1) ** 3)
    check(each, new Uint32Array(values.buffer))
  })
}

for (const each of casts) {
  test(`${each.name}: every length up to 40 converts that many and writes no more`, () => {
    const pattern = each.from === 32 ? specials32 : specials16
    for (let n = 0; n <= 40; n++) {
      for (const turn of [0, 5, 11]) {
        const input = Array.from({ length: n }, (_, i) => pattern[(i + turn) % pattern.length] ?? 0)
        check(each, each.from === 32 ? Uint32Array.from(input) : Uint16Array.from(input))
      }
    }
  })
}

test('f32 to f16: the edge of overflow', () => {
  const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0
  const input = [65504, 65519.99, 65520, 65536, -65519.99, -65520, 3.4e38].map(bitsOf)
  const { output, lost } = convert(kernels.castF32ToF16, Uint32Array.from(input), 16)
  equalElements(output, [0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfbff, 0xfc00, 0x7c00], 'overflow')
  assert.is(lost, 0)
})

test('f32 to f16: what becomes zero is counted, zero itself is not', () => {
  // Half of the smallest subnormal rounds to even: to zero. A trifle more does not.
  const input = Uint32Array.of(0x33000000, 0x33000001, 0xb3000000, 1, 0, 0x80000000, 0x007fffff)
  const { output, lost } = convert(kernels.castF32ToF16, input, 16)
  equalElements(output, [0, 1, 0x8000, 0, 0, 0x8000, 0], 'vanishing')
  assert.is(lost, 4)
})

test('f64 to f32: as Math.fround, and what becomes zero is counted', () => {
  const next = seeded(17)
  const random = Array.from(
    { length: 200_000 },
    () => (next() / 2 ** 32 - 0.5) * 2 ** ((next() % 300) - 150),
  )
  const edge = [0, -0, 1, 2 ** -149, 2 ** -150, -(2 ** -151), 1e-320, 3.4028235677973366e38, 3.5e38]
  for (const values of [edge, random, ...Array.from({ length: 12 }, (_, n) => edge.slice(0, n))]) {
    new Float64Array(memory, source, values.length).set(values)
    const canary = canaryAt(target + values.length * 4)
    const lost = kernels.castF64ToF32(source, target, values.length)
    canary()
    const expected = Float32Array.from(values)
    equalElements(
      new Uint32Array(memory, target, values.length),
      new Uint32Array(expected.buffer),
      'f64 to f32',
    )
    assert.is(lost, values.filter((value) => value !== 0 && Math.fround(value) === 0).length)
  }
})

test('f64 to f32: infinities stay, NaN stays NaN', () => {
  const values = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]
  new Float64Array(memory, source, 3).set(values)
  assert.is(kernels.castF64ToF32(source, target, 3), 0)
  assert.equal([...new Float32Array(memory, target, 3)], values)
})

test.run()

/** Converts, and holds output, count of vanished values, and the bytes behind it to the twin's. */
function check({ name, cast, to, twin, counts }: Case, input: Bits): void {
  const { output, lost } = convert(cast, input, to)
  const expected = to === 32 ? new Uint32Array(input.length) : new Uint16Array(input.length)
  for (let i = 0; i < input.length; i++) expected[i] = twin(input[i] ?? 0)
  for (let i = 0; i < input.length; i++) {
    if (output[i] !== expected[i]) assert.unreachable(told(name, input, output, expected, i))
  }
  if (!counts) {
    assert.is(lost, undefined, `${name} cannot lose a value`)
    return
  }
  let vanished = 0
  const magnitude = input instanceof Uint32Array ? 0x7fffffff : 0x7fff
  input.forEach((bits, i) => {
    if ((bits & magnitude) !== 0 && ((expected[i] ?? 0) & 0x7fff) === 0) vanished++
  })
  assert.is(lost, vanished, `${name}: how many vanished`)
}

function told(name: string, input: Bits, output: Bits, expected: Bits, i: number): string {
  const [a, b, c] = [input, output, expected].map((bits) => `0x${(bits[i] ?? 0).toString(16)}`)
  return `${name}: element ${i}, ${a}, became ${b}; ${c} is expected`
}

function convert(cast: Cast, input: Bits, to: 16 | 32): { output: Bits; lost: number | undefined } {
  const n = input.length
  const placed =
    input instanceof Uint32Array
      ? new Uint32Array(memory, source, n)
      : new Uint16Array(memory, source, n)
  placed.set(input)
  const canary = canaryAt(target + (n * to) / 8)
  const lost = cast(source, target, n)
  canary()
  const output = to === 32 ? new Uint32Array(memory, target, n) : new Uint16Array(memory, target, n)
  return { output: output.slice(), lost }
}

/** Marks the bytes behind an output; the function it gives fails where they were written to. */
function canaryAt(address: number): () => void {
  const bytes = new Uint8Array(memory, address, 64)
  bytes.fill(0xa5)
  return () => {
    for (const byte of bytes) assert.is(byte, 0xa5, 'bytes behind the output were written')
  }
}

/** Every f16 and every bf16 as f32, what lies halfway to the next, and the f32 on either side. */
function boundaries(): Uint32Array {
  const all = new Set<number>()
  const around = (bits: number) => {
    for (const step of [-1, 0, 1]) {
      all.add((bits + step) >>> 0)
      all.add(((bits + step) ^ 0x80000000) >>> 0)
    }
  }
  for (let half = 0; half <= 0x7c00; half++) {
    const here = f32FromF16(half)
    const next = half < 0x7c00 ? f32FromF16(half + 1) : here
    around(here)
    if (half < 0x7bff) around(bitsHalfway(here, next))
  }
  for (let brain = 0; brain < 0x8000; brain++) {
    around((brain << 16) >>> 0)
    around(((brain << 16) | 0x8000) >>> 0)
  }
  // Halfway between the largest f16 and what would follow it: 65520.
  around(0x477ff000)
  return Uint32Array.from(all)
}

function bitsHalfway(a: number, b: number): number {
  const middle = (f32Value(a) + f32Value(b)) / 2
  return new Uint32Array(Float32Array.of(middle).buffer)[0] ?? 0
}

function viewOf(bytes: Uint8Array): { memory: ArrayBuffer } {
  if (!(bytes.buffer instanceof ArrayBuffer)) throw new Error('the kernels share their memory')
  return { memory: bytes.buffer }
}
