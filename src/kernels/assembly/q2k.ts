// Q2_K: 16 blocks of 16 levels of 2 bits, x ≈ d·sc·level - dmin·m, d and dmin in f16, sc and m in
// 4 bits. Super-block of 256: 16 bytes of sc (low) and m (high), 64 bytes of levels, d, dmin.
import { AFFINE_RECORD, AFFINE_WEIGHTS, affineLevels, affineRecords, searchAffine } from './affine'
import {
  gather,
  halfBits,
  loadHalf,
  nearestInt,
  packCrumbs,
  sumOfSquares,
  unpackCrumbs,
  weighAll,
} from './lanes'
import { fitPositive } from './positive'
import { affineLevelsOf, SUPER, superLevels } from './q45k'

const BLOCK: usize = 16
const BLOCK_BYTES: usize = BLOCK << 2
const BLOCKS: usize = 16
const BYTES: usize = 84
const LEVELS: usize = 16
const D: usize = 80
const DMIN: usize = 82
const TOP = 3
const TOP_SCALE = 15

/** What the search leaves for each block: four tables of sixteen f32. */
const PITCH: usize = BLOCKS << 2
const scales: usize = memory.data(256, 16)
const minimums: usize = scales + PITCH
const inverses: usize = scales + 2 * PITCH
const bases: usize = scales + 3 * PITCH
const blockWeights: usize = memory.data(64, 16)
const scaleLevels: usize = memory.data(16)
const minimumLevels: usize = memory.data(16)

/** f32 [rows, columns] at `src` to Q2_K at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ2_K(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    for (let column: u32 = 0; column < columns; column += <u32>SUPER) {
      if (weights === 0) {
        searchPlain(src)
        storeLargestScales(dst)
      } else {
        searchImportant(src, weights + ((<usize>column) << 2))
        storeFittedScales(dst)
      }
      levelsOf(src, dst)
      packCrumbs(superLevels, dst + LEVELS)
      src += SUPER << 2
      dst += BYTES
    }
  }
}

/** Eight blocks from `src` on into the records of the search. */
function gatherBlocks(src: usize, dst: usize): void {
  for (let four: usize = 0; four < 2; four++) {
    const a = src + four * 4 * BLOCK_BYTES
    const c = a + 2 * BLOCK_BYTES
    const to = dst + (four << 4)
    gather(a, a + BLOCK_BYTES, c, c + BLOCK_BYTES, to, BLOCK, AFFINE_RECORD)
  }
}

/** Each element weighs its magnitude, and errors count by magnitude, not squared. */
function searchPlain(src: usize): void {
  for (let block: usize = 0; block < BLOCKS; block += 8) {
    gatherBlocks(src + block * BLOCK_BYTES, affineRecords)
    for (let i: usize = 0; i < BLOCK; i++) {
      const at = affineRecords + i * AFFINE_RECORD
      v128.store(at, f32x4.abs(v128.load(at)), AFFINE_WEIGHTS)
      v128.store(at, f32x4.abs(v128.load(at, 16)), AFFINE_WEIGHTS + 16)
    }
    searchAffine(BLOCK, <f32>TOP, -0.5, 0.1, 15, true, scales + (block << 2), PITCH)
  }
}

function searchImportant(src: usize, weights: usize): void {
  const square = f32x4.splat(sumOfSquares(src, SUPER) / <f32>SUPER)
  for (let block: usize = 0; block < BLOCKS; block += 8) {
    gatherBlocks(src + block * BLOCK_BYTES, affineRecords)
    gatherBlocks(weights + block * BLOCK_BYTES, affineRecords + AFFINE_WEIGHTS)
    for (let four: usize = 0; four < 2; four++) {
      const from = affineRecords + (four << 4)
      const sum = weighAll(from, from + AFFINE_WEIGHTS, BLOCK, AFFINE_RECORD, square)
      v128.store(blockWeights + (block << 2) + (four << 4), sum)
    }
    searchAffine(BLOCK, <f32>TOP, -0.9, 0.05, 36, false, scales + (block << 2), PITCH)
  }
}

/** d and dmin so that the largest scale and minimum are 15 of them. */
function storeLargestScales(dst: usize): void {
  let scale: f32 = 0
  let minimum: f32 = 0
  for (let block: usize = 0; block < BLOCKS; block++) {
    const ofBlock = load<f32>(scales + (block << 2))
    const minimumOfBlock = load<f32>(minimums + (block << 2))
    if (ofBlock > scale) scale = ofBlock
    if (minimumOfBlock > minimum) minimum = minimumOfBlock
  }
  const inverseScale: f32 = scale > 0 ? <f32>TOP_SCALE / scale : 0
  const inverseMinimum: f32 = minimum > 0 ? <f32>TOP_SCALE / minimum : 0
  for (let block: usize = 0; block < BLOCKS; block++) {
    // No limits here: a number beyond 15 runs over into the other half of the byte.
    const sc = scale > 0 ? nearestInt(inverseScale * load<f32>(scales + (block << 2))) : 0
    const m = minimum > 0 ? nearestInt(inverseMinimum * load<f32>(minimums + (block << 2))) : 0
    store<u8>(dst + block, <u8>(sc | (m << 4)))
  }
  store<u16>(dst, halfBits(scale > 0 ? scale / <f32>TOP_SCALE : 0), D)
  store<u16>(dst, halfBits(minimum > 0 ? minimum / <f32>TOP_SCALE : 0), DMIN)
}

/** d and dmin by least squares over the blocks. */
function storeFittedScales(dst: usize): void {
  const scale = fitPositive(scales, blockWeights, BLOCKS, TOP_SCALE, scaleLevels)
  const minimum = fitPositive(minimums, blockWeights, BLOCKS, TOP_SCALE, minimumLevels)
  const high = i8x16.shl(v128.load(minimumLevels), 4)
  v128.store(dst, v128.or(v128.load(scaleLevels), high))
  store<u16>(dst, halfBits(scale), D)
  store<u16>(dst, halfBits(minimum), DMIN)
}

/** Levels by the scales as stored. Where a block's scale became 0 those of the search remain. */
function levelsOf(src: usize, header: usize): void {
  const d = loadHalf(header + D)
  const dmin = loadHalf(header + DMIN)
  for (let block: usize = 0; block < BLOCKS; block++) {
    const both = load<u8>(header + block)
    const scale = d * <f32>(both & 15)
    const from = src + block * BLOCK_BYTES
    const to = superLevels + block * BLOCK
    if (scale === 0) {
      const inverse = load<f32>(inverses + (block << 2))
      v128.store(to, affineLevels(from, inverse, load<f32>(bases + (block << 2)), TOP))
    } else {
      v128.store(to, affineLevelsOf(from, scale, dmin * <f32>(both >> 4), TOP))
    }
  }
}

/** `n` elements of Q2_K at `src` to f32 at `dst`. */
export function dequantizeQ2_K(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES, dst += SUPER << 2) {
    unpackCrumbs(src + LEVELS, superLevels)
    const d = loadHalf(src + D)
    const dmin = loadHalf(src + DMIN)
    for (let block: usize = 0; block < BLOCKS; block++) {
      const both = load<u8>(src + block)
      const scale = f32x4.splat(d * <f32>(both & 15))
      const minimum = f32x4.splat(dmin * <f32>(both >> 4))
      for (let i = block * BLOCK; i < (block + 1) * BLOCK; i += 4) {
        const wide = i16x8.extend_low_i8x16_u(v128.load32_zero(superLevels + i))
        const level = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(wide))
        v128.store(dst + (i << 2), f32x4.sub(f32x4.mul(scale, level), minimum))
      }
    }
  }
}
