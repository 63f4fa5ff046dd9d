import { type BlockType, dtypes } from '../checkpoint/dtype.js'

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

/** Blocks whose scale is not finite: their values were too large for it. */
export function countOverflowedBlocks(blocks: Uint8Array, dtype: BlockType): number {
  const { bytes } = dtypes[dtype]
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.length)
  let count = 0
  for (let block = 0; block < blocks.length; block += bytes) {
    for (const offset of scales[dtype]) {
      if ((view.getUint16(block + offset, true) & 0x7c00) === 0x7c00) {
        count++
        break
      }
    }
  }
  return count
}
