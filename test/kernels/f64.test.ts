import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Cast } from '../../src/kernels/kernels.js'
import { loadKernels } from '../../src/kernels/kernels.js'

const n = 200_000
const kernels = loadKernels(n * 16 + 128)
const source = kernels.base
const target = kernels.base + n * 8

/** The smaller types: significant bits, smallest exponent of a normal, largest finite value. */
const types = {
  f16: { precision: 11, least: -14, largest: 65504 },
  bf16: { precision: 8, least: -126, largest: (2 - 2 ** -7) * 2 ** 127 },
}

/** The plain twin: round to a multiple of the spacing around the value, ties to even, exactly. */
function round(value: number, { precision, least, largest }: (typeof types)['f16']): number {
  if (!Number.isFinite(value) || value === 0) return value
  let exponent = Math.floor(Math.log2(Math.abs(value)))
  if (2 ** exponent > Math.abs(value)) exponent--
  if (2 ** (exponent + 1) <= Math.abs(value)) exponent++
  const spacing = 2 ** (Math.max(exponent, least) - precision + 1)
  // A division by a power of two is exact, and what is left has few enough bits to round exactly.
  const scaled = Math.abs(value) / spacing
  const floor = Math.floor(scaled)
  const rest = scaled - floor
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 === 1)
  const result = (up ? floor + 1 : floor) * spacing
  return Math.sign(value) * (result > largest ? Number.POSITIVE_INFINITY : result)
}

function valueOfF16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 0x3ff
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

function valueOfBf16(bits: number): number {
  return new Float32Array(new Uint32Array([bits << 16]).buffer)[0] ?? Number.NaN
}

function* values(): Generator<number> {
  // Just above, at and below ties of either type, where rounding twice goes wrong.
  for (const base of [
    1,
    1.5,
    2 ** -14,
    2 ** -24,
    2 ** -25,
    2 ** -126,
    2 ** -133,
    2 ** -134,
    3e38,
  ]) {
    for (const tie of [0, 2 ** -8, 3 * 2 ** -8, 2 ** -11, 3 * 2 ** -11, 2 ** -24, 2 ** -25]) {
      for (const off of [0, 2 ** -30, -(2 ** -30), 2 ** -50, -(2 ** -50)]) {
        yield base * (1 + tie + off)
        yield -base * (1 + tie + off)
      }
    }
  }
  yield* [0, -0, Number.NaN, Infinity, -Infinity, 65504, 65519.99999, 65520, 65520.00001, 1e300]
  yield* [5e-324, -5e-324, 1e-60, 3.3895313892515355e38, 3.39617752923046e38, 3.4e38]
  let seed = 7
  for (;;) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    const exponent = (seed >>> 8) % 300
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    yield (seed / 2 ** 31 - 1) * 2 ** (exponent - 160)
  }
}

function inputs(): Float64Array {
  const all = new Float64Array(n)
  const stream = values()
  for (let i = 0; i < n; i++) all[i] = stream.next().value
  return all
}

for (const [name, cast, decode] of [
  ['f16', kernels.castF64ToF16, valueOfF16],
  ['bf16', kernels.castF64ToBf16, valueOfBf16],
] as [keyof typeof types, Cast, (bits: number) => number][]) {
  test(`f64 to ${name} rounds once`, () => {
    const from = inputs()
    kernels.bytes(source, n * 8).set(new Uint8Array(from.buffer))
    const vanished = cast(source, target, n)
    const bytes = kernels.bytes(target, n * 2)
    const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, n)
    let lost = 0
    for (let i = 0; i < n; i++) {
      const expected = round(from[i] ?? 0, types[name])
      const got = decode(bits[i] ?? 0)
      if (expected === 0 && from[i] !== 0) lost++
      if (!Object.is(got, expected)) assert.is(got, expected, `${from[i]} (value ${i})`)
    }
    assert.is(vanished, lost)
  })
}

test('transposes 8-byte elements', () => {
  for (const [rows, columns] of [
    [1, 1],
    [1, 9],
    [9, 1],
    [8, 8],
    [17, 23],
    [64, 40],
  ] as const) {
    const from = Float64Array.from({ length: rows * columns }, (_, i) => i + 0.5)
    kernels.bytes(source, from.length * 8).set(new Uint8Array(from.buffer))
    kernels.transpose64(source, target, rows, columns)
    const bytes = kernels.bytes(target, from.length * 8)
    const to = new Float64Array(bytes.buffer, bytes.byteOffset, from.length)
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        assert.is(to[column * rows + row], from[row * columns + column])
      }
    }
  }
})

test.run()
