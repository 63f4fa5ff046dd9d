import { type Kernels, loadKernels } from '../../src/kernels/kernels.js'
import { type BlockType, dtypeNames, dtypes, isBlock } from '../../src/types/dtype.js'

export const blockTypes: BlockType[] = dtypeNames.filter(isBlock)

/** The kernels with plain arrays in and out. */
export interface BlockKernels {
  quantize(
    type: BlockType,
    src: Float32Array,
    columns: number,
    weights: Float32Array | undefined,
  ): Uint8Array
  dequantize(type: BlockType, src: Uint8Array, n: number): Float32Array
}

/** Kernels with room for `n` elements in rows of at most `n` columns. */
export function openBlockKernels(n: number): BlockKernels {
  const kernels: Kernels = loadKernels(12 * n + 64)
  const src = kernels.base
  const weightsAt = src + 4 * n
  const dst = weightsAt + 4 * n
  return {
    quantize(type, elements, columns, weights) {
      const { block, bytes } = dtypes[type]
      kernels.bytes(src, elements.byteLength).set(bytesOf(elements))
      if (weights) kernels.bytes(weightsAt, weights.byteLength).set(bytesOf(weights))
      const run = kernels[`quantize${dtypes[type].ggml.name}`]
      run(src, dst, elements.length / columns, columns, weights ? weightsAt : 0)
      return kernels.bytes(dst, (elements.length / block) * bytes).slice()
    },
    dequantize(type, blocks, count) {
      kernels.bytes(dst, blocks.length).set(blocks)
      kernels[`dequantize${dtypes[type].ggml.name}`](dst, src, count)
      return new Float32Array(kernels.bytes(src, 4 * count).slice().buffer)
    },
  }
}

export function bytesOf(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** Where two byte arrays differ first, as block and byte; undefined where they are equal. */
export function firstDifference(
  got: Uint8Array,
  expected: Uint8Array,
  blockBytes: number,
): string | undefined {
  if (got.length !== expected.length) return `${got.length} bytes, expected ${expected.length}`
  if (Buffer.compare(got, expected) === 0) return undefined
  const at = got.findIndex((byte, i) => byte !== expected[i])
  const block = Math.floor(at / blockBytes)
  return `block ${block}, byte ${at % blockBytes}: ${got[at]}, expected ${expected[at]}`
}
