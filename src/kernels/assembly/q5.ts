// Q5_0 and Q5_1: 32 levels of 5 bits with an f16 scale, Q5_1 with an f16 minimum as well.
// Blocks: Q5_0 d f16, fifth bits u32, 16 bytes of levels; Q5_1 with m f16 after d.
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
  storeBit5,
  storeLow4,
  storeValues,
  takeAffineLevels,
  takeSymmetricLevels,
} from './block32'
import { halfBits, loadHalf } from './lanes'

const BYTES_0: usize = 22
const BYTES_1: usize = 24

/** f32 [rows, columns] at `src` to Q5_0 at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ5_0(
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
        const scale = largest(at) / -16
        roundLevels(at, 0, scale !== 0 ? 1 / scale : 0, 16.5, 31)
        store<u16>(dst, halfBits(scale))
      } else {
        const lane = block & 3
        if (lane === 0) searchSymmetricBlocks(src, weights, square, block, blocks - 1, 16)
        takeSymmetricLevels(at, lane, 16)
        store<u16>(dst, halfBits(searchedScale(lane)))
      }
      storeBit5(dst + 2)
      storeLow4(dst + 6)
      dst += BYTES_0
    }
    src += (<usize>columns) << 2
  }
}

/** f32 [rows, columns] at `src` to Q5_1 at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ5_1(
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
        const scale = (highest(at) - minimum) / 31
        const inverse: f32 = scale !== 0 ? 1 / scale : 0
        if (inverse === 0) memory.fill(blockLevels, 0, BLOCK)
        else roundLevels(at, minimum, inverse, 0.5, 31)
        store<u16>(dst, halfBits(scale))
        store<u16>(dst, halfBits(minimum), 2)
      } else {
        const lane = block & 7
        if (lane === 0) searchAffineBlocks(src, weights, square, block, blocks - 1, 31)
        takeAffineLevels(at, lane, 31)
        store<u16>(dst, halfBits(searchedScale(lane)))
        store<u16>(dst, halfBits(searchedMinimum(lane)), 2)
      }
      storeBit5(dst + 4)
      storeLow4(dst + 8)
      dst += BYTES_1
    }
    src += (<usize>columns) << 2
  }
}

/** `n` elements of Q5_0 at `src` to f32 at `dst`. */
export function dequantizeQ5_0(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES_0, dst += BLOCK << 2) {
    loadLevels(src + 6, load<u32>(src, 2))
    storeValues(dst, 16, loadHalf(src), -0.0)
  }
}

/** `n` elements of Q5_1 at `src` to f32 at `dst`. */
export function dequantizeQ5_1(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES_1, dst += BLOCK << 2) {
    loadLevels(src + 8, load<u32>(src, 4))
    storeValues(dst, 0, loadHalf(src), loadHalf(src + 2))
  }
}
