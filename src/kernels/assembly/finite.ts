// Counting what is not a finite number. An element is not finite where all bits of its exponent
// are set: `exponent` is that mask, 0x7c00 for f16, 0x7f80 for bf16, 0x7f800000 for f32.

/** NaN and infinities among `n` 16-bit elements at `src`. */
export function countNonFinite16(src: usize, n: usize, exponent: u32): usize {
  const mask = i16x8.splat(<i16>exponent)
  let count: usize = 0
  const whole = n & ~7
  for (let i: usize = 0; i < whole; i += 8) {
    const hit = i16x8.eq(v128.and(v128.load(src + (i << 1)), mask), mask)
    if (v128.any_true(hit)) count += popcnt(i16x8.bitmask(hit))
  }
  for (let i = whole; i < n; i++) {
    count += usize((<u32>load<u16>(src + (i << 1)) & exponent) === exponent)
  }
  return count
}

/** NaN and infinities among `n` 32-bit elements at `src`. */
export function countNonFinite32(src: usize, n: usize, exponent: u32): usize {
  const mask = i32x4.splat(exponent)
  let count: usize = 0
  const whole = n & ~3
  for (let i: usize = 0; i < whole; i += 4) {
    const hit = i32x4.eq(v128.and(v128.load(src + (i << 2)), mask), mask)
    if (v128.any_true(hit)) count += popcnt(i32x4.bitmask(hit))
  }
  for (let i = whole; i < n; i++) {
    count += usize((load<u32>(src + (i << 2)) & exponent) === exponent)
  }
  return count
}

/** Infinities alone among `n` 16-bit elements at `src`; slow, for when there is something to tell. */
export function countInfinite16(src: usize, n: usize, exponent: u32): usize {
  let count: usize = 0
  for (let i: usize = 0; i < n; i++) {
    count += usize((<u32>load<u16>(src + (i << 1)) & 0x7fff) === exponent)
  }
  return count
}

/** Infinities alone among `n` 32-bit elements at `src`. */
export function countInfinite32(src: usize, n: usize, exponent: u32): usize {
  let count: usize = 0
  for (let i: usize = 0; i < n; i++) {
    count += usize((load<u32>(src + (i << 2)) & 0x7fffffff) === exponent)
  }
  return count
}

/** Elements among `n` f32 at `src` whose magnitude is above that of the bits `limit`, NaN among them. */
export function countAbove32(src: usize, n: usize, limit: u32): usize {
  const magnitude = i32x4.splat(0x7fffffff)
  const most = i32x4.splat(limit)
  let count: usize = 0
  const whole = n & ~3
  for (let i: usize = 0; i < whole; i += 4) {
    const hit = i32x4.gt_s(v128.and(v128.load(src + (i << 2)), magnitude), most)
    if (v128.any_true(hit)) count += popcnt(i32x4.bitmask(hit))
  }
  for (let i = whole; i < n; i++) {
    count += usize((load<u32>(src + (i << 2)) & 0x7fffffff) > limit)
  }
  return count
}
