// The search for scale and minimum of blocks whose levels are 0…top: x ≈ scale · level + minimum.
// Every step tries another inverse scale, rounds to levels, solves the weighted least squares for
// these levels, and keeps scale and minimum if the error got smaller. Four blocks at once.

import { nearestInts, packBytes } from './lanes'

/** Longest block searched. */
const LONGEST = 32

/** Elements, weights, and elements above the current minimum: `n` vectors each, a block a lane. */
export const affineX: usize = memory.data(LONGEST * 16, 16)
export const affineW: usize = memory.data(LONGEST * 16, 16)
const above: usize = memory.data(LONGEST * 16, 16)

/**
 * How a scaled element becomes a level. `Quick` rounds in f32, which is the same as ggml's way
 * while nothing leaves ±2^22; `Exact` is ggml's way bit by bit. Told apart by the parameter's type.
 */
type Quick = f32
type Exact = i32

/** Ranges within which `Quick` and `Exact` agree, with much to spare. */
const SMALLEST_RANGE: f32 = 7.888609052210118e-31 // 2^-100
const LARGEST_RANGE: f32 = 1.2676506002282294e30 // 2^100
const LARGEST_SHIFT: f32 = 32768

/**
 * Searches the four blocks of `n` elements in `affineX`, weighted by `affineW`. The tries are
 * (first + step · k + top) / range for k = 0…steps; `absolute` sums |error| instead of squares.
 * At `out` it leaves four vectors of f32: scale, -minimum, and what the levels follow from: inverse scale and
 * the minimum that was subtracted. `pitch` is the distance between them in bytes.
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
  if (!search<Quick>(n, top, first, step, steps, absolute, out, pitch)) {
    search<Exact>(n, top, first, step, steps, absolute, out, pitch)
  }
}

/** Levels 0…top, as f32. */
function levels<Rounding>(scaled: v128, top: v128): v128 {
  if (isFloat<Rounding>()) return f32x4.pmin(f32x4.nearest(scaled), top)
  const whole = i32x4.min_s(nearestInts(scaled), i32x4.trunc_sat_f32x4_s(top))
  return f32x4.convert_i32x4_s(i32x4.max_s(whole, i32x4.splat(0)))
}

/**
 * Writes x - base to `above`. Quick levels are never negative, so there what lies below the base
 * is raised to it.
 */
function lift<Rounding>(base: v128, end: usize): void {
  for (let i: usize = 0; i < end; i += 16) {
    const lifted = f32x4.sub(v128.load(affineX + i), base)
    v128.store(above + i, isFloat<Rounding>() ? f32x4.pmax(f32x4.splat(0), lifted) : lifted)
  }
}

/** Whether `Quick` gives `Exact`'s levels for all elements from `low` up. */
function isQuick(range: v128, base: v128, low: v128): bool {
  const shift = f32x4.sub(base, low)
  return v128.all_true<i32>(
    v128.and(
      v128.and(
        f32x4.ge(range, f32x4.splat(SMALLEST_RANGE)),
        f32x4.le(range, f32x4.splat(LARGEST_RANGE)),
      ),
      f32x4.le(shift, f32x4.mul(range, f32x4.splat(LARGEST_SHIFT))),
    ),
  )
}

/** The weighted error of scale · level + minimum, each lane's sum in the order of its elements. */
function totalError<Rounding>(
  end: usize,
  inverse: v128,
  top: v128,
  scale: v128,
  minimum: v128,
  absolute: bool,
): v128 {
  let error = f32x4.splat(0)
  if (absolute) {
    for (let i: usize = 0; i < end; i += 16) {
      const level = levels<Rounding>(f32x4.mul(inverse, v128.load(above + i)), top)
      const off = f32x4.sub(f32x4.add(f32x4.mul(scale, level), minimum), v128.load(affineX + i))
      error = f32x4.add(error, f32x4.mul(v128.load(affineW + i), f32x4.abs(off)))
    }
  } else {
    for (let i: usize = 0; i < end; i += 16) {
      const level = levels<Rounding>(f32x4.mul(inverse, v128.load(above + i)), top)
      const off = f32x4.sub(f32x4.add(f32x4.mul(scale, level), minimum), v128.load(affineX + i))
      error = f32x4.add(error, f32x4.mul(v128.load(affineW + i), f32x4.mul(off, off)))
    }
  }
  return error
}

/** @returns false, with nothing written, where `Quick` rounding could differ from `Exact` */
function search<Rounding>(
  n: usize,
  levelsTop: f32,
  first: f32,
  step: f32,
  steps: i32,
  absolute: bool,
  out: usize,
  pitch: usize,
): bool {
  const end = n << 4
  const top = f32x4.splat(levelsTop)
  const zero = f32x4.splat(0)
  const one = f32x4.splat(1)

  let low = v128.load(affineX)
  let high = low
  let sumW = v128.load(affineW)
  let sumX = f32x4.mul(sumW, low)
  for (let i: usize = 16; i < end; i += 16) {
    const x = v128.load(affineX + i)
    const w = v128.load(affineW + i)
    low = f32x4.pmin(low, x)
    high = f32x4.pmax(high, x)
    sumW = f32x4.add(sumW, w)
    sumX = f32x4.add(sumX, f32x4.mul(w, x))
  }
  // The minimum is never above zero: it is stored as a positive number to subtract.
  let minimum = f32x4.pmin(low, zero)
  // A flat block keeps scale 0; in the sums it stands as a block of levels 0, which never win.
  const flat = f32x4.eq(high, minimum)
  let range = v128.bitselect(one, f32x4.sub(high, minimum), flat)
  if (isFloat<Rounding>()) {
    if (!isQuick(range, minimum, low)) return false
  }

  let base = minimum
  let bestInverse = f32x4.div(top, range)
  let scale = f32x4.div(one, bestInverse)
  lift<Rounding>(base, end)
  let bestError = totalError<Rounding>(end, bestInverse, top, scale, minimum, absolute)
  let bestBase = base

  for (let k = 0; k <= steps; k++) {
    const inverse = f32x4.div(f32x4.splat(first + step * <f32>k + levelsTop), range)
    let sumL = zero
    let sumL2 = zero
    let sumXL = zero
    for (let i: usize = 0; i < end; i += 16) {
      const level = levels<Rounding>(f32x4.mul(inverse, v128.load(above + i)), top)
      const wl = f32x4.mul(v128.load(affineW + i), level)
      sumL = f32x4.add(sumL, wl)
      sumL2 = f32x4.add(sumL2, f32x4.mul(wl, level))
      sumXL = f32x4.add(sumXL, f32x4.mul(wl, v128.load(affineX + i)))
    }
    const d = f32x4.sub(f32x4.mul(sumW, sumL2), f32x4.mul(sumL, sumL))
    const solvable = v128.andnot(f32x4.gt(d, zero), flat)
    if (!v128.any_true(solvable)) continue
    let tryScale = f32x4.div(f32x4.sub(f32x4.mul(sumW, sumXL), f32x4.mul(sumX, sumL)), d)
    let tryMinimum = f32x4.div(f32x4.sub(f32x4.mul(sumL2, sumX), f32x4.mul(sumL, sumXL)), d)
    const positive = f32x4.gt(tryMinimum, zero)
    tryMinimum = v128.andnot(tryMinimum, positive)
    tryScale = v128.bitselect(f32x4.div(sumXL, sumL2), tryScale, positive)

    const error = totalError<Rounding>(end, inverse, top, tryScale, tryMinimum, absolute)
    const better = v128.and(solvable, f32x4.lt(error, bestError))
    if (!v128.any_true(better)) continue
    bestError = v128.bitselect(error, bestError, better)
    bestInverse = v128.bitselect(inverse, bestInverse, better)
    bestBase = v128.bitselect(base, bestBase, better)
    scale = v128.bitselect(tryScale, scale, better)
    minimum = v128.bitselect(tryMinimum, minimum, better)
    // ggml goes on from the better minimum: later tries subtract it and divide by its range.
    base = minimum
    range = v128.bitselect(one, f32x4.sub(high, base), flat)
    if (isFloat<Rounding>()) {
      if (!isQuick(range, base, low)) return false
    }
    lift<Rounding>(base, end)
  }

  v128.store(out, v128.andnot(scale, flat))
  v128.store(out + pitch, f32x4.neg(minimum))
  v128.store(out + 2 * pitch, v128.andnot(bestInverse, flat))
  v128.store(out + 3 * pitch, bestBase)
  return true
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
