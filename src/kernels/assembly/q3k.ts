// Q3_K: 16 blocks of 16 levels -4…3, their scales of 6 bits, one f16 scale above them.
// Super-block of 256: 32 bytes of third bits (bit b of byte l: element 32·b + l), 64 bytes of low
// bits, 12 bytes of scales, d f16.
import {
  gather,
  halfBits,
  loadHalf,
  nearestInt,
  nearestInts,
  packBytes,
  packCrumbs,
  sumOfSquares,
  unpackCrumbs,
  weighAll,
} from './lanes'
import { SUPER, superLevels } from './q45k'
import { refineScales, storeRefinedLevels } from './refine'
import {
  SYMMETRIC_RECORD,
  SYMMETRIC_WEIGHTS,
  searchSymmetric,
  symmetricLevels,
  symmetricRecords,
} from './symmetric'

const BLOCK: usize = 16
const BLOCK_BYTES: usize = BLOCK << 2
const BLOCKS: usize = 16
const BYTES: usize = 110
const LOW: usize = 32
const SCALES: usize = 96
const D: usize = 108
const TOP = 4
const TOP_SCALE = 32
/** The low 4 and the low 2 bits of each of eight bytes. */
const LOW4: u64 = (0x0f0f0f0f << 32) | 0x0f0f0f0f
const LOW2: u64 = (0x03030303 << 32) | 0x03030303

const scales: usize = memory.data(64, 16)
const inverses: usize = memory.data(64, 16)
const blockWeights: usize = memory.data(64, 16)
/** Scales 0…63 as stored: 32 more than they stand for. */
const scaleLevels: usize = memory.data(16, 16)
/** One vector each: scale and inverse scale of the search over scales. */
const scaleOfScales: usize = memory.data(32, 16)

/** f32 [rows, columns] at `src` to Q3_K at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ3_K(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    for (let column: u32 = 0; column < columns; column += <u32>SUPER) {
      if (weights === 0) {
        refineScales(src, scales)
        store<u16>(dst, halfBits(roundScales()), D)
      } else {
        searchImportant(src, weights + ((<usize>column) << 2))
        store<u16>(dst, halfBits(fitScales()), D)
      }
      packScales(dst + SCALES)
      levelsOf(src, loadHalf(dst + D), weights === 0)
      packLevels(dst)
      src += SUPER << 2
      dst += BYTES
    }
  }
}

/** The scale of largest magnitude stands for -32. @returns d */
function roundScales(): f32 {
  let largest: f32 = 0
  let signed: f32 = 0
  for (let block: usize = 0; block < BLOCKS; block++) {
    const scale = load<f32>(scales + (block << 2))
    if (abs(scale) > largest) {
      largest = abs(scale)
      signed = scale
    }
  }
  if (signed === 0) {
    memory.fill(scaleLevels, 0, BLOCKS)
    return 0
  }
  const inverse = <f32>-TOP_SCALE / signed
  for (let block: usize = 0; block < BLOCKS; block++) {
    // Cut to a byte before the limits.
    const whole = <i8>nearestInt(inverse * load<f32>(scales + (block << 2)))
    const inside = max(-TOP_SCALE, min(TOP_SCALE - 1, <i32>whole))
    store<u8>(scaleLevels + block, <u8>(inside + TOP_SCALE))
  }
  return 1 / inverse
}

function searchImportant(src: usize, weights: usize): void {
  const square = f32x4.splat((2 * sumOfSquares(src, SUPER)) / <f32>SUPER)
  for (let block: usize = 0; block < BLOCKS; block += 4) {
    const at = src + block * BLOCK_BYTES
    gather(at, at + 64, at + 128, at + 192, symmetricRecords, BLOCK, SYMMETRIC_RECORD)
    const from = weights + block * BLOCK_BYTES
    const ofWeights = symmetricRecords + SYMMETRIC_WEIGHTS
    gather(from, from + 64, from + 128, from + 192, ofWeights, BLOCK, SYMMETRIC_RECORD)
    const sum = weighAll(symmetricRecords, ofWeights, BLOCK, SYMMETRIC_RECORD, square)
    v128.store(blockWeights + (block << 2), sum)
    searchSymmetric(BLOCK, <f32>TOP, scales + (block << 2), inverses + (block << 2))
  }
}

/** Searches the scales' own scale, the same in all four lanes. @returns d */
function fitScales(): f32 {
  for (let block: usize = 0; block < BLOCKS; block++) {
    const record = symmetricRecords + block * SYMMETRIC_RECORD
    v128.store(record, v128.load32_splat(scales + (block << 2)))
    v128.store(record, v128.load32_splat(blockWeights + (block << 2)), SYMMETRIC_WEIGHTS)
  }
  searchSymmetric(BLOCKS, <f32>TOP_SCALE, scaleOfScales, scaleOfScales + 16)
  const inverse = load<f32>(scaleOfScales, 16)
  v128.store(scaleLevels, symmetricLevels(scales, inverse, TOP_SCALE))
  return load<f32>(scaleOfScales)
}

/** Bytes 0…7 hold the low 4 bits of scales j and j + 8, bytes 8…11 two bits of j, j + 4, j + 8, j + 12. */
function packScales(dst: usize): void {
  const first = load<u64>(scaleLevels)
  const second = load<u64>(scaleLevels, 8)
  store<u64>(dst, (first & LOW4) | ((second & LOW4) << 4))
  const high1 = (first >> 4) & LOW2
  const high2 = (second >> 4) & LOW2
  const pair1 = <u32>high1 | ((<u32>(high1 >> 32)) << 2)
  const pair2 = <u32>high2 | ((<u32>(high2 >> 32)) << 2)
  store<u32>(dst, pair1 | (pair2 << 4), 8)
}

/** Levels 0…7 by the scales as stored. Where a block's scale became 0 those of the search remain. */
function levelsOf(src: usize, d: f32, refined: bool): void {
  for (let block: usize = 0; block < BLOCKS; block++) {
    const scale = d * <f32>(<i32>load<u8>(scaleLevels + block) - TOP_SCALE)
    const from = src + block * BLOCK_BYTES
    const to = superLevels + block * BLOCK
    if (scale !== 0) {
      const divisor = f32x4.splat(scale)
      const bytes = packBytes(
        quotients(from, divisor),
        quotients(from + 16, divisor),
        quotients(from + 32, divisor),
        quotients(from + 48, divisor),
      )
      v128.store(to, bytes)
    } else if (refined) {
      storeRefinedLevels(block, to)
    } else {
      v128.store(to, symmetricLevels(from, load<f32>(inverses + (block << 2)), TOP))
    }
  }
}

function quotients(src: usize, scale: v128): v128 {
  const whole = nearestInts(f32x4.div(v128.load(src), scale))
  const inside = i32x4.max_s(i32x4.splat(-TOP), i32x4.min_s(i32x4.splat(TOP - 1), whole))
  return i32x4.add(inside, i32x4.splat(TOP))
}

function packLevels(dst: usize): void {
  const three = i8x16.splat(3)
  for (let l: usize = 0; l < 32; l += 16) {
    let third = i8x16.splat(0)
    for (let eighth: usize = 0; eighth < 8; eighth++) {
      const at = superLevels + eighth * 32 + l
      const level = v128.load(at)
      third = v128.or(third, i8x16.shl(i8x16.shr_u(level, 2), <i32>eighth))
      v128.store(at, v128.and(level, three))
    }
    v128.store(dst + l, third)
  }
  packCrumbs(superLevels, dst + LOW)
}

/** `n` elements of Q3_K at `src` to f32 at `dst`. */
export function dequantizeQ3_K(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES, dst += SUPER << 2) {
    unpackScales(src + SCALES)
    unpackLevels(src)
    const d = loadHalf(src + D)
    for (let block: usize = 0; block < BLOCKS; block++) {
      const scale = f32x4.splat(d * <f32>(<i32>load<u8>(scaleLevels + block) - TOP_SCALE))
      for (let i = block * BLOCK; i < (block + 1) * BLOCK; i += 4) {
        const wide = i16x8.extend_low_i8x16_u(v128.load32_zero(superLevels + i))
        const level = i32x4.sub(i32x4.extend_low_i16x8_u(wide), i32x4.splat(TOP))
        v128.store(dst + (i << 2), f32x4.mul(scale, f32x4.convert_i32x4_s(level)))
      }
    }
  }
}

function unpackScales(src: usize): void {
  const both = load<u64>(src)
  const high = <u64>load<u32>(src, 8)
  const high1 = (high | (high << 30)) & LOW2
  const high2 = ((high >> 4) | (high << 26)) & LOW2
  store<u64>(scaleLevels, (both & LOW4) | (high1 << 4))
  store<u64>(scaleLevels, ((both >> 4) & LOW4) | (high2 << 4), 8)
}

/** The levels 0…7 of a super-block, in order. */
function unpackLevels(src: usize): void {
  unpackCrumbs(src + LOW, superLevels)
  for (let l: usize = 0; l < 32; l += 16) {
    let third = v128.load(src + l)
    for (let eighth: usize = 0; eighth < 8; eighth++) {
      const at = superLevels + eighth * 32 + l
      const bit = i8x16.shl(v128.and(third, i8x16.splat(1)), 2)
      v128.store(at, v128.or(v128.load(at), bit))
      third = i8x16.shr_u(third, 1)
    }
  }
}
