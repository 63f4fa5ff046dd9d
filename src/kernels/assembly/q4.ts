// Q4_0 and Q4_1: 32 levels of 4 bits with an f16 scale, Q4_1 with an f16 minimum as well.
// Blocks: Q4_0 d f16, 16 bytes of levels; Q4_1 d f16, m f16, 16 bytes of levels.
import {
  BLOCK,
  blockLevels,
  highest,
  largest,
  loadLevels,
  lowest,
  meanSquare,
  roundLevels,
  searchAffineBlocks,
  searchedMinimum,
  searchedScale,
  searchSymmetricBlocks,
  storeLow4,
  storeValues,
  takeAffineLevels,
  takeSymmetricLevels,
} from './block32'
import { halfBits, loadHalf } from './lanes'

const BYTES_0: usize = 18
const BYTES_1: usize = 20

/** f32 [rows, columns] at `src` to Q4_0 at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ4_0(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  const blocks = <usize>columns / BLOCK
  for (let row: u32 = 0; row < rows; row++) {
    const square: f32 = weights === 0 ? 0 : meanSquare(src, columns)
    for (let block: usize = 0; block < blocks; block++) {
      const at = src + block * (BLOCK << 2)
      if (weights === 0) {
        const scale = largest(at) / -8
        roundLevels(at, 0, scale !== 0 ? 1 / scale : 0, 8.5, 15)
        store<u16>(dst, halfBits(scale))
      } else {
        const lane = block & 3
        if (lane === 0) searchSymmetricBlocks(src, weights, square, block, blocks - 1, 8)
        takeSymmetricLevels(at, lane, 8)
        store<u16>(dst, halfBits(searchedScale(lane)))
      }
      storeLow4(dst + 2)
      dst += BYTES_0
    }
    src += (<usize>columns) << 2
  }
}

/** f32 [rows, columns] at `src` to Q4_1 at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ4_1(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  const blocks = <usize>columns / BLOCK
  for (let row: u32 = 0; row < rows; row++) {
    const square: f32 = weights === 0 ? 0 : meanSquare(src, columns)
    for (let block: usize = 0; block < blocks; block++) {
      const at = src + block * (BLOCK << 2)
      if (weights === 0) {
        const minimum = lowest(at)
        const scale = (highest(at) - minimum) / 15
        const inverse: f32 = scale !== 0 ? 1 / scale : 0
        if (inverse === 0) memory.fill(blockLevels, 0, BLOCK)
        else roundLevels(at, minimum, inverse, 0.5, 15)
        store<u16>(dst, halfBits(scale))
        store<u16>(dst, halfBits(minimum), 2)
      } else {
        const lane = block & 7
        if (lane === 0) searchAffineBlocks(src, weights, square, block, blocks - 1, 15)
        takeAffineLevels(at, lane, 15)
        store<u16>(dst, halfBits(searchedScale(lane)))
        store<u16>(dst, halfBits(searchedMinimum(lane)), 2)
      }
      storeLow4(dst + 4)
      dst += BYTES_1
    }
    src += (<usize>columns) << 2
  }
}

/** `n` elements of Q4_0 at `src` to f32 at `dst`. */
export function dequantizeQ4_0(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES_0, dst += BLOCK << 2) {
    loadLevels(src + 2, 0)
    storeValues(dst, 8, loadHalf(src), -0.0)
  }
}

/** `n` elements of Q4_1 at `src` to f32 at `dst`. */
export function dequantizeQ4_1(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES_1, dst += BLOCK << 2) {
    loadLevels(src + 4, 0)
    storeValues(dst, 0, loadHalf(src), loadHalf(src + 2))
  }
}
