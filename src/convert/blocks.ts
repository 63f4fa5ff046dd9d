import { type BlockType, dtypes } from '../types/dtype.js'

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
    if (tooLarge || hasInfinite(view, at, dtypes[dtype].scalesAt)) count++
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
