import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadKernels } from '../../src/kernels/kernels.js'
import { bytesOf, seeded } from '../support/bytes.js'

const kernels = loadKernels(1024 * 1024)
const test = suite('kernels: what is not finite')

const kinds = [
  { name: 'f16', exponent: 0x7c00, bits: 16 },
  { name: 'bf16', exponent: 0x7f80, bits: 16 },
  { name: 'f32', exponent: 0x7f800000, bits: 32 },
] as const

for (const { name, exponent, bits } of kinds) {
  const nonFinite = bits === 16 ? kernels.countNonFinite16 : kernels.countNonFinite32
  const infinite = bits === 16 ? kernels.countInfinite16 : kernels.countInfinite32
  const signBit = 2 ** (bits - 1)

  const check = (values: number[]) => {
    const array = bits === 16 ? Uint16Array.from(values) : Uint32Array.from(values)
    // Beyond the end lies an infinity that is none of the array's.
    kernels.bytes(kernels.base, array.byteLength + 64).fill(0)
    kernels.bytes(kernels.base, array.byteLength).set(bytesOf(array))
    const beyond = bits === 16 ? Uint16Array.of(exponent) : Uint32Array.of(exponent)
    kernels.bytes(kernels.base + array.byteLength, beyond.byteLength).set(bytesOf(beyond))
    const magnitudes = values.map((value) => value % signBit)
    assert.is(
      nonFinite(kernels.base, values.length, exponent),
      magnitudes.filter((value) => value >= exponent).length,
    )
    assert.is(
      infinite(kernels.base, values.length, exponent),
      magnitudes.filter((value) => value === exponent).length,
    )
  }

  test(`${name}: one infinity or NaN at every place of every length up to 40`, () => {
    const finite = exponent - 1
    for (let n = 0; n <= 40; n++) {
      check(Array.from({ length: n }, () => finite))
      for (let at = 0; at < n; at++) {
        for (const odd of [exponent, exponent + 1, signBit + exponent, 2 * signBit - 1]) {
          check(Array.from({ length: n }, (_, i) => (i === at ? odd : finite)))
        }
      }
    }
  })

  test(`${name}: any values`, () => {
    const next = seeded(3)
    const values = Array.from({ length: 60_000 }, () => next() >>> (32 - bits))
    // Without these an f32 of random bits is one of them once in 256 times at best.
    for (let i = 0; i < values.length; i += 7) values[i] = exponent + (i % 3) - 1
    check(values)
  })
}

test('f32: magnitudes above a limit, at every place of every length up to 40', () => {
  const limit = new DataView(Float32Array.of(1e8).buffer).getUint32(0, true)
  const odd = [1.0000001e8, -2e8, 3e38, Number.NEGATIVE_INFINITY, Number.NaN]
  for (let n = 1; n <= 40; n++) {
    for (let at = 0; at < n; at++) {
      const values = Float32Array.from({ length: n }, (_, i) => (i % 2 === 0 ? 1e8 : -1e8))
      values[at] = odd[at % odd.length] ?? 0
      kernels.bytes(kernels.base, 4 * n).set(bytesOf(values))
      // Beyond the end lies one that is none of the array's.
      kernels.bytes(kernels.base + 4 * n, 4).set(bytesOf(Float32Array.of(3e38)))
      assert.is(kernels.countAbove32(kernels.base, n, limit), 1, `${at} of ${n}`)
    }
  }
})

test.run()
