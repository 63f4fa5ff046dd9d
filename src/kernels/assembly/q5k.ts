// Q5_K: the header of q45k.ts, then 32 bytes of fifth bits (bit b of byte l: element 32·b + l) and
// 128 bytes of low bits: byte l of every 32 holds those of elements l and l + 32 of 64.
import { HEADER, quantizeSuperBlock, SUPER, storeSuperBlock, superLevels } from './q45k'

const BYTES: usize = 176
const LOW: usize = HEADER + 32
const TOP = 31

/** f32 [rows, columns] at `src` to Q5_K at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ5_K(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    for (let column: u32 = 0; column < columns; column += <u32>SUPER) {
      const important = weights === 0 ? <usize>0 : weights + ((<usize>column) << 2)
      quantizeSuperBlock(src, dst, important, TOP, -0.5, 15)
      packLevels(dst)
      src += SUPER << 2
      dst += BYTES
    }
  }
}

function packLevels(dst: usize): void {
  const low = i8x16.splat(15)
  for (let l: usize = 0; l < 32; l += 16) {
    let fifth = i8x16.splat(0)
    for (let block: usize = 0; block < 8; block += 2) {
      const from = superLevels + block * 32 + l
      const first = v128.load(from)
      const second = v128.load(from, 32)
      const both = v128.or(v128.and(first, low), i8x16.shl(second, 4))
      v128.store(dst + block * 16 + l, both, LOW)
      const bits = v128.or(i8x16.shr_u(first, 4), i8x16.shl(i8x16.shr_u(second, 4), 1))
      fifth = v128.or(fifth, i8x16.shl(bits, <i32>block))
    }
    v128.store(dst + l, fifth, HEADER)
  }
}

/** `n` elements of Q5_K at `src` to f32 at `dst`. */
export function dequantizeQ5_K(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES, dst += SUPER << 2) {
    unpackLevels(src)
    storeSuperBlock(src, dst)
  }
}

function unpackLevels(src: usize): void {
  const one = i8x16.splat(1)
  for (let l: usize = 0; l < 32; l += 16) {
    let fifth = v128.load(src + l, HEADER)
    for (let block: usize = 0; block < 8; block += 2) {
      const both = v128.load(src + block * 16 + l, LOW)
      const first = i8x16.shl(v128.and(fifth, one), 4)
      const second = i8x16.shl(v128.and(i8x16.shr_u(fifth, 1), one), 4)
      const to = superLevels + block * 32 + l
      v128.store(to, v128.or(v128.and(both, i8x16.splat(15)), first))
      v128.store(to, v128.or(i8x16.shr_u(both, 4), second), 32)
      fifth = i8x16.shr_u(fifth, 2)
    }
  }
}
