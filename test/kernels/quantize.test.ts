// Every block type against ggml's own code: the same bytes, and the same values back.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { dtypes } from '../../src/types/dtype.js'
import { blockTypes, bytesOf, firstDifference, openBlockKernels } from './blocks.js'
import { distributions, sample, sampleImportance } from './distributions.js'
import { openLibGgml } from './libggml.js'

const libggml = openLibGgml()
/** Weights a type and distribution; all together more than 10^7 a type when run in full. */
const count = process.env.OPENLLAMA_FULL === '1' ? 1 << 19 : 1 << 17
const columns = 1024
const kernels = openBlockKernels(count)

if (typeof libggml === 'string') {
  console.log(`  SKIPPED: kernels against libggml: ${libggml}`)
} else {
  const importance = sampleImportance(columns, 7)
  let seed = 0
  for (const [name, next] of Object.entries(distributions)) {
    seed += 1
    const elements = sample(next, count, seed)
    for (const type of blockTypes) {
      test(`${type} of ${name} has ggml's bytes, and its values back`, () => {
        for (const weights of [undefined, importance]) {
          const expected = libggml.quantize(type, elements, columns, weights)
          const got = kernels.quantize(type, elements, columns, weights)
          const told = weights ? 'with importance: ' : ''
          const difference = firstDifference(got, expected, dtypes[type].bytes)
          assert.ok(difference === undefined, `${told}${difference}`)
          const values = bytesOf(kernels.dequantize(type, expected, count))
          const wanted = bytesOf(libggml.dequantize(type, expected, count))
          const wrong = firstDifference(values, wanted, 4)
          assert.ok(wrong === undefined, `${told}values: ${wrong}`)
        }
      })
    }
  }

  for (const type of blockTypes) {
    test(`${type} takes rows of any number of blocks`, () => {
      const { block, bytes } = dtypes[type]
      for (const blocks of [1, 3, 5, 13]) {
        const weights = sampleImportance(blocks * block, blocks)
        const elements = sample((uniform) => uniform() - 0.4, blocks * block * 3, blocks)
        const expected = libggml.quantize(type, elements, blocks * block, weights)
        const got = kernels.quantize(type, elements, blocks * block, weights)
        assert.is(firstDifference(got, expected, bytes), undefined, `${blocks} blocks`)
      }
    })

    test(`${type} takes importance of any magnitude, and sums that overflow`, () => {
      const { block, bytes } = dtypes[type]
      for (const size of [1, 1e12]) {
        const elements = sample((uniform) => size * (uniform() - 0.4), block * 48, 3)
        for (const power of [-44, -20, 15, 22, 30, 38]) {
          const weights = sample((uniform) => uniform() * 10 ** power, block * 4, power + 50)
          const expected = libggml.quantize(type, elements, block * 4, weights)
          const got = kernels.quantize(type, elements, block * 4, weights)
          const difference = firstDifference(got, expected, bytes)
          assert.is(difference, undefined, `elements of ${size}, importance of 10^${power}`)
        }
      }
    })

    test(`${type}: any bytes have the values that ggml reads`, () => {
      const { block, bytes } = dtypes[type]
      const n = 64 * block
      const noise = sample((uniform) => 256 * uniform(), 64 * bytes, 11)
      const blocks = Uint8Array.from(noise)
      const expected = libggml.dequantize(type, blocks, n)
      const got = kernels.dequantize(type, blocks, n)
      const wrong = got.findIndex((value, i) => !Object.is(value, expected[i]))
      assert.is(wrong, -1, `element ${wrong}: ${got[wrong]}, expected ${expected[wrong]}`)
    })
  }
}

test('quantizing twice gives the same bytes: nothing is left over from other rows', () => {
  const elements = sample((uniform) => uniform() - 0.5, columns, 1)
  const other = sample((uniform) => 1e30 * uniform(), columns, 2)
  for (const type of blockTypes) {
    const first = kernels.quantize(type, elements, columns, undefined)
    kernels.quantize(type, other, columns, undefined)
    assert.equal(Buffer.compare(kernels.quantize(type, elements, columns, undefined), first), 0)
  }
})

test.run()
