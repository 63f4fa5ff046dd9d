// Transposition of a row-major matrix [rows, columns] at `src` to [columns, rows] at `dst`.
// Worked in squares of one cache line's width, so that every line of source and target is touched
// once while it is in the first-level cache; within a square in 8×8 or 4×4 registers.

/** Elements of 16 bits in a cache line of 64 bytes. */
const SQUARE16: u32 = 32
/** Elements of 32 bits in a cache line of 64 bytes. */
const SQUARE32: u32 = 16
/** Elements of 64 bits in a cache line of 64 bytes. */
const SQUARE64: u32 = 8

export function transpose16(src: usize, dst: usize, rows: u32, columns: u32): void {
  const wholeRows = rows & ~7
  const wholeColumns = columns & ~7
  for (let row: u32 = 0; row < wholeRows; row += SQUARE16) {
    const rowEnd = min(row + SQUARE16, wholeRows)
    for (let column: u32 = 0; column < wholeColumns; column += SQUARE16) {
      const columnEnd = min(column + SQUARE16, wholeColumns)
      for (let c = column; c < columnEnd; c += 8) {
        for (let r = row; r < rowEnd; r += 8) {
          transpose8x8(
            src + ((<usize>r * columns + c) << 1),
            dst + ((<usize>c * rows + r) << 1),
            (<usize>columns) << 1,
            (<usize>rows) << 1,
          )
        }
      }
    }
  }
  for (let r: u32 = 0; r < rows; r++) {
    for (let c = r < wholeRows ? wholeColumns : 0; c < columns; c++) {
      store<u16>(
        dst + ((<usize>c * rows + r) << 1),
        load<u16>(src + ((<usize>r * columns + c) << 1)),
      )
    }
  }
}

export function transpose32(src: usize, dst: usize, rows: u32, columns: u32): void {
  const wholeRows = rows & ~3
  const wholeColumns = columns & ~3
  for (let row: u32 = 0; row < wholeRows; row += SQUARE32) {
    const rowEnd = min(row + SQUARE32, wholeRows)
    for (let column: u32 = 0; column < wholeColumns; column += SQUARE32) {
      const columnEnd = min(column + SQUARE32, wholeColumns)
      for (let c = column; c < columnEnd; c += 4) {
        for (let r = row; r < rowEnd; r += 4) {
          transpose4x4(
            src + ((<usize>r * columns + c) << 2),
            dst + ((<usize>c * rows + r) << 2),
            (<usize>columns) << 2,
            (<usize>rows) << 2,
          )
        }
      }
    }
  }
  for (let r: u32 = 0; r < rows; r++) {
    for (let c = r < wholeRows ? wholeColumns : 0; c < columns; c++) {
      store<u32>(
        dst + ((<usize>c * rows + r) << 2),
        load<u32>(src + ((<usize>r * columns + c) << 2)),
      )
    }
  }
}

/** f64 is rare in checkpoints: element by element, in squares of one cache line's width. */
export function transpose64(src: usize, dst: usize, rows: u32, columns: u32): void {
  for (let row: u32 = 0; row < rows; row += SQUARE64) {
    const rowEnd = min(row + SQUARE64, rows)
    for (let column: u32 = 0; column < columns; column += SQUARE64) {
      const columnEnd = min(column + SQUARE64, columns)
      for (let c = column; c < columnEnd; c++) {
        for (let r = row; r < rowEnd; r++) {
          store<u64>(
            dst + ((<usize>c * rows + r) << 3),
            load<u64>(src + ((<usize>r * columns + c) << 3)),
          )
        }
      }
    }
  }
}

/** `srcPitch` and `dstPitch` are bytes from one row to the next. */
function transpose8x8(src: usize, dst: usize, srcPitch: usize, dstPitch: usize): void {
  const a0 = v128.load(src)
  const a1 = v128.load(src + srcPitch)
  const a2 = v128.load(src + 2 * srcPitch)
  const a3 = v128.load(src + 3 * srcPitch)
  const a4 = v128.load(src + 4 * srcPitch)
  const a5 = v128.load(src + 5 * srcPitch)
  const a6 = v128.load(src + 6 * srcPitch)
  const a7 = v128.load(src + 7 * srcPitch)
  const b0 = v128.shuffle<u16>(a0, a1, 0, 8, 1, 9, 2, 10, 3, 11)
  const b1 = v128.shuffle<u16>(a0, a1, 4, 12, 5, 13, 6, 14, 7, 15)
  const b2 = v128.shuffle<u16>(a2, a3, 0, 8, 1, 9, 2, 10, 3, 11)
  const b3 = v128.shuffle<u16>(a2, a3, 4, 12, 5, 13, 6, 14, 7, 15)
  const b4 = v128.shuffle<u16>(a4, a5, 0, 8, 1, 9, 2, 10, 3, 11)
  const b5 = v128.shuffle<u16>(a4, a5, 4, 12, 5, 13, 6, 14, 7, 15)
  const b6 = v128.shuffle<u16>(a6, a7, 0, 8, 1, 9, 2, 10, 3, 11)
  const b7 = v128.shuffle<u16>(a6, a7, 4, 12, 5, 13, 6, 14, 7, 15)
  const c0 = v128.shuffle<u32>(b0, b2, 0, 4, 1, 5)
  const c1 = v128.shuffle<u32>(b0, b2, 2, 6, 3, 7)
  const c2 = v128.shuffle<u32>(b1, b3, 0, 4, 1, 5)
  const c3 = v128.shuffle<u32>(b1, b3, 2, 6, 3, 7)
  const c4 = v128.shuffle<u32>(b4, b6, 0, 4, 1, 5)
  const c5 = v128.shuffle<u32>(b4, b6, 2, 6, 3, 7)
  const c6 = v128.shuffle<u32>(b5, b7, 0, 4, 1, 5)
  const c7 = v128.shuffle<u32>(b5, b7, 2, 6, 3, 7)
  v128.store(dst, v128.shuffle<u64>(c0, c4, 0, 2))
  v128.store(dst + dstPitch, v128.shuffle<u64>(c0, c4, 1, 3))
  v128.store(dst + 2 * dstPitch, v128.shuffle<u64>(c1, c5, 0, 2))
  v128.store(dst + 3 * dstPitch, v128.shuffle<u64>(c1, c5, 1, 3))
  v128.store(dst + 4 * dstPitch, v128.shuffle<u64>(c2, c6, 0, 2))
  v128.store(dst + 5 * dstPitch, v128.shuffle<u64>(c2, c6, 1, 3))
  v128.store(dst + 6 * dstPitch, v128.shuffle<u64>(c3, c7, 0, 2))
  v128.store(dst + 7 * dstPitch, v128.shuffle<u64>(c3, c7, 1, 3))
}

function transpose4x4(src: usize, dst: usize, srcPitch: usize, dstPitch: usize): void {
  const a0 = v128.load(src)
  const a1 = v128.load(src + srcPitch)
  const a2 = v128.load(src + 2 * srcPitch)
  const a3 = v128.load(src + 3 * srcPitch)
  const b0 = v128.shuffle<u32>(a0, a1, 0, 4, 1, 5)
  const b1 = v128.shuffle<u32>(a0, a1, 2, 6, 3, 7)
  const b2 = v128.shuffle<u32>(a2, a3, 0, 4, 1, 5)
  const b3 = v128.shuffle<u32>(a2, a3, 2, 6, 3, 7)
  v128.store(dst, v128.shuffle<u64>(b0, b2, 0, 2))
  v128.store(dst + dstPitch, v128.shuffle<u64>(b0, b2, 1, 3))
  v128.store(dst + 2 * dstPitch, v128.shuffle<u64>(b1, b3, 0, 2))
  v128.store(dst + 3 * dstPitch, v128.shuffle<u64>(b1, b3, 1, 3))
}
