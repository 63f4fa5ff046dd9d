import { suite } from 'uvu'
import { loadKernels } from '../../src/kernels/kernels.js'
import { equalBytes, seeded } from '../support/bytes.js'

const kernels = loadKernels(4 * 1024 * 1024)
const source = kernels.base
const target = kernels.base + 2 * 1024 * 1024

const test = suite('kernels: rotary order')

const shapes = [
  { heads: 1, headDim: 2, rowBytes: 2 },
  { heads: 1, headDim: 4, rowBytes: 6 },
  { heads: 3, headDim: 6, rowBytes: 10 },
  { heads: 8, headDim: 20, rowBytes: 320 },
  { heads: 5, headDim: 128, rowBytes: 1000 },
]

for (const { heads, headDim, rowBytes } of shapes) {
  const name = `${heads} heads of ${headDim} rows of ${rowBytes} bytes`
  const rows = heads * headDim
  const next = seeded(headDim)
  const input = Uint8Array.from({ length: rows * rowBytes }, next)

  test(`${name}: interleaved to half, and back`, () => {
    // Row 2i + j of a head, the j-th of pair i, goes to row j × headDim / 2 + i.
    const expected = new Uint8Array(input.length)
    for (let head = 0; head < heads; head++) {
      for (let pair = 0; pair < headDim / 2; pair++) {
        for (const j of [0, 1]) {
          const from = (head * headDim + 2 * pair + j) * rowBytes
          const to = (head * headDim + (j * headDim) / 2 + pair) * rowBytes
          expected.set(input.subarray(from, from + rowBytes), to)
        }
      }
    }
    equalBytes(run(kernels.rotaryToHalf, input), expected, 'to half')
    equalBytes(run(kernels.rotaryToInterleaved, expected), input, 'to interleaved')
  })

  function run(permute: typeof kernels.rotaryToHalf, bytes: Uint8Array): Uint8Array {
    kernels.bytes(source, bytes.length).set(bytes)
    kernels.bytes(target, bytes.length).fill(0)
    permute(source, target, rows, headDim, rowBytes)
    return kernels.bytes(target, bytes.length).slice()
  }
}

test.run()
