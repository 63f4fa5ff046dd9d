// Small tools of the quantization kernels. Where ggml searches a block's scale one element after
// the other, these kernels search four blocks at once, one in each lane: element i of the four
// blocks is one vector, so that every lane adds in ggml's order and ends with ggml's bits.
import { f16FromF32x4, f32FromF16x4 } from './cast'

/** 1.5 · 2^23: adding it to |v| ≤ 2^22 leaves v, rounded to nearest even, in the low bits. */
const ROUNDER: f32 = 12582912
const ROUNDER_BITS: i32 = 0x4b400000

/**
 * The nearest integer as ggml finds it: by adding a constant and keeping 23 bits. Beyond ±2^22
 * the result is wrong, and files depend on how: infinities give -2^22, NaN gives 0.
 */
export function nearestInt(v: f32): i32 {
  return (reinterpret<i32>(v + ROUNDER) & 0x7fffff) - 0x400000
}

/** Four times `nearestInt`. */
export function nearestInts(v: v128): v128 {
  const bits = f32x4.add(v, f32x4.splat(ROUNDER))
  return i32x4.sub(v128.and(bits, i32x4.splat(0x7fffff)), i32x4.splat(0x400000))
}

/** Whole numbers below 2^22, held as f32, to i32. */
export function integers(v: v128): v128 {
  return i32x4.sub(f32x4.add(v, f32x4.splat(ROUNDER)), i32x4.splat(ROUNDER_BITS))
}

/** The smallest of four f32. */
export function lowestOf(v: v128): f32 {
  const pairs = f32x4.pmin(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1))
  return f32x4.extract_lane(f32x4.pmin(pairs, v128.shuffle<u32>(pairs, pairs, 1, 0, 3, 2)), 0)
}

/** The largest of four f32. */
export function highestOf(v: v128): f32 {
  const pairs = f32x4.pmax(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1))
  return f32x4.extract_lane(f32x4.pmax(pairs, v128.shuffle<u32>(pairs, pairs, 1, 0, 3, 2)), 0)
}

/** Sixteen i32 of 0…255 to bytes, in order. */
export function packBytes(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))
}

/** The bits of `v` in f16, rounded to nearest even. */
export function halfBits(v: f32): u16 {
  return <u16>i32x4.extract_lane(f16FromF32x4(f32x4.splat(v)), 0)
}

/** The f16 at `address` as f32. */
export function loadHalf(address: usize): f32 {
  return f32x4.extract_lane(f32FromF16x4(i32x4.splat(load<u16>(address))), 0)
}

/**
 * Four blocks of `n` f32 at `a`, `b`, `c`, `d` to vectors at `dst`, `pitch` bytes apart, one block
 * a lane. `n` must be a multiple of 4.
 */
export function gather(
  a: usize,
  b: usize,
  c: usize,
  d: usize,
  dst: usize,
  n: usize,
  pitch: usize,
): void {
  for (let i: usize = 0; i < n << 2; i += 16) {
    const a0 = v128.load(a + i)
    const b0 = v128.load(b + i)
    const c0 = v128.load(c + i)
    const d0 = v128.load(d + i)
    const abLow = v128.shuffle<u32>(a0, b0, 0, 4, 1, 5)
    const abHigh = v128.shuffle<u32>(a0, b0, 2, 6, 3, 7)
    const cdLow = v128.shuffle<u32>(c0, d0, 0, 4, 1, 5)
    const cdHigh = v128.shuffle<u32>(c0, d0, 2, 6, 3, 7)
    v128.store(dst, v128.shuffle<u64>(abLow, cdLow, 0, 2))
    v128.store(dst + pitch, v128.shuffle<u64>(abLow, cdLow, 1, 3))
    v128.store(dst + 2 * pitch, v128.shuffle<u64>(abHigh, cdHigh, 0, 2))
    v128.store(dst + 3 * pitch, v128.shuffle<u64>(abHigh, cdHigh, 1, 3))
    dst += pitch << 2
  }
}

/** Σ x² of `n` f32, added one after the other. */
export function sumOfSquares(src: usize, n: usize): f32 {
  let sum: f32 = 0
  for (let i: usize = 0; i < n; i++) {
    const x = load<f32>(src + (i << 2))
    sum += x * x
  }
  return sum
}

/**
 * Turns the columns' importance at `weights` into weights of the elements at `x`, given the mean
 * square: `n` vectors each, `pitch` bytes apart.
 * @returns the sum of the weights
 */
export function weighAll(x: usize, weights: usize, n: usize, pitch: usize, meanSquare: v128): v128 {
  let sum = f32x4.splat(0)
  for (let i: usize = 0; i < n * pitch; i += pitch) {
    const element = v128.load(x + i)
    const root = f32x4.sqrt(f32x4.add(meanSquare, f32x4.mul(element, element)))
    const weight = f32x4.mul(v128.load(weights + i), root)
    v128.store(weights + i, weight)
    sum = f32x4.add(sum, weight)
  }
  return sum
}

/** 256 levels of 2 bits: byte l of every 32 holds elements l, l + 32, l + 64 and l + 96 of 128. */
export function packCrumbs(levels: usize, dst: usize): void {
  for (let l: usize = 0; l < 64; l += 16) {
    const from = levels + ((l & 32) << 2) + (l & 31)
    const low = v128.or(v128.load(from), i8x16.shl(v128.load(from, 32), 2))
    const high = v128.or(i8x16.shl(v128.load(from, 64), 4), i8x16.shl(v128.load(from, 96), 6))
    v128.store(dst + l, v128.or(low, high))
  }
}

/** The inverse of `packCrumbs`. */
export function unpackCrumbs(src: usize, levels: usize): void {
  const two = i8x16.splat(3)
  for (let l: usize = 0; l < 64; l += 16) {
    const bytes = v128.load(src + l)
    const to = levels + ((l & 32) << 2) + (l & 31)
    v128.store(to, v128.and(bytes, two))
    v128.store(to, v128.and(i8x16.shr_u(bytes, 2), two), 32)
    v128.store(to, v128.and(i8x16.shr_u(bytes, 4), two), 64)
    v128.store(to, i8x16.shr_u(bytes, 6), 96)
  }
}
