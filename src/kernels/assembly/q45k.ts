// What Q4_K and Q5_K share: a super-block of 256 elements is 8 blocks of 32, x ≈ d·sc·level - dmin·m,
// with d and dmin in f16 and sc and m in 6 bits. Header: d f16, dmin f16, 12 bytes of sc and m.
import { AFFINE_RECORD, AFFINE_WEIGHTS, affineLevels, affineRecords, searchAffine } from './affine'
import {
  gather,
  halfBits,
  loadHalf,
  nearestInt,
  nearestInts,
  packBytes,
  sumOfSquares,
  weighAll,
} from './lanes'
import { fitPositive } from './positive'

export const SUPER: usize = 256
export const HEADER: usize = 16
const BLOCK: usize = 32
const BLOCK_BYTES: usize = BLOCK << 2
const BLOCKS: usize = 8
const PACKED: usize = 4
const TOP_SCALE = 63

/** The levels of 256 elements, a byte each. */
export const superLevels: usize = memory.data(256, 16)

/** What the search leaves for each block: four tables of eight f32. */
const PITCH: usize = BLOCKS << 2
const scales: usize = memory.data(128, 16)
const minimums: usize = scales + PITCH
const inverses: usize = scales + 2 * PITCH
const bases: usize = scales + 3 * PITCH
const blockWeights: usize = memory.data(32, 16)
const scaleLevels: usize = memory.data(8)
const minimumLevels: usize = memory.data(8)

/**
 * The header of the super-block at `src` to `dst`, its levels 0…top to `superLevels`. Without
 * importance (`weights` 0) the search starts at `first` and takes `steps` steps of 0.1.
 */
export function quantizeSuperBlock(
  src: usize,
  dst: usize,
  weights: usize,
  top: i32,
  first: f32,
  steps: i32,
): void {
  gatherBlocks(src, affineRecords)
  if (weights === 0) {
    weighByMagnitude()
    searchAffine(BLOCK, <f32>top, first, 0.1, steps, false, scales, PITCH)
    storeLargestScales(dst)
  } else {
    gatherBlocks(weights, affineRecords + AFFINE_WEIGHTS)
    weighByImportance(f32x4.splat((2 * sumOfSquares(src, SUPER)) / <f32>SUPER))
    searchAffine(BLOCK, <f32>top, -0.9, 0.05, 36, false, scales, PITCH)
    storeFittedScales(dst)
  }
  levelsOf(src, dst, top)
}

function gatherBlocks(src: usize, dst: usize): void {
  for (let four: usize = 0; four < 2; four++) {
    const a = src + four * 4 * BLOCK_BYTES
    const c = a + 2 * BLOCK_BYTES
    const to = dst + (four << 4)
    gather(a, a + BLOCK_BYTES, c, c + BLOCK_BYTES, to, BLOCK, AFFINE_RECORD)
  }
}

/** An element weighs its magnitude plus the root mean square of its block. */
function weighByMagnitude(): void {
  for (let four: usize = 0; four < 2; four++) {
    const from = affineRecords + (four << 4)
    const end = from + BLOCK * AFFINE_RECORD
    let sum = f32x4.splat(0)
    for (let at = from; at < end; at += AFFINE_RECORD) {
      const x = v128.load(at)
      sum = f32x4.add(sum, f32x4.mul(x, x))
    }
    const mean = f32x4.sqrt(f32x4.div(sum, f32x4.splat(<f32>BLOCK)))
    for (let at = from; at < end; at += AFFINE_RECORD) {
      v128.store(at, f32x4.add(mean, f32x4.abs(v128.load(at))), AFFINE_WEIGHTS)
    }
  }
}

/** Turns columns' importance into elements' weights, and leaves the blocks' totals. */
function weighByImportance(square: v128): void {
  for (let four: usize = 0; four < 2; four++) {
    const from = affineRecords + (four << 4)
    const sum = weighAll(from, from + AFFINE_WEIGHTS, BLOCK, AFFINE_RECORD, square)
    v128.store(blockWeights + (four << 4), sum)
  }
}

/** d and dmin so that the largest scale and minimum are 63 of them. */
function storeLargestScales(dst: usize): void {
  let scale: f32 = 0
  let minimum: f32 = 0
  for (let block: usize = 0; block < BLOCKS; block++) {
    const blockScale = load<f32>(scales + (block << 2))
    const blockMinimum = load<f32>(minimums + (block << 2))
    if (blockScale > scale) scale = blockScale
    if (blockMinimum > minimum) minimum = blockMinimum
  }
  const inverseScale: f32 = scale > 0 ? <f32>TOP_SCALE / scale : 0
  const inverseMinimum: f32 = minimum > 0 ? <f32>TOP_SCALE / minimum : 0
  for (let block: usize = 0; block < BLOCKS; block++) {
    // Cut to a byte before the limit: a negative number becomes 63.
    const sc = <u8>nearestInt(inverseScale * load<f32>(scales + (block << 2)))
    const m = <u8>nearestInt(inverseMinimum * load<f32>(minimums + (block << 2)))
    store<u8>(scaleLevels + block, min(<u8>TOP_SCALE, sc))
    store<u8>(minimumLevels + block, min(<u8>TOP_SCALE, m))
  }
  packScales(dst)
  store<u16>(dst, halfBits(scale / <f32>TOP_SCALE))
  store<u16>(dst, halfBits(minimum / <f32>TOP_SCALE), 2)
}

/** d and dmin by least squares over the blocks. */
function storeFittedScales(dst: usize): void {
  const scale = fitPositive(scales, blockWeights, BLOCKS, TOP_SCALE, scaleLevels)
  const minimum = fitPositive(minimums, blockWeights, BLOCKS, TOP_SCALE, minimumLevels)
  packScales(dst)
  store<u16>(dst, halfBits(scale))
  store<u16>(dst, halfBits(minimum), 2)
}

/**
 * Bytes 0…3 hold sc of blocks 0…3, bytes 4…7 their m, bytes 8…11 the low 4 bits of sc and m of
 * blocks 4…7, whose high 2 bits are on top of bytes 0…3 (sc) and 4…7 (m).
 */
function packScales(dst: usize): void {
  for (let block: usize = 0; block < 4; block++) {
    const sc = load<u8>(scaleLevels + block, 4)
    const m = load<u8>(minimumLevels + block, 4)
    const at = dst + block
    store<u8>(at, load<u8>(scaleLevels + block) | ((sc >> 4) << 6), PACKED)
    store<u8>(at, load<u8>(minimumLevels + block) | ((m >> 4) << 6), PACKED + 4)
    store<u8>(at, (sc & 15) | ((m & 15) << 4), PACKED + 8)
  }
}

/** sc of a block of the super-block at `src`. */
function blockScale(src: usize, block: usize): u32 {
  const at = src + PACKED + block
  if (block < 4) return load<u8>(at) & 63
  return (load<u8>(at, 4) & 15) | ((load<u8>(at - 4) >> 6) << 4)
}

/** m of a block of the super-block at `src`. */
function blockMinimum(src: usize, block: usize): u32 {
  const at = src + PACKED + block
  if (block < 4) return load<u8>(at, 4) & 63
  return (load<u8>(at, 4) >> 4) | ((load<u8>(at) >> 6) << 4)
}

/** Levels by the scales as stored. Where a block's scale became 0 those of the search remain. */
function levelsOf(src: usize, header: usize, top: i32): void {
  const d = loadHalf(header)
  const dmin = loadHalf(header + 2)
  for (let block: usize = 0; block < BLOCKS; block++) {
    const scale = d * <f32>blockScale(header, block)
    const minimum = dmin * <f32>blockMinimum(header, block)
    for (let half: usize = 0; half < BLOCK; half += 16) {
      const from = src + ((block * BLOCK + half) << 2)
      const to = superLevels + block * BLOCK + half
      if (scale === 0) {
        const inverse = load<f32>(inverses + (block << 2))
        const base = load<f32>(bases + (block << 2))
        v128.store(to, affineLevels(from, inverse, base, top))
      } else {
        v128.store(to, affineLevelsOf(from, scale, minimum, top))
      }
    }
  }
}

/** The levels of 16 elements, (x + minimum) / scale, as bytes. */
export function affineLevelsOf(src: usize, scale: f32, minimum: f32, top: i32): v128 {
  return packBytes(
    quotients(src, scale, minimum, top),
    quotients(src + 16, scale, minimum, top),
    quotients(src + 32, scale, minimum, top),
    quotients(src + 48, scale, minimum, top),
  )
}

function quotients(src: usize, scale: f32, minimum: f32, top: i32): v128 {
  const lifted = f32x4.add(v128.load(src), f32x4.splat(minimum))
  const whole = nearestInts(f32x4.div(lifted, f32x4.splat(scale)))
  return i32x4.max_s(i32x4.splat(0), i32x4.min_s(i32x4.splat(top), whole))
}

/** Writes the 32 values of each block, d·sc·level - dmin·m, from `superLevels`. */
export function storeSuperBlock(header: usize, dst: usize): void {
  const d = loadHalf(header)
  const dmin = loadHalf(header + 2)
  for (let block: usize = 0; block < BLOCKS; block++) {
    const scale = f32x4.splat(d * <f32>blockScale(header, block))
    const minimum = f32x4.splat(dmin * <f32>blockMinimum(header, block))
    for (let i = block * BLOCK; i < (block + 1) * BLOCK; i += 4) {
      const wide = i16x8.extend_low_i8x16_u(v128.load32_zero(superLevels + i))
      const level = f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(wide))
      v128.store(dst + (i << 2), f32x4.sub(f32x4.mul(scale, level), minimum))
    }
  }
}
