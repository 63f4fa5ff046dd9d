// The searches for the scale of blocks whose levels are -top…top-1: x ≈ scale · level. The element
// of largest magnitude stands for level -top. Four blocks at once, a block a lane.

import { nearestInts, packBytes } from './lanes'

/** Longest block searched. */
const LONGEST = 32

/**
 * One record for element i of the four blocks: the elements, their weights, and the product. The
 * caller fills in elements and weights.
 */
export const symmetricRecords: usize = memory.data(LONGEST * 48, 16)
export const SYMMETRIC_RECORD: usize = 48
export const SYMMETRIC_WEIGHTS: usize = 16
const WEIGHTED: usize = 32

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

/**
 * Tries 19 inverse scales, (top + 0.1 · k) / largest for k = -9…9, on the four blocks of `n`
 * elements in `symmetricRecords`, and keeps the one with the least squared error. At `scale` it
 * leaves the four scales, at `inverse` the inverse scales that the levels follow from.
 */
export function searchSymmetric(n: usize, top: f32, scale: usize, inverse: usize): void {
  const end = symmetricRecords + n * SYMMETRIC_RECORD
  let magnitude = f32x4.splat(0)
  let signed = f32x4.splat(0)
  for (let at = symmetricRecords; at < end; at += SYMMETRIC_RECORD) {
    const x = v128.load(at)
    const absolute = f32x4.abs(x)
    const larger = f32x4.gt(absolute, magnitude)
    magnitude = v128.bitselect(absolute, magnitude, larger)
    signed = v128.bitselect(x, signed, larger)
    v128.store(at, f32x4.mul(v128.load(at, SYMMETRIC_WEIGHTS), x), WEIGHTED)
  }
  const empty = f32x4.lt(magnitude, f32x4.splat(ALL_ZERO))
  largest = v128.bitselect(f32x4.splat(1), signed, empty)
  if (v128.all_true<i32>(f32x4.le(magnitude, f32x4.splat(LARGEST)))) search<Quick>(end, top)
  else search<Exact>(end, top)
  v128.store(scale, v128.andnot(bestScale, empty))
  v128.store(inverse, v128.bitselect(f32x4.splat(Infinity), bestInverse, empty))
}

/** The four blocks' elements of largest magnitude, and the best tries so far. */
let largest: v128 = i32x4.splat(0)
let bestInverse: v128 = i32x4.splat(0)
let bestScale: v128 = i32x4.splat(0)
/** Σ w·x·level times the scale: the larger, the smaller the error. */
let bestFit: v128 = i32x4.splat(0)

function search<Rounding>(end: usize, top: f32): void {
  // The plain inverse scale comes first, then those around it, two at a time.
  const plain = f32x4.div(f32x4.splat(-top), largest)
  tryTwo<Rounding>(end, top, plain, plain, true)
  for (let k = -9; k < 0; k += 2) {
    // -9 and -8, … -3 and -2; then -1 and 1.
    tryTwo<Rounding>(end, top, inverseAt(top, k), inverseAt(top, k === -1 ? 1 : k + 1), false)
  }
  for (let k = 2; k < 9; k += 2) {
    tryTwo<Rounding>(end, top, inverseAt(top, k), inverseAt(top, k + 1), false)
  }
}

function inverseAt(top: f32, k: i32): v128 {
  return f32x4.div(f32x4.splat(-(top + <f32>0.1 * <f32>k)), largest)
}

/** Tries two inverse scales, as if one after the other; the `first` try of all wins unasked. */
function tryTwo<Rounding>(end: usize, levelsTop: f32, a: v128, b: v128, first: bool): void {
  const bottom = f32x4.splat(-levelsTop)
  const top = f32x4.splat(levelsTop - 1)
  let sumXLA = f32x4.splat(0)
  let sumXLB = f32x4.splat(0)
  let sumL2A = f32x4.splat(0)
  let sumL2B = f32x4.splat(0)
  for (let at = symmetricRecords; at < end; at += SYMMETRIC_RECORD) {
    const x = v128.load(at)
    const w = v128.load(at, SYMMETRIC_WEIGHTS)
    const wx = v128.load(at, WEIGHTED)
    const levelA = levels<Rounding>(f32x4.mul(a, x), bottom, top)
    const levelB = levels<Rounding>(f32x4.mul(b, x), bottom, top)
    sumXLA = f32x4.add(sumXLA, f32x4.mul(wx, levelA))
    sumXLB = f32x4.add(sumXLB, f32x4.mul(wx, levelB))
    sumL2A = f32x4.add(sumL2A, f32x4.mul(f32x4.mul(w, levelA), levelA))
    sumL2B = f32x4.add(sumL2B, f32x4.mul(f32x4.mul(w, levelB), levelB))
  }
  if (first) {
    const nonZero = f32x4.ne(sumL2A, f32x4.splat(0))
    bestScale = v128.and(f32x4.div(sumXLA, sumL2A), nonZero)
    bestFit = f32x4.mul(bestScale, sumXLA)
    bestInverse = a
    return
  }
  judge(a, sumXLA, sumL2A)
  judge(b, sumXLB, sumL2B)
}

/** Keeps a try in the lanes where it fits better than the best so far. */
function judge(inverse: v128, sumXL: v128, sumL2: v128): void {
  const closer = f32x4.gt(f32x4.mul(sumXL, sumXL), f32x4.mul(bestFit, sumL2))
  const better = v128.and(f32x4.gt(sumL2, f32x4.splat(0)), closer)
  if (!v128.any_true(better)) return
  const scale = f32x4.div(sumXL, sumL2)
  bestScale = v128.bitselect(scale, bestScale, better)
  bestFit = v128.bitselect(f32x4.mul(scale, sumXL), bestFit, better)
  bestInverse = v128.bitselect(inverse, bestInverse, better)
}

/**
 * The levels 0…2·top-1 that the search gave the 16 elements at `src`, as bytes, from the inverse
 * scale that it left. An empty block, marked by infinity, has level 0 and not the middle one.
 */
export function symmetricLevels(src: usize, inverse: f32, top: i32): v128 {
  if (inverse === Infinity) return i32x4.splat(0)
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
