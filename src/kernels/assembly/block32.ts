// What the types with blocks of 32 elements share: a block's extremes, the rounding of elements to
// levels, and how levels lie in bytes: the low 4 bits of element l and of element l + 16 in byte l,
// and the fifth bits of all 32 in one little-endian word.
import { AFFINE_RECORD, AFFINE_WEIGHTS, affineLevels, affineRecords, searchAffine } from './affine'
import { gather, highestOf, integers, lowestOf, packBytes, sumOfSquares, weighAll } from './lanes'
import {
  SYMMETRIC_RECORD,
  SYMMETRIC_WEIGHTS,
  searchSymmetric,
  symmetricLevels,
  symmetricRecords,
} from './symmetric'

export const BLOCK: usize = 32
const BLOCK_BYTES: usize = BLOCK << 2

/** The levels of 32 elements, a byte each. */
export const blockLevels: usize = memory.data(32, 16)

/** The first of the block's elements that equals `value` but for the sign of zero or, if `orNegative`, its sign. */
function firstOf(src: usize, value: f32, orNegative: bool): f32 {
  for (let i: usize = 0; i < BLOCK_BYTES; i += 4) {
    const x = load<f32>(src + i)
    if (x === value || (orNegative && -x === value)) return x
  }
  return value
}

/** The block's smallest element; of zeros the first, whose sign ends up in the file. */
export function lowest(src: usize): f32 {
  let least = v128.load(src)
  for (let i: usize = 16; i < BLOCK_BYTES; i += 16) {
    least = f32x4.pmin(least, v128.load(src + i))
  }
  const value = lowestOf(least)
  return value === 0 ? firstOf(src, value, false) : value
}

/** The block's largest element. */
export function highest(src: usize): f32 {
  let most = v128.load(src)
  for (let i: usize = 16; i < BLOCK_BYTES; i += 16) {
    most = f32x4.pmax(most, v128.load(src + i))
  }
  return highestOf(most)
}

/** The block's element of largest magnitude, the first of several; +0 if all are zero. */
export function largest(src: usize): f32 {
  let least = v128.load(src)
  let most = least
  for (let i: usize = 16; i < BLOCK_BYTES; i += 16) {
    const x = v128.load(src + i)
    least = f32x4.pmin(least, x)
    most = f32x4.pmax(most, x)
  }
  const low = lowestOf(least)
  const high = highestOf(most)
  if (high > -low) return high
  if (high < -low) return low
  return high === 0 ? 0 : firstOf(src, high, true)
}

/**
 * Levels (x - base) · inverse + half, cut off to whole numbers and at `top`. Where the scale was
 * subnormal the inverse is infinite, and ggml's cast of infinity to a byte gives level 0.
 */
export function roundLevels(src: usize, base: f32, inverse: f32, half: f32, top: u8): void {
  if (inverse === Infinity || inverse === -Infinity) {
    memory.fill(blockLevels, 0, BLOCK)
    return
  }
  for (let i: usize = 0; i < BLOCK; i += 16) {
    const from = src + (i << 2)
    const bytes = packBytes(
      cutOff(from, base, inverse, half),
      cutOff(from + 16, base, inverse, half),
      cutOff(from + 32, base, inverse, half),
      cutOff(from + 48, base, inverse, half),
    )
    v128.store(blockLevels + i, i8x16.min_u(bytes, i8x16.splat(top)))
  }
}

function cutOff(src: usize, base: f32, inverse: f32, half: f32): v128 {
  const lifted = f32x4.sub(v128.load(src), f32x4.splat(base))
  const scaled = f32x4.mul(lifted, f32x4.splat(inverse))
  return integers(f32x4.trunc(f32x4.add(scaled, f32x4.splat(half))))
}

export function storeLow4(dst: usize): void {
  const first = v128.and(v128.load(blockLevels), i8x16.splat(15))
  v128.store(dst, v128.or(first, i8x16.shl(v128.load(blockLevels, 16), 4)))
}

export function storeBit5(dst: usize): void {
  const first = i8x16.bitmask(i8x16.shl(v128.load(blockLevels), 3))
  const second = i8x16.bitmask(i8x16.shl(v128.load(blockLevels, 16), 3))
  store<u32>(dst, first | (second << 16))
}

/** The mean square of a row, which weighs its elements' importance. */
export function meanSquare(src: usize, columns: u32): f32 {
  return sumOfSquares(src, columns) / <f32>columns
}

/** What the search of a row's blocks left: tables of eight f32, or four after a symmetric search. */
const PITCH: usize = 32
const scales: usize = memory.data(128, 16)
const minimums: usize = scales + PITCH
const inverses: usize = scales + 2 * PITCH
const bases: usize = scales + 3 * PITCH

/** Four blocks from `block` on, the row's last block standing in for those beyond it. */
function gatherBlocks(row: usize, block: usize, last: usize, dst: usize, pitch: usize): void {
  gather(
    row + min(block, last) * BLOCK_BYTES,
    row + min(block + 1, last) * BLOCK_BYTES,
    row + min(block + 2, last) * BLOCK_BYTES,
    row + min(block + 3, last) * BLOCK_BYTES,
    dst,
    BLOCK,
    pitch,
  )
}

/** Searches blocks `block`…`block` + 3 of a row for their scales, levels -top…top-1. */
export function searchSymmetricBlocks(
  row: usize,
  weights: usize,
  square: f32,
  block: usize,
  last: usize,
  top: i32,
): void {
  const ofWeights = symmetricRecords + SYMMETRIC_WEIGHTS
  gatherBlocks(row, block, last, symmetricRecords, SYMMETRIC_RECORD)
  gatherBlocks(weights, block, last, ofWeights, SYMMETRIC_RECORD)
  weighAll(symmetricRecords, ofWeights, BLOCK, SYMMETRIC_RECORD, f32x4.splat(square))
  searchSymmetric(BLOCK, <f32>top, scales, inverses)
}

/** Searches blocks `block`…`block` + 7 of a row for scales and minimums, levels 0…top. */
export function searchAffineBlocks(
  row: usize,
  weights: usize,
  square: f32,
  block: usize,
  last: usize,
  top: i32,
): void {
  for (let four: usize = 0; four < 2; four++) {
    const from = affineRecords + (four << 4)
    const ofWeights = from + AFFINE_WEIGHTS
    gatherBlocks(row, block + 4 * four, last, from, AFFINE_RECORD)
    gatherBlocks(weights, block + 4 * four, last, ofWeights, AFFINE_RECORD)
    weighAll(from, ofWeights, BLOCK, AFFINE_RECORD, f32x4.splat(square))
  }
  searchAffine(BLOCK, <f32>top, -0.9, 0.05, 36, false, scales, PITCH)
}

/** After a search: the scale of its block `lane`. */
export function searchedScale(lane: usize): f32 {
  return load<f32>(scales + (lane << 2))
}

/** After an affine search: the minimum of its block `lane`. */
export function searchedMinimum(lane: usize): f32 {
  return -load<f32>(minimums + (lane << 2))
}

/** After a symmetric search: the levels of its block `lane`, which lies at `src`. */
export function takeSymmetricLevels(src: usize, lane: usize, top: i32): void {
  const inverse = load<f32>(inverses + (lane << 2))
  v128.store(blockLevels, symmetricLevels(src, inverse, top))
  v128.store(blockLevels, symmetricLevels(src + 64, inverse, top), 16)
}

/** After an affine search: the levels of its block `lane`, which lies at `src`. */
export function takeAffineLevels(src: usize, lane: usize, top: i32): void {
  const inverse = load<f32>(inverses + (lane << 2))
  const base = load<f32>(bases + (lane << 2))
  v128.store(blockLevels, affineLevels(src, inverse, base, top))
  v128.store(blockLevels, affineLevels(src + 64, inverse, base, top), 16)
}

/** The 32 levels at `src`, with their fifth bits from `high` (0: there are none). */
export function loadLevels(src: usize, high: u32): void {
  const bytes = v128.load(src)
  v128.store(blockLevels, v128.or(v128.and(bytes, i8x16.splat(15)), bit5(high)))
  v128.store(blockLevels, v128.or(i8x16.shr_u(bytes, 4), bit5(high >> 16)), 16)
}

/** Sixteen bits to 16 or 0 in a byte each. */
function bit5(bits: u32): v128 {
  const spread = v128.shuffle<u8>(
    i32x4.splat(bits),
    i32x4.splat(bits),
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
    1,
  )
  const each = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128)
  return v128.and(i8x16.eq(v128.and(spread, each), each), i8x16.splat(16))
}

/** Writes (level - zero) · scale + minimum for the 32 levels of `blockLevels`. */
export function storeValues(dst: usize, zero: i32, scale: f32, minimum: f32): void {
  for (let i: usize = 0; i < BLOCK; i += 4) {
    const wide = i16x8.extend_low_i8x16_u(v128.load32_zero(blockLevels + i))
    const level = i32x4.sub(i32x4.extend_low_i16x8_u(wide), i32x4.splat(zero))
    const scaled = f32x4.mul(f32x4.convert_i32x4_s(level), f32x4.splat(scale))
    v128.store(dst + (i << 2), f32x4.add(scaled, f32x4.splat(minimum)))
  }
}
