// The fit of a super-block's scales (or minimums), which are not negative, when elements have
// importance: value ≈ scale · level, levels 0…top.
import { nearestInt } from './lanes'

/** Below this all values count as zero. */
const ALL_ZERO: f32 = 1e-15

/**
 * Fits the `n` f32 at `values`, weighted by the f32 at `weights`. Leaves a level (u8) for each at
 * `levels`.
 * @returns the scale
 */
export function fitPositive(values: usize, weights: usize, n: usize, top: i32, levels: usize): f32 {
  let largest: f32 = 0
  for (let i: usize = 0; i < n; i++) {
    const x = load<f32>(values + (i << 2))
    // As ggml's MAX takes them: after a NaN the next value counts.
    largest = largest > x ? largest : x
  }
  if (largest < ALL_ZERO) {
    memory.fill(levels, 0, n)
    return 0
  }
  const inverse = bestInverse(values, weights, n, top, largest)
  let sumLX: f32 = 0
  let sumL2: f32 = 0
  for (let i: usize = 0; i < n; i++) {
    const x = load<f32>(values + (i << 2))
    const w = load<f32>(weights + (i << 2))
    const level = min(top, nearestInt(inverse * x))
    store<u8>(levels + i, <u8>level)
    sumLX += w * x * <f32>level
    sumL2 += w * <f32>level * <f32>level
  }
  for (let round = 0; round < 5; round++) {
    let changed = false
    for (let i: usize = 0; i < n; i++) {
      const x = load<f32>(values + (i << 2))
      const w = load<f32>(weights + (i << 2))
      const level = <f32>load<u8>(levels + i)
      let lx = sumLX - w * x * level
      let l2 = sumL2 - w * level * level
      if (!(lx > 0 && l2 > 0)) continue
      const other = min(top, nearestInt((x * l2) / lx))
      if (other === <i32>load<u8>(levels + i)) continue
      lx += w * x * <f32>other
      l2 += w * <f32>other * <f32>other
      if (lx * lx * sumL2 > sumLX * sumLX * l2) {
        store<u8>(levels + i, <u8>other)
        sumLX = lx
        sumL2 = l2
        changed = true
      }
    }
    if (!changed) break
  }
  return sumL2 > 0 ? sumLX / sumL2 : 0
}

/** Of (top + 0.1 · k) / largest, k = -4…4, the one with the least weighted squared error. */
function bestInverse(values: usize, weights: usize, n: usize, top: i32, largest: f32): f32 {
  let best = <f32>top / largest
  let leastError: f32 = 0
  const plain: f32 = 1 / best
  for (let i: usize = 0; i < n; i++) {
    const x = load<f32>(values + (i << 2))
    // Here, and only here, ggml does not stop at `top`, and keeps the level in a byte.
    const off = x - plain * <f32>(<u8>nearestInt(best * x))
    leastError += load<f32>(weights + (i << 2)) * off * off
  }
  for (let k = -4; k <= 4; k++) {
    if (k === 0) continue
    const inverse = (<f32>0.1 * <f32>k + <f32>top) / largest
    const scale: f32 = 1 / inverse
    let error: f32 = 0
    for (let i: usize = 0; i < n; i++) {
      const x = load<f32>(values + (i << 2))
      const off = x - scale * <f32>min(top, nearestInt(inverse * x))
      error += load<f32>(weights + (i << 2)) * off * off
    }
    if (error < leastError) {
      leastError = error
      best = inverse
    }
  }
  return best
}
