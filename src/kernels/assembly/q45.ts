// Q4_0, Q4_1, Q5_0 and Q5_1: blocks of 32 levels of 4 or 5 bits with an f16 scale d, those of
// type 1 with an f16 minimum m as well.
// Blocks: d f16, for type 1 m f16, for 5 bits the fifth bits u32, then the lower four in 16 bytes.
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

/** f32 [rows, columns] at `src` to Q4_0 at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ4_0(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  quantizeSymmetric(src, dst, rows, columns, weights, 4)
}

/** The same to Q5_0. */
export function quantizeQ5_0(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  quantizeSymmetric(src, dst, rows, columns, weights, 5)
}

/** The same to Q4_1. */
export function quantizeQ4_1(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  quantizeAffine(src, dst, rows, columns, weights, 4)
}

/** The same to Q5_1. */
export function quantizeQ5_1(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  quantizeAffine(src, dst, rows, columns, weights, 5)
}

/** `n` elements of Q4_0 at `src` to f32 at `dst`. */
export function dequantizeQ4_0(src: usize, dst: usize, n: usize): void {
  dequantizeSymmetric(src, dst, n, 4)
}

/** `n` elements of Q5_0 at `src` to f32 at `dst`. */
export function dequantizeQ5_0(src: usize, dst: usize, n: usize): void {
  dequantizeSymmetric(src, dst, n, 5)
}

/** `n` elements of Q4_1 at `src` to f32 at `dst`. */
export function dequantizeQ4_1(src: usize, dst: usize, n: usize): void {
  dequantizeAffine(src, dst, n, 4)
}

/** `n` elements of Q5_1 at `src` to f32 at `dst`. */
export function dequantizeQ5_1(src: usize, dst: usize, n: usize): void {
  dequantizeAffine(src, dst, n, 5)
}

/** Levels -2^(bits-1) … 2^(bits-1)-1 of the scale, stored from 0 on. */
function quantizeSymmetric(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
  bits: i32,
): void {
  const middle = 1 << (bits - 1)
  const blocks = <usize>columns / BLOCK
  for (let row: u32 = 0; row < rows; row++) {
    const square: f32 = weights === 0 ? 0 : meanSquare(src, columns)
    for (let block: usize = 0; block < blocks; block++) {
      const at = src + block * (BLOCK << 2)
      if (weights === 0) {
        const scale = largest(at) / -(<f32>middle)
        roundLevels(at, 0, scale !== 0 ? 1 / scale : 0, <f32>middle + 0.5, <u8>(2 * middle - 1))
        store<u16>(dst, halfBits(scale))
      } else {
        const lane = block & 3
        if (lane === 0) searchSymmetricBlocks(src, weights, square, block, blocks - 1, middle)
        takeSymmetricLevels(at, lane, middle)
        store<u16>(dst, halfBits(searchedScale(lane)))
      }
      dst = storeLevels(dst + 2, bits)
    }
    src += (<usize>columns) << 2
  }
}

/** Levels 0 … 2^bits-1 of the scale above the minimum. */
function quantizeAffine(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
  bits: i32,
): void {
  const top = (1 << bits) - 1
  const blocks = <usize>columns / BLOCK
  for (let row: u32 = 0; row < rows; row++) {
    const square: f32 = weights === 0 ? 0 : meanSquare(src, columns)
    for (let block: usize = 0; block < blocks; block++) {
      const at = src + block * (BLOCK << 2)
      if (weights === 0) {
        const minimum = lowest(at)
        const scale = (highest(at) - minimum) / <f32>top
        const inverse: f32 = scale !== 0 ? 1 / scale : 0
        if (inverse === 0) memory.fill(blockLevels, 0, BLOCK)
        else roundLevels(at, minimum, inverse, 0.5, <u8>top)
        store<u16>(dst, halfBits(scale))
        store<u16>(dst, halfBits(minimum), 2)
      } else {
        const lane = block & 7
        if (lane === 0) searchAffineBlocks(src, weights, square, block, blocks - 1, top)
        takeAffineLevels(at, lane, top)
        store<u16>(dst, halfBits(searchedScale(lane)))
        store<u16>(dst, halfBits(searchedMinimum(lane)), 2)
      }
      dst = storeLevels(dst + 4, bits)
    }
    src += (<usize>columns) << 2
  }
}

function dequantizeSymmetric(src: usize, dst: usize, n: usize, bits: i32): void {
  const end = dst + (n << 2)
  for (; dst < end; dst += BLOCK << 2) {
    const scale = loadHalf(src)
    src = takeLevels(src + 2, bits)
    storeValues(dst, 1 << (bits - 1), scale, -0.0)
  }
}

function dequantizeAffine(src: usize, dst: usize, n: usize, bits: i32): void {
  const end = dst + (n << 2)
  for (; dst < end; dst += BLOCK << 2) {
    const scale = loadHalf(src)
    const minimum = loadHalf(src + 2)
    src = takeLevels(src + 4, bits)
    storeValues(dst, 0, scale, minimum)
  }
}

/** The block's levels to `dst`. @returns where the next block begins */
function storeLevels(dst: usize, bits: i32): usize {
  if (bits === 5) {
    storeBit5(dst)
    dst += 4
  }
  storeLow4(dst)
  return dst + 16
}

/** The levels at `src` to the block's. @returns where the next block begins */
function takeLevels(src: usize, bits: i32): usize {
  if (bits === 5) {
    loadLevels(src + 4, load<u32>(src))
    return src + 20
  }
  loadLevels(src, 0)
  return src + 16
}
