// Q4_K: the header of q45k.ts, then 128 bytes of levels: byte l of every 32 holds the levels of
// elements l and l + 32 of 64.
import { HEADER, quantizeSuperBlock, SUPER, storeSuperBlock, superLevels } from './q45k'

const BYTES: usize = 144
const TOP = 15

/** f32 [rows, columns] at `src` to Q4_K at `dst`; `weights` is the columns' importance, or 0. */
export function quantizeQ4_K(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  weights: usize,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    for (let column: u32 = 0; column < columns; column += <u32>SUPER) {
      const important = weights === 0 ? <usize>0 : weights + ((<usize>column) << 2)
      quantizeSuperBlock(src, dst, important, TOP, -1, 20)
      for (let l: usize = 0; l < 128; l += 16) {
        const from = superLevels + ((l & ~31) << 1) + (l & 31)
        const high = i8x16.shl(v128.load(from, 32), 4)
        v128.store(dst + l, v128.or(v128.load(from), high), HEADER)
      }
      src += SUPER << 2
      dst += BYTES
    }
  }
}

/** `n` elements of Q4_K at `src` to f32 at `dst`. */
export function dequantizeQ4_K(src: usize, dst: usize, n: usize): void {
  const end = dst + (n << 2)
  for (; dst < end; src += BYTES, dst += SUPER << 2) {
    for (let l: usize = 0; l < 128; l += 16) {
      const bytes = v128.load(src + l, HEADER)
      const to = superLevels + ((l & ~31) << 1) + (l & 31)
      v128.store(to, v128.and(bytes, i8x16.splat(15)))
      v128.store(to, i8x16.shr_u(bytes, 4), 32)
    }
    storeSuperBlock(src, dst)
  }
}
