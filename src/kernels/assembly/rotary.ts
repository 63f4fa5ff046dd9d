// Rotary embedding turns pairs of rows of each head of the query and key projections. Meta and
// EasyLM keep the two rows of a pair next to each other (interleaved: 0 0' 1 1' 2 2' …), Hugging
// Face keeps the first rows of all pairs, then the second ones (half: 0 1 2 … 0' 1' 2' …).
// `rows` must be whole heads of `headDim` rows, each of `rowBytes` bytes, row-major.

/** Interleaved rows at `src` to half-split rows at `dst`. */
export function rotaryToHalf(src: usize, dst: usize, rows: u32, headDim: u32, rowBytes: u32): void {
  const half = headDim >> 1
  for (let head: u32 = 0; head < rows; head += headDim) {
    for (let i: u32 = 0; i < headDim; i++) {
      const to = (i >> 1) + (i & 1) * half
      memory.copy(dst + <usize>(head + to) * rowBytes, src + <usize>(head + i) * rowBytes, rowBytes)
    }
  }
}

/** Half-split rows at `src` to interleaved rows at `dst`. */
export function rotaryToInterleaved(
  src: usize,
  dst: usize,
  rows: u32,
  headDim: u32,
  rowBytes: u32,
): void {
  const half = headDim >> 1
  for (let head: u32 = 0; head < rows; head += headDim) {
    for (let i: u32 = 0; i < headDim; i++) {
      const from = (i >> 1) + (i & 1) * half
      memory.copy(
        dst + <usize>(head + i) * rowBytes,
        src + <usize>(head + from) * rowBytes,
        rowBytes,
      )
    }
  }
}
