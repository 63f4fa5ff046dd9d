// The searches for the scale of blocks whose levels are -top…top-1: x ≈ scale · level. The element
// of largest magnitude stands for level -top. Four blocks at once, a block a lane.

import { nearestInts, packBytes } from './lanes'

/** Longest block searched. */
const LONGEST = 32

/** Elements, weights and weighted elements: `n` vectors each, a block a lane. */
export const symmetricX: usize = memory.data(LONGEST * 16, 16)
export const symmetricW: usize = memory.data(LONGEST * 16, 16)
const weighted: usize = memory.data(LONGEST * 16, 16)

/** Blocks with nothing larger are stored as zeros. */
const ALL_ZERO: f32 = 1e-15
const LARGEST: f32 = 3.4028234663852886e38

/** `Quick` rounds in f32: the same as ggml's way (`Exact`) while nothing leaves ±2^22. */
type Quick = f32
type Exact = i32

/** Levels -top…top-1, as f32. */
function levels<Rounding>(scaled: v128, bottom: v128, top: v128): v128 {
  if (isFloat<Rounding>()) return f32x4.pmax(bottom, f32x4.pmin(top, f32x4.nearest(scaled)))
  const highest = i32x4.trunc_sat_f32x4_s(top)
  const lowest = i32x4.trunc_sat_f32x4_s(bottom)
  const whole = i32x4.max_s(lowest, i32x4.min_s(highest, nearestInts(scaled)))
  return f32x4.convert_i32x4_s(whole)
}

/** The magnitude of the block's largest element, and at `signed` that element with its sign. */
function largest(end: usize, signed: usize): v128 {
  let magnitude = f32x4.splat(0)
  let value = f32x4.splat(0)
  for (let i: usize = 0; i < end; i += 16) {
    const x = v128.load(symmetricX + i)
    const absolute = f32x4.abs(x)
    const larger = f32x4.gt(absolute, magnitude)
    magnitude = v128.bitselect(absolute, magnitude, larger)
    value = v128.bitselect(x, value, larger)
  }
  v128.store(signed, value)
  return magnitude
}

const signedLargest: usize = memory.data(16, 16)

/**
 * Tries 19 inverse scales, (top + 0.1 · k) / largest for k = -9…9, on the four blocks of `n`
 * elements in `symmetricX`, weighted by `symmetricW`, and keeps the one with the least squared
 * error. At `scale` it leaves the four scales, at `inverse` what the levels follow from.
 */
export function searchSymmetric(n: usize, top: f32, scale: usize, inverse: usize): void {
  const end = n << 4
  const magnitude = largest(end, signedLargest)
  for (let i: usize = 0; i < end; i += 16) {
    v128.store(weighted + i, f32x4.mul(v128.load(symmetricW + i), v128.load(symmetricX + i)))
  }
  if (v128.all_true<i32>(f32x4.le(magnitude, f32x4.splat(LARGEST)))) {
    search<Quick>(end, top, magnitude, scale, inverse)
  } else {
    search<Exact>(end, top, magnitude, scale, inverse)
  }
}

function search<Rounding>(
  end: usize,
  levelsTop: f32,
  magnitude: v128,
  scaleOut: usize,
  inverseOut: usize,
): void {
  const bottom = f32x4.splat(-levelsTop)
  const top = f32x4.splat(levelsTop - 1)
  const empty = f32x4.lt(magnitude, f32x4.splat(ALL_ZERO))
  const signed = v128.bitselect(f32x4.splat(1), v128.load(signedLargest), empty)

  let bestInverse = f32x4.div(bottom, signed)
  let scale = f32x4.splat(0)
  let best = f32x4.splat(0)
  for (let k = 0; k < 19; k++) {
    // The plain inverse scale comes first, then those around it.
    const offset = k === 0 ? 0 : k <= 9 ? k - 10 : k - 9
    const inverse =
      k === 0 ? bestInverse : f32x4.div(f32x4.splat(-(levelsTop + <f32>0.1 * <f32>offset)), signed)
    let sumLX = f32x4.splat(0)
    let sumL2 = f32x4.splat(0)
    for (let i: usize = 0; i < end; i += 16) {
      const level = levels<Rounding>(f32x4.mul(inverse, v128.load(symmetricX + i)), bottom, top)
      const wl = f32x4.mul(v128.load(symmetricW + i), level)
      sumLX = f32x4.add(sumLX, f32x4.mul(v128.load(weighted + i), level))
      sumL2 = f32x4.add(sumL2, f32x4.mul(wl, level))
    }
    if (k === 0) {
      const nonZero = f32x4.ne(sumL2, f32x4.splat(0))
      scale = v128.and(f32x4.div(sumLX, sumL2), nonZero)
      best = f32x4.mul(scale, sumLX)
      continue
    }
    const better = v128.and(
      f32x4.gt(sumL2, f32x4.splat(0)),
      f32x4.gt(f32x4.mul(sumLX, sumLX), f32x4.mul(best, sumL2)),
    )
    if (!v128.any_true(better)) continue
    scale = v128.bitselect(f32x4.div(sumLX, sumL2), scale, better)
    best = v128.bitselect(f32x4.mul(scale, sumLX), best, better)
    bestInverse = v128.bitselect(inverse, bestInverse, better)
  }
  v128.store(scaleOut, v128.andnot(scale, empty))
  v128.store(inverseOut, v128.andnot(bestInverse, empty))
}

/**
 * The levels 0…2·top-1 that the search gave the 16 elements at `src`, as bytes, from the inverse
 * scale that it left. An empty block, whose inverse scale is 0, has level 0 and not the middle one.
 */
export function symmetricLevels(src: usize, inverse: f32, top: i32): v128 {
  if (inverse === 0) return i32x4.splat(0)
  return packBytes(
    levelsOf(src, inverse, top),
    levelsOf(src + 16, inverse, top),
    levelsOf(src + 32, inverse, top),
    levelsOf(src + 48, inverse, top),
  )
}

function levelsOf(src: usize, inverse: f32, top: i32): v128 {
  const whole = nearestInts(f32x4.mul(f32x4.splat(inverse), v128.load(src)))
  const inside = i32x4.max_s(i32x4.splat(-top), i32x4.min_s(i32x4.splat(top - 1), whole))
  return i32x4.add(inside, i32x4.splat(top))
}
