// The blocks of ONNX's MatMulNBits and GatherBlockQuantized: 32 levels without sign, whose zero is
// the middle one, and their scale, in tensors of their own. Bytes are those of ONNX Runtime's own
// quantizer (matmul_nbits_quantizer, symmetric): scale = extreme / -8 or / -128, so that the element
// of largest magnitude has level 0, and level = round(x · (1 / scale) + middle), halves away from
// zero, in f32. The opposite of the extreme would be one level too high and gets the highest.
import { halfBits, highestOf, integers, loadHalf, lowestOf, packBytes } from './lanes'

const BLOCK: usize = 32
const BLOCK_BYTES: usize = BLOCK << 2

/** The f32 below 0.5: with it, adding and cutting off rounds halves up, and only them. */
const JUST_UNDER_HALF: f32 = 0.49999997

/** f32 [rows, columns] at `src` to levels of 4 bits at `dst`, the first of two in the low bits. */
export function quantizeQ4(src: usize, dst: usize, rows: u32, columns: u32, _weights: usize): void {
  const end = src + ((<usize>rows * columns) << 2)
  for (; src < end; src += BLOCK_BYTES, dst += BLOCK >> 1) {
    const inverse = inverseOf(scaleOf(src, -8))
    const low = levels(src, inverse, 8, 15)
    const high = levels(src + 64, inverse, 8, 15)
    // As words: an even byte, and the odd one after it moved down beside its four bits.
    const mask = i16x8.splat(0xff)
    const first = v128.and(v128.or(low, i16x8.shr_u(low, 4)), mask)
    const second = v128.and(v128.or(high, i16x8.shr_u(high, 4)), mask)
    v128.store(dst, i8x16.narrow_i16x8_u(first, second))
  }
}

/** f32 [rows, columns] at `src` to levels of 8 bits at `dst`. */
export function quantizeQ8(src: usize, dst: usize, rows: u32, columns: u32, _weights: usize): void {
  const end = src + ((<usize>rows * columns) << 2)
  for (; src < end; src += BLOCK_BYTES, dst += BLOCK) {
    const inverse = inverseOf(scaleOf(src, -128))
    v128.store(dst, levels(src, inverse, 128, 255))
    v128.store(dst, levels(src + 64, inverse, 128, 255), 16)
  }
}

/** The scales of `quantizeQ4`, f32. */
export function scalesQ4(src: usize, dst: usize, rows: u32, columns: u32, _weights: usize): void {
  storeScales(src, dst, rows, columns, -8)
}

/** The scales of `quantizeQ4`, rounded to f16. */
export function scalesQ4F16(
  src: usize,
  dst: usize,
  rows: u32,
  columns: u32,
  _weights: usize,
): void {
  const end = src + ((<usize>rows * columns) << 2)
  for (; src < end; src += BLOCK_BYTES, dst += 2) store<u16>(dst, halfBits(scaleOf(src, -8)))
}

/** The scales of `quantizeQ8`, f32. */
export function scalesQ8(src: usize, dst: usize, rows: u32, columns: u32, _weights: usize): void {
  storeScales(src, dst, rows, columns, -128)
}

/** Levels of 4 bits at `src` and f32 scales at `scales` to f32 at `dst`: (level - 8) · scale. */
export function decodeQ4(src: usize, scales: usize, dst: usize, n: u32): void {
  const end = src + (n >> 1)
  for (; src < end; src += BLOCK >> 1, scales += 4, dst += BLOCK_BYTES) {
    decodeNibbles(src, dst, load<f32>(scales))
  }
}

/** The same with scales of f16. */
export function decodeQ4F16(src: usize, scales: usize, dst: usize, n: u32): void {
  const end = src + (n >> 1)
  for (; src < end; src += BLOCK >> 1, scales += 2, dst += BLOCK_BYTES) {
    decodeNibbles(src, dst, loadHalf(scales))
  }
}

/** Levels of 8 bits at `src` and f32 scales at `scales` to f32 at `dst`: (level - 128) · scale. */
export function decodeQ8(src: usize, scales: usize, dst: usize, n: u32): void {
  const end = src + n
  for (; src < end; src += BLOCK, scales += 4, dst += BLOCK_BYTES) {
    const scale = load<f32>(scales)
    for (let i: usize = 0; i < BLOCK; i++) {
      store<f32>(dst + (i << 2), (<f32>load<u8>(src + i) - 128) * scale)
    }
  }
}

/** The first of two elements is in the low bits. */
function decodeNibbles(src: usize, dst: usize, scale: f32): void {
  for (let i: usize = 0; i < BLOCK >> 1; i++) {
    const two = load<u8>(src + i)
    store<f32>(dst + (i << 3), (<f32>(two & 15) - 8) * scale)
    store<f32>(dst + (i << 3), (<f32>(two >> 4) - 8) * scale, 4)
  }
}

function storeScales(src: usize, dst: usize, rows: u32, columns: u32, divisor: f32): void {
  const end = src + ((<usize>rows * columns) << 2)
  for (; src < end; src += BLOCK_BYTES, dst += 4) store<f32>(dst, scaleOf(src, divisor))
}

/** The block's extreme by the number of levels on its side; of x and -x the negative one counts. */
function scaleOf(src: usize, divisor: f32): f32 {
  let least = v128.load(src)
  let most = least
  for (let i: usize = 16; i < BLOCK_BYTES; i += 16) {
    const x = v128.load(src + i)
    least = f32x4.pmin(least, x)
    most = f32x4.pmax(most, x)
  }
  const low = lowestOf(least)
  const high = highestOf(most)
  const extreme = abs(high) > abs(low) ? high : low
  // Of zeros the runtime takes the first, whose sign ends up in the file.
  return (extreme === 0 ? load<f32>(src) : extreme) / divisor
}

function inverseOf(scale: f32): f32 {
  return scale !== 0 ? 1 / scale : 0
}

/** Sixteen elements to levels, a byte each. */
function levels(src: usize, inverse: f32, middle: f32, top: i32): v128 {
  return packBytes(
    level(src, inverse, middle, top),
    level(src + 16, inverse, middle, top),
    level(src + 32, inverse, middle, top),
    level(src + 48, inverse, middle, top),
  )
}

/** Bounds come before the rounding: the inverse of a subnormal scale is infinite. */
function level(src: usize, inverse: f32, middle: f32, top: i32): v128 {
  const scaled = f32x4.mul(v128.load(src), f32x4.splat(inverse))
  const lifted = f32x4.add(scaled, f32x4.splat(middle))
  const bounded = f32x4.pmin(f32x4.splat(<f32>top), f32x4.pmax(f32x4.splat(0), lifted))
  return integers(f32x4.trunc(f32x4.add(bounded, f32x4.splat(JUST_UNDER_HALF))))
}
