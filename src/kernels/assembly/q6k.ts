// Q6_K: 16 blocks of 16 levels -32…31, their scales i8, and one f16 scale above them.
// Super-block of 256: ql 128 bytes (low 4 bits), qh 64 bytes (high 2 bits), scales 16 × i8, d f16.
import { gather, halfBits, loadHalf, nearestInt, nearestInts, packBytes } from './lanes'
import {
  SYMMETRIC_RECORD,
  SYMMETRIC_WEIGHTS,
  searchSymmetric,
  symmetricLevels,
  symmetricRecords,
} from './symmetric'

const SUPER: usize = 256
const BLOCK: usize = 16
const BYTES: usize = 210
const QH: usize = 128
const SCALES: usize = 192
const D: usize = 208
const TOP = 32

/** Below this the whole super-block is stored as zeros. */
const ALL_ZERO: f32 = 1e-15

const scales: usize = memory.data(16 * 4, 16)
const inverses: usize = memory.data(16 * 4, 16)
const levels: usize = memory.data(256, 16)

/** f32 [rows, columns] at `src` to Q6_K at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ6_K(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    for (let column: u32 = 0; column < columns; column += <u32>SUPER) {
      searchBlocks(src, weights === 0 ? <usize>0 : weights + ((<usize>column) << 2))
      quantizeSuperBlock(src, dst)
      src += SUPER << 2
      dst += BYTES
    }
  }
}

/** A scale for each of the 16 blocks. An element's weight is its square, or its column's importance. */
function searchBlocks(src: usize, weights: usize): void {
  for (let block: usize = 0; block < 16; block += 4) {
    const at = src + block * (BLOCK << 2)
    gather(at, at + 64, at + 128, at + 192, symmetricRecords, BLOCK, SYMMETRIC_RECORD)
    const ofWeights = symmetricRecords + SYMMETRIC_WEIGHTS
    if (weights === 0) {
      for (let i: usize = 0; i < BLOCK * SYMMETRIC_RECORD; i += SYMMETRIC_RECORD) {
        const x = v128.load(symmetricRecords + i)
        v128.store(ofWeights + i, f32x4.mul(x, x))
      }
    } else {
      const from = weights + block * (BLOCK << 2)
      gather(from, from + 64, from + 128, from + 192, ofWeights, BLOCK, SYMMETRIC_RECORD)
    }
    searchSymmetric(BLOCK, <f32>TOP, scales + (block << 2), inverses + (block << 2))
  }
}

function quantizeSuperBlock(src: usize, dst: usize): void {
  let largest: f32 = 0
  let signed: f32 = 0
  for (let block: usize = 0; block < 16; block++) {
    const scale = load<f32>(scales + (block << 2))
    if (abs(scale) > largest) {
      largest = abs(scale)
      signed = scale
    }
  }
  if (largest < ALL_ZERO) {
    memory.fill(dst, 0, BYTES)
    return
  }
  const inverse = <f32>-128 / signed
  const d = halfBits(1 / inverse)
  store<u16>(dst, d, D)
  const scale = loadHalf(dst + D)
  for (let block: usize = 0; block < 16; block++) {
    const whole = min(127, nearestInt(inverse * load<f32>(scales + (block << 2))))
    store<i8>(dst + block, <i8>whole, SCALES)
    const blockScale = scale * <f32>(<i8>whole)
    const from = src + block * (BLOCK << 2)
    const to = levels + block * BLOCK
    if (blockScale === 0) {
      v128.store(to, symmetricLevels(from, load<f32>(inverses + (block << 2)), TOP))
    } else {
      const divisor = f32x4.splat(blockScale)
      v128.store(
        to,
        packBytes(
          levelsOf(from, divisor),
          levelsOf(from + 16, divisor),
          levelsOf(from + 32, divisor),
          levelsOf(from + 48, divisor),
        ),
      )
    }
  }
  packLevels(dst)
}

/** Four elements' levels, 0…63. */
function levelsOf(src: usize, scale: v128): v128 {
  const whole = nearestInts(f32x4.div(v128.load(src), scale))
  const inside = i32x4.max_s(i32x4.splat(-TOP), i32x4.min_s(i32x4.splat(TOP - 1), whole))
  return i32x4.add(inside, i32x4.splat(TOP))
}

/** Byte l of a half super-block holds elements l and l + 64, byte l + 32 elements l + 32 and l + 96. */
function packLevels(dst: usize): void {
  const low = i8x16.splat(15)
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const from = levels + half * 128 + l
      const q0 = v128.load(from)
      const q1 = v128.load(from, 32)
      const q2 = v128.load(from, 64)
      const q3 = v128.load(from, 96)
      const ql = dst + half * 64 + l
      v128.store(ql, v128.or(v128.and(q0, low), i8x16.shl(v128.and(q2, low), 4)))
      v128.store(ql, v128.or(v128.and(q1, low), i8x16.shl(v128.and(q3, low), 4)), 32)
      const high = v128.or(
        v128.or(i8x16.shr_u(q0, 4), i8x16.shl(i8x16.shr_u(q1, 4), 2)),
        v128.or(i8x16.shl(i8x16.shr_u(q2, 4), 4), i8x16.shl(i8x16.shr_u(q3, 4), 6)),
      )
      v128.store(dst + half * 32 + l, high, QH)
    }
  }
}

/** `n` elements of Q6_K at `src` to f32 at `dst`. */
export function dequantizeQ6_K(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES, dst += SUPER << 2) {
    unpackLevels(src)
    const d = loadHalf(src + D)
    for (let block: usize = 0; block < 16; block++) {
      const scale = f32x4.splat(d * <f32>load<i8>(src + block, SCALES))
      for (let i: usize = 0; i < BLOCK; i += 4) {
        const at = block * BLOCK + i
        const level = i32x4.sub(
          i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(levels + at))),
          i32x4.splat(TOP),
        )
        v128.store(dst + (at << 2), f32x4.mul(scale, f32x4.convert_i32x4_s(level)))
      }
    }
  }
}

/** The levels 0…63 of a super-block, in order. */
function unpackLevels(src: usize): void {
  const low = i8x16.splat(15)
  const two = i8x16.splat(3)
  for (let half: usize = 0; half < 2; half++) {
    for (let l: usize = 0; l < 32; l += 16) {
      const a = v128.load(src + half * 64 + l)
      const b = v128.load(src + half * 64 + l, 32)
      const high = v128.load(src + half * 32 + l, QH)
      const to = levels + half * 128 + l
      v128.store(to, v128.or(v128.and(a, low), i8x16.shl(v128.and(high, two), 4)))
      const high1 = v128.and(i8x16.shr_u(high, 2), two)
      v128.store(to, v128.or(v128.and(b, low), i8x16.shl(high1, 4)), 32)
      const high2 = v128.and(i8x16.shr_u(high, 4), two)
      v128.store(to, v128.or(i8x16.shr_u(a, 4), i8x16.shl(high2, 4)), 64)
      v128.store(to, v128.or(i8x16.shr_u(b, 4), i8x16.shl(i8x16.shr_u(high, 6), 4)), 96)
    }
  }
}
