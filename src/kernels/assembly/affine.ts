// The search for scale and minimum of blocks whose levels are 0…top: x ≈ scale · level + minimum.
// Every try takes another inverse scale, rounds to levels, solves the weighted least squares for
// these levels, and keeps scale and minimum if the error got smaller. Eight blocks at once, four in
// the lanes of one vector and four in the next, so that one's additions fill the other's waits.

import { nearestInts, packBytes } from './lanes'

/** Longest block searched. */
const LONGEST = 32

/**
 * One record for element i of the eight blocks: two vectors each of elements, weights, elements
 * above the current minimum, and levels. The caller fills in elements and weights.
 */
export const affineRecords: usize = memory.data(LONGEST * 128, 16)
export const AFFINE_RECORD: usize = 128
export const AFFINE_WEIGHTS: usize = 32
const ABOVE: usize = 64
const LEVELS: usize = 96

/** What is known of the first four blocks and of the other four: a state of vectors each. */
const states: usize = memory.data(2 * 320, 16)
const STATE: usize = 320
const SUM_W: usize = 0
const SUM_X: usize = 16
const HIGH: usize = 32
const LOW: usize = 48
const FLAT: usize = 64
/** From the minimum to the highest element; 1 for a flat block. */
const RANGE: usize = 80
/** The try: inverse scale, its levels' sums, the least-squares scale and minimum, their error. */
const INVERSE: usize = 96
const SUM_L: usize = 112
const SUM_L2: usize = 128
const SUM_XL: usize = 144
const SCALE: usize = 160
const MINIMUM: usize = 176
const SOLVABLE: usize = 192
const ERROR: usize = 208
/** The best try so far, and the base that its levels are above. */
const BEST_ERROR: usize = 224
const BEST_SCALE: usize = 240
const BEST_MINIMUM: usize = 256
const BEST_INVERSE: usize = 272
const BEST_BASE: usize = 288

/**
 * How a scaled element becomes a level. `Quick` rounds in f32, which is the same as ggml's way
 * while nothing leaves ±2^22; `Exact` is ggml's way bit by bit. Told apart by the parameter's type.
 */
type Quick = f32
type Exact = i32

/** Whether an error counts squared or by its magnitude, told apart likewise. */
type Squared = f32
type Absolute = i32

/** Ranges within which `Quick` and `Exact` agree, with much to spare: 2^-100 to 2^100. */
const SMALLEST_RANGE: f32 = 7.888609052210118e-31
const LARGEST_RANGE: f32 = 1.2676506002282294e30
/** How far, in ranges, an element may lie below the base: 2^15. */
const LARGEST_SHIFT: f32 = 32768

/**
 * Searches the eight blocks of `n` elements in `affineRecords`. The tries are
 * (first + step · k + top) / range for k = 0…steps; `absolute` sums |error| instead of squares.
 * At `out` it leaves four tables of eight f32, `pitch` bytes apart: scale, -minimum, and the
 * inverse scale and base that the levels follow from.
 */
export function searchAffine(
  n: usize,
  top: f32,
  first: f32,
  step: f32,
  steps: i32,
  absolute: bool,
  out: usize,
  pitch: usize,
): void {
  if (!search<Quick>(n, top, first, step, steps, absolute)) {
    search<Exact>(n, top, first, step, steps, absolute)
  }
  for (let four: usize = 0; four < 2; four++) {
    const state = states + four * STATE
    const flat = v128.load(state, FLAT)
    const to = out + (four << 4)
    v128.store(to, v128.andnot(v128.load(state, BEST_SCALE), flat))
    v128.store(to + pitch, f32x4.neg(v128.load(state, BEST_MINIMUM)))
    v128.store(to + 2 * pitch, v128.andnot(v128.load(state, BEST_INVERSE), flat))
    v128.store(to + 3 * pitch, v128.load(state, BEST_BASE))
  }
}

/** @returns false where `Quick` rounding could differ from `Exact` */
function search<Rounding>(
  n: usize,
  top: f32,
  first: f32,
  step: f32,
  steps: i32,
  absolute: bool,
): bool {
  const end = affineRecords + n * AFFINE_RECORD
  const other = states + STATE
  start(0, end, top)
  start(1, end, top)
  if (!lift<Rounding>(0, end) || !lift<Rounding>(1, end)) return false
  sumLevels<Rounding>(end, top)
  if (absolute) sumErrors<Absolute>(end)
  else sumErrors<Squared>(end)
  keep(states, i32x4.splat(-1))
  keep(other, i32x4.splat(-1))

  for (let k = 0; k <= steps; k++) {
    const scaled = f32x4.splat(first + step * <f32>k + top)
    v128.store(states, f32x4.div(scaled, v128.load(states, RANGE)), INVERSE)
    v128.store(other, f32x4.div(scaled, v128.load(other, RANGE)), INVERSE)
    sumLevels<Rounding>(end, top)
    solve(states)
    solve(other)
    if (absolute) sumErrors<Absolute>(end)
    else sumErrors<Squared>(end)
    if (improve(states) && !lift<Rounding>(0, end)) return false
    if (improve(other) && !lift<Rounding>(1, end)) return false
  }
  return true
}

/** Sums and extremes; the first try is the plain one, from the lowest to the highest element. */
function start(four: usize, end: usize, top: f32): void {
  const state = states + four * STATE
  const first = affineRecords + (four << 4)
  let low = v128.load(first)
  let high = low
  let sumW = v128.load(first, AFFINE_WEIGHTS)
  let sumX = f32x4.mul(sumW, low)
  for (let at = first + AFFINE_RECORD; at < end; at += AFFINE_RECORD) {
    const x = v128.load(at)
    const w = v128.load(at, AFFINE_WEIGHTS)
    low = f32x4.pmin(low, x)
    high = f32x4.pmax(high, x)
    sumW = f32x4.add(sumW, w)
    sumX = f32x4.add(sumX, f32x4.mul(w, x))
  }
  // The minimum is never above zero: it is stored as a positive number to subtract.
  const minimum = f32x4.pmin(low, f32x4.splat(0))
  // A flat block ends with scale 0; its levels are 0 throughout, so that no try can win.
  const flat = f32x4.eq(high, minimum)
  const range = v128.bitselect(f32x4.splat(1), f32x4.sub(high, minimum), flat)
  const inverse = f32x4.div(f32x4.splat(top), range)
  v128.store(state, sumW, SUM_W)
  v128.store(state, sumX, SUM_X)
  v128.store(state, high, HIGH)
  v128.store(state, low, LOW)
  v128.store(state, flat, FLAT)
  v128.store(state, inverse, INVERSE)
  v128.store(state, f32x4.div(f32x4.splat(1), inverse), SCALE)
  v128.store(state, minimum, MINIMUM)
  v128.store(state, minimum, BEST_MINIMUM)
}

/**
 * Sets the range and the elements above the best minimum, from which tries go on. Quick levels are
 * never negative, so there what lies below the minimum is raised to it.
 * @returns false where `Quick` could give other levels than `Exact`
 */
function lift<Rounding>(four: usize, end: usize): bool {
  const state = states + four * STATE
  const base = v128.load(state, BEST_MINIMUM)
  const flat = v128.load(state, FLAT)
  const range = v128.bitselect(f32x4.splat(1), f32x4.sub(v128.load(state, HIGH), base), flat)
  v128.store(state, range, RANGE)
  if (isFloat<Rounding>()) {
    const shift = f32x4.sub(base, v128.load(state, LOW))
    const inside = v128.and(
      f32x4.ge(range, f32x4.splat(SMALLEST_RANGE)),
      f32x4.le(range, f32x4.splat(LARGEST_RANGE)),
    )
    const near = f32x4.le(shift, f32x4.mul(range, f32x4.splat(LARGEST_SHIFT)))
    if (!v128.all_true<i32>(v128.and(inside, near))) return false
  }
  for (let at = affineRecords + (four << 4); at < end; at += AFFINE_RECORD) {
    const lifted = f32x4.sub(v128.load(at), base)
    v128.store(at, isFloat<Rounding>() ? f32x4.pmax(f32x4.splat(0), lifted) : lifted, ABOVE)
  }
  return true
}

/** Levels 0…top, as f32. */
function levels<Rounding>(scaled: v128, top: v128): v128 {
  if (isFloat<Rounding>()) return f32x4.pmin(f32x4.nearest(scaled), top)
  const whole = i32x4.min_s(nearestInts(scaled), i32x4.trunc_sat_f32x4_s(top))
  return f32x4.convert_i32x4_s(i32x4.max_s(whole, i32x4.splat(0)))
}

/** The levels of a try and their weighted sums, each block's in the order of its elements. */
function sumLevels<Rounding>(end: usize, levelsTop: f32): void {
  const top = f32x4.splat(levelsTop)
  const inverseA = v128.load(states, INVERSE)
  const inverseB = v128.load(states + STATE, INVERSE)
  let sumLA = f32x4.splat(0)
  let sumLB = f32x4.splat(0)
  let sumL2A = f32x4.splat(0)
  let sumL2B = f32x4.splat(0)
  let sumXLA = f32x4.splat(0)
  let sumXLB = f32x4.splat(0)
  for (let at = affineRecords; at < end; at += AFFINE_RECORD) {
    const levelA = levels<Rounding>(f32x4.mul(inverseA, v128.load(at, ABOVE)), top)
    const levelB = levels<Rounding>(f32x4.mul(inverseB, v128.load(at, ABOVE + 16)), top)
    v128.store(at, levelA, LEVELS)
    v128.store(at, levelB, LEVELS + 16)
    const wlA = f32x4.mul(v128.load(at, AFFINE_WEIGHTS), levelA)
    const wlB = f32x4.mul(v128.load(at, AFFINE_WEIGHTS + 16), levelB)
    sumLA = f32x4.add(sumLA, wlA)
    sumLB = f32x4.add(sumLB, wlB)
    sumL2A = f32x4.add(sumL2A, f32x4.mul(wlA, levelA))
    sumL2B = f32x4.add(sumL2B, f32x4.mul(wlB, levelB))
    sumXLA = f32x4.add(sumXLA, f32x4.mul(wlA, v128.load(at)))
    sumXLB = f32x4.add(sumXLB, f32x4.mul(wlB, v128.load(at, 16)))
  }
  v128.store(states, sumLA, SUM_L)
  v128.store(states, sumL2A, SUM_L2)
  v128.store(states, sumXLA, SUM_XL)
  v128.store(states + STATE, sumLB, SUM_L)
  v128.store(states + STATE, sumL2B, SUM_L2)
  v128.store(states + STATE, sumXLB, SUM_XL)
}

/** The scale and minimum that fit a try's levels best, with no minimum above zero. */
function solve(state: usize): void {
  const sumW = v128.load(state, SUM_W)
  const sumX = v128.load(state, SUM_X)
  const sumL = v128.load(state, SUM_L)
  const sumL2 = v128.load(state, SUM_L2)
  const sumXL = v128.load(state, SUM_XL)
  const zero = f32x4.splat(0)
  const d = f32x4.sub(f32x4.mul(sumW, sumL2), f32x4.mul(sumL, sumL))
  const scale = f32x4.div(f32x4.sub(f32x4.mul(sumW, sumXL), f32x4.mul(sumX, sumL)), d)
  const minimum = f32x4.div(f32x4.sub(f32x4.mul(sumL2, sumX), f32x4.mul(sumL, sumXL)), d)
  const positive = f32x4.gt(minimum, zero)
  v128.store(state, v128.bitselect(f32x4.div(sumXL, sumL2), scale, positive), SCALE)
  v128.store(state, v128.andnot(minimum, positive), MINIMUM)
  v128.store(state, f32x4.gt(d, zero), SOLVABLE)
}

/** The weighted errors of a try's scale · level + minimum, each block's in the order of its elements. */
function sumErrors<Cost>(end: usize): void {
  const scaleA = v128.load(states, SCALE)
  const scaleB = v128.load(states + STATE, SCALE)
  const minimumA = v128.load(states, MINIMUM)
  const minimumB = v128.load(states + STATE, MINIMUM)
  let errorA = f32x4.splat(0)
  let errorB = f32x4.splat(0)
  for (let at = affineRecords; at < end; at += AFFINE_RECORD) {
    const valueA = f32x4.add(f32x4.mul(scaleA, v128.load(at, LEVELS)), minimumA)
    const valueB = f32x4.add(f32x4.mul(scaleB, v128.load(at, LEVELS + 16)), minimumB)
    const offA = f32x4.sub(valueA, v128.load(at))
    const offB = f32x4.sub(valueB, v128.load(at, 16))
    const costA = isFloat<Cost>() ? f32x4.mul(offA, offA) : f32x4.abs(offA)
    const costB = isFloat<Cost>() ? f32x4.mul(offB, offB) : f32x4.abs(offB)
    errorA = f32x4.add(errorA, f32x4.mul(v128.load(at, AFFINE_WEIGHTS), costA))
    errorB = f32x4.add(errorB, f32x4.mul(v128.load(at, AFFINE_WEIGHTS + 16), costB))
  }
  v128.store(states, errorA, ERROR)
  v128.store(states + STATE, errorB, ERROR)
}

/** @returns whether a try was better than all before it in one of the four blocks, and now is the best */
function improve(state: usize): bool {
  const smaller = f32x4.lt(v128.load(state, ERROR), v128.load(state, BEST_ERROR))
  const better = v128.and(smaller, v128.load(state, SOLVABLE))
  if (!v128.any_true(better)) return false
  keep(state, better)
  return true
}

/** Makes the try the best in the lanes of `better`. ggml goes on from its minimum. */
function keep(state: usize, better: v128): void {
  // The levels of the try are above the minimum that was the best so far.
  choose(state + BEST_BASE, state + BEST_MINIMUM, better)
  choose(state + BEST_MINIMUM, state + MINIMUM, better)
  choose(state + BEST_SCALE, state + SCALE, better)
  choose(state + BEST_INVERSE, state + INVERSE, better)
  choose(state + BEST_ERROR, state + ERROR, better)
}

function choose(to: usize, from: usize, lanes: v128): void {
  v128.store(to, v128.bitselect(v128.load(from), v128.load(to), lanes))
}

/** The levels that the search gave the 16 elements at `src`, as bytes, from what it left. */
export function affineLevels(src: usize, inverse: f32, base: f32, top: i32): v128 {
  return packBytes(
    levelsOf(src, inverse, base, top),
    levelsOf(src + 16, inverse, base, top),
    levelsOf(src + 32, inverse, base, top),
    levelsOf(src + 48, inverse, base, top),
  )
}

function levelsOf(src: usize, inverse: f32, base: f32, top: i32): v128 {
  const lifted = f32x4.sub(v128.load(src), f32x4.splat(base))
  const whole = nearestInts(f32x4.mul(f32x4.splat(inverse), lifted))
  return i32x4.max_s(i32x4.splat(0), i32x4.min_s(i32x4.splat(top), whole))
}
