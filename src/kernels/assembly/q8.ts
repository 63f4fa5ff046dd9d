// Q8_0: 32 levels of 8 bits and their f16 scale. Block: d f16, 32 × i8.
import { halfBits, highestOf, integers, loadHalf } from './lanes'

const BLOCK: usize = 32
const BYTES: usize = 34

/** The f32 below 0.5: with it, adding and cutting off rounds halves away from zero, and only them. */
const JUST_UNDER_HALF: f32 = 0.49999997

/** f32 [rows, columns] at `src` to Q8_0 at `dst`. Importance makes no difference to this type. */
export function quantizeQ8_0(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  _weights: usize,
): void {
  const end = src + ((<usize>rows * columns) << 2)
  for (; src < end; src += BLOCK << 2, dst += BYTES) {
    let largest = f32x4.abs(v128.load(src))
    for (let i: usize = 16; i < BLOCK << 2; i += 16) {
      largest = f32x4.pmax(largest, f32x4.abs(v128.load(src + i)))
    }
    const scale = highestOf(largest) / 127
    store<u16>(dst, halfBits(scale))
    const inverse: f32 = scale !== 0 ? 1 / scale : 0
    // The inverse of a subnormal scale is infinite, and ggml's cast of infinity to a byte gives 0.
    if (inverse === Infinity) {
      memory.fill(dst + 2, 0, BLOCK)
      continue
    }
    const factor = f32x4.splat(inverse)
    for (let i: usize = 0; i < BLOCK; i += 16) {
      const from = src + (i << 2)
      const low = i16x8.narrow_i32x4_s(rounded(from, factor), rounded(from + 16, factor))
      const high = i16x8.narrow_i32x4_s(rounded(from + 32, factor), rounded(from + 48, factor))
      v128.store(dst + 2 + i, i8x16.narrow_i16x8_s(low, high))
    }
  }
}

/** Four elements times `factor`, rounded to whole numbers, halves away from zero. */
function rounded(src: usize, factor: v128): v128 {
  const scaled = f32x4.mul(v128.load(src), factor)
  const sign = v128.and(scaled, i32x4.splat(<i32>0x80000000))
  const half = v128.or(sign, f32x4.splat(JUST_UNDER_HALF))
  return integers(f32x4.trunc(f32x4.add(scaled, half)))
}

/** `n` elements of Q8_0 at `src` to f32 at `dst`. */
export function dequantizeQ8_0(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES, dst += BLOCK << 2) {
    const scale = f32x4.splat(loadHalf(src))
    for (let i: usize = 0; i < BLOCK; i += 8) {
      const levels = v128.load8x8_s(src + 2 + i)
      const to = dst + (i << 2)
      v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(levels)), scale))
      v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(levels)), scale), 16)
    }
  }
}
