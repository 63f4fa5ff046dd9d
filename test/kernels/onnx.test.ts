// ONNX's levels and scales against a plain twin, and against bytes of ONNX Runtime's own quantizer
// (test/interop/check_onnx_quantized.py holds whole files against it).
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadKernels } from '../../src/kernels/kernels.js'
import { f16Bits } from '../support/floats.js'
import { bytesOf, firstDifference } from './blocks.js'
import { distributions, sample } from './distributions.js'

const test = suite('kernels: onnx')

const columns = 1024
const count = 32 * columns
const kernels = loadKernels(8 * count + 64)

type Kernel = 'quantizeQ4' | 'quantizeQ8' | 'scalesQ4' | 'scalesQ4F16' | 'scalesQ8'
const blockBytes = { quantizeQ4: 16, quantizeQ8: 32, scalesQ4: 4, scalesQ4F16: 2, scalesQ8: 4 }

function run(kernel: Kernel, elements: Float32Array): Uint8Array {
  const src = kernels.base
  const dst = src + elements.byteLength
  const width = Math.min(columns, elements.length)
  kernels.bytes(src, elements.byteLength).set(bytesOf(elements))
  kernels[kernel](src, dst, elements.length / width, width, 0)
  return kernels.bytes(dst, (elements.length / 32) * blockBytes[kernel]).slice()
}

/** One block after the other, one operation of f32 after the other. */
function plain(elements: Float32Array, bits: 4 | 8): { levels: Uint8Array; scales: Float32Array } {
  const middle = 2 ** (bits - 1)
  const levels = new Uint8Array(elements.length)
  const scales = new Float32Array(elements.length / 32)
  for (let start = 0; start < elements.length; start += 32) {
    const block = elements.subarray(start, start + 32)
    let least = block[0] ?? 0
    let most = least
    for (const x of block) {
      if (x < least) least = x
      if (x > most) most = x
    }
    const scale = Math.fround((Math.abs(most) > Math.abs(least) ? most : least) / -middle)
    scales[start / 32] = scale
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    block.forEach((x, i) => {
      const scaled = Number.isFinite(inverse) || x !== 0 ? Math.fround(x * inverse) : -Infinity
      // Halves of positive numbers go up in both, and the sum with a half is exact in f64.
      const level = Math.floor(Math.fround(scaled + middle) + 0.5)
      levels[start + i] = Math.min(Math.max(level, 0), 2 * middle - 1)
    })
  }
  return { levels, scales }
}

function packed(levels: Uint8Array): Uint8Array {
  return Uint8Array.from(
    { length: levels.length / 2 },
    (_, i) => (levels[2 * i] ?? 0) | ((levels[2 * i + 1] ?? 0) << 4),
  )
}

let seed = 0
for (const [name, next] of Object.entries(distributions)) {
  seed++
  const elements = sample(next, count, seed)
  test(`levels and scales of ${name} are the plain twin’s`, () => {
    const q4 = plain(elements, 4)
    const q8 = plain(elements, 8)
    const halves = new Uint8Array(Uint16Array.from(q4.scales, f16Bits).buffer)
    for (const [kernel, expected] of [
      ['quantizeQ4', packed(q4.levels)],
      ['quantizeQ8', q8.levels],
      ['scalesQ4', bytesOf(q4.scales)],
      ['scalesQ4F16', halves],
      ['scalesQ8', bytesOf(q8.scales)],
    ] as const) {
      assert.is(
        firstDifference(run(kernel, elements), expected, blockBytes[kernel]),
        undefined,
        kernel,
      )
    }
  })
}

test('the extreme has level 0, its opposite the highest, halves go up, zero is the middle', () => {
  const block = new Float32Array(32)
  block.set([-8, 8, 0.5, -0.5, 1.49, 1.5, 7])
  assert.equal(
    [...run('quantizeQ4', block).subarray(0, 4)],
    // scale 1: levels 0, 15 (16 is none), 9 (8.5), 8 (7.5), 9, 10 (9.5), 15, 8
    [0xf0, 0x89, 0xa9, 0x8f],
  )
  assert.equal(new Float32Array(run('scalesQ4', block).buffer), Float32Array.of(1))
  assert.equal(new Float32Array(run('scalesQ8', block).buffer), Float32Array.of(1 / 16))
  assert.equal([...run('quantizeQ8', block).subarray(0, 5)], [0, 255, 136, 120, 152])
})

test.run()
