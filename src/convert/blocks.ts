import { type BlockType, dtypes } from '../types/dtype.js'

/** Where in a block its f16 scales and minima are, in bytes. */
const scales: Record<BlockType, readonly number[]> = {
  q4_0: [0],
  q4_1: [0, 2],
  q5_0: [0],
  q5_1: [0, 2],
  q8_0: [0],
  q2_k: [80, 82],
  q3_k: [108],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
}

/**
 * Types whose search for scales can lose too large values: from some 1e14 on its sums overflow, and
 * a block becomes zeros with a scale that looks right. In the others the scale becomes infinite.
 */
export const losingTypes: ReadonlySet<BlockType> = new Set(['q2_k', 'q3_k', 'q4_k', 'q5_k', 'q6_k'])

/** None of them holds a larger value: Q6_K's f16 scale times a scale of 128 and a level of 32. */
export const largestInBlocks = 65504 * 128 * 32

/**
 * Blocks whose values were too large for them: their scale is not finite, or a value is above what
 * any scale can give.
 * @param values what they were made from, where some are that large
 */
export function countOverflowedBlocks(
  blocks: Uint8Array,
  dtype: BlockType,
  values?: Float32Array,
): number {
  const { bytes, block: length } = dtypes[dtype]
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.length)
  let count = 0
  for (let at = 0, from = 0; at < blocks.length; at += bytes, from += length) {
    const tooLarge = values?.subarray(from, from + length).some(isTooLarge) ?? false
    if (tooLarge || hasInfinite(view, at, scales[dtype])) count++
  }
  return count
}

function hasInfinite(view: DataView, at: number, offsets: readonly number[]): boolean {
  for (const offset of offsets) {
    if ((view.getUint16(at + offset, true) & 0x7c00) === 0x7c00) return true
  }
  return false
}

function isTooLarge(value: number): boolean {
  return Math.abs(value) > largestInBlocks
}
