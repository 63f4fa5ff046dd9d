// Casts between f32, f16 and bf16, eight elements a step, and from f64, one a step, rounding to
// nearest, ties to even, and once.
// Every cast keeps infinities and NaN (quiet, with the payload's top bits). Overflow gives
// infinity, as IEEE 754 has it: the caller counts what is not finite afterwards (finite.ts).
// `src` and `dst` are byte addresses and may not overlap; `n` counts elements.

/** Largest f32 bits (sign off) below which rounding to f16 stays finite or becomes infinite by carry: 2^16. */
const F16_OVERFLOW: u32 = 143 << 23
/** 2^-14, the smallest normal f16, as f32 bits. */
const F16_MIN_NORMAL: u32 = 113 << 23
/** 0.5: adding it to a value below 2^-14 leaves the f16 subnormal in the low bits, rounded. */
const SUBNORMAL_MAGIC: u32 = 126 << 23
const F32_INFINITY: u32 = 0x7f800000

/** Four f32 (as bits) to four f16 in the low halves of the lanes. */
export function f16FromF32x4(bits: v128): v128 {
  const sign = v128.and(bits, i32x4.splat(<i32>0x80000000))
  const magnitude = v128.xor(bits, sign)
  // Normal results: rebias the exponent, add just under half of the last kept bit, and the odd bit.
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1))
  const rebased = i32x4.add(magnitude, i32x4.splat(<i32>((<u32>(15 - 127)) << 23) + 0xfff))
  const normal = i32x4.shr_u(i32x4.add(rebased, odd), 13)
  // Subnormal results: let the f32 adder do the rounding.
  const magic = i32x4.splat(SUBNORMAL_MAGIC)
  const subnormal = i32x4.sub(f32x4.add(magnitude, magic), magic)
  // Infinity and NaN.
  const isNan = i32x4.gt_s(magnitude, i32x4.splat(F32_INFINITY))
  const payload = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(0x3ff))
  const nan = v128.and(isNan, v128.or(payload, i32x4.splat(0x200)))
  const special = v128.or(nan, i32x4.splat(0x7c00))

  const small = i32x4.lt_s(magnitude, i32x4.splat(F16_MIN_NORMAL))
  const large = i32x4.ge_s(magnitude, i32x4.splat(F16_OVERFLOW))
  const finite = v128.bitselect(subnormal, normal, small)
  const result = v128.bitselect(special, finite, large)
  return v128.or(result, i32x4.shr_u(sign, 16))
}

/** Four f16 in the low halves of the lanes to four f32 (as bits). */
export function f32FromF16x4(half: v128): v128 {
  const magnitude = i32x4.shl(v128.and(half, i32x4.splat(0x7fff)), 13)
  const sign = i32x4.shl(v128.and(half, i32x4.splat(0x8000)), 16)
  // 2^112 moves the exponent's bias from 15 to 127, and makes subnormals normal.
  const scaled = f32x4.mul(magnitude, f32x4.splat(reinterpret<f32>((<u32>(254 - 15)) << 23)))
  const special = i32x4.ge_s(magnitude, i32x4.splat(0x7c00 << 13))
  const isNan = i32x4.gt_s(magnitude, i32x4.splat(0x7c00 << 13))
  const quiet = v128.and(isNan, i32x4.splat(0x400000))
  const extended = v128.or(v128.or(magnitude, i32x4.splat(F32_INFINITY)), quiet)
  return v128.or(v128.bitselect(extended, scaled, special), sign)
}

/** Four f32 (as bits) to four bf16 in the low halves of the lanes. */
function bf16FromF32x4(bits: v128): v128 {
  const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1))
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(bits, i32x4.splat(0x7fff)), odd), 16)
  const magnitude = v128.and(bits, i32x4.splat(0x7fffffff))
  const isNan = i32x4.gt_s(magnitude, i32x4.splat(F32_INFINITY))
  const nan = v128.or(i32x4.shr_u(bits, 16), i32x4.splat(0x40))
  return v128.bitselect(nan, rounded, isNan)
}

/** The low halves of eight lanes as eight 16-bit elements. */
function narrow(low: v128, high: v128): v128 {
  return v128.shuffle<u16>(low, high, 0, 2, 4, 6, 8, 10, 12, 14)
}

/** How many of the eight elements became zero from something else: values too small for f16. */
function vanished(before: v128, beforeHigh: v128, after: v128): i32 {
  const zeroBefore = narrow(
    i32x4.eq(i32x4.shl(before, 1), i32x4.splat(0)),
    i32x4.eq(i32x4.shl(beforeHigh, 1), i32x4.splat(0)),
  )
  const zeroAfter = i16x8.eq(i16x8.shl(after, 1), i16x8.splat(0))
  return popcnt(i16x8.bitmask(v128.andnot(zeroAfter, zeroBefore)))
}

/** @returns how many non-zero values became zero */
export function castF32ToF16(src: usize, dst: usize, n: usize): usize {
  let lost: usize = 0
  const whole = n & ~7
  for (let i: usize = 0; i < whole; i += 8) {
    const a = v128.load(src + (i << 2))
    const b = v128.load(src + (i << 2), 16)
    const result = narrow(f16FromF32x4(a), f16FromF32x4(b))
    lost += vanished(a, b, result)
    v128.store(dst + (i << 1), result)
  }
  for (let i = whole; i < n; i++) {
    const a = i32x4.splat(load<i32>(src + (i << 2)))
    const result = i32x4.extract_lane(f16FromF32x4(a), 0)
    lost += usize((result & 0x7fff) === 0 && load<i32>(src + (i << 2)) << 1 !== 0)
    store<u16>(dst + (i << 1), <u16>result)
  }
  return lost
}

/** 2^-14 and 2^16 as bf16 bits: between them bf16 is a normal f16, and fits without rounding. */
const BF16_MIN_NORMAL: i32 = 113 << 7
const BF16_OVERFLOW: i32 = 143 << 7

/** @returns how many non-zero values became zero */
export function castBf16ToF16(src: usize, dst: usize, n: usize): usize {
  let lost: usize = 0
  const whole = n & ~7
  const least = i16x8.splat(<i16>BF16_MIN_NORMAL)
  const range = i16x8.splat(<i16>(BF16_OVERFLOW - BF16_MIN_NORMAL))
  for (let i: usize = 0; i < whole; i += 8) {
    const both = v128.load(src + (i << 1))
    const magnitude = v128.and(both, i16x8.splat(0x7fff))
    const offset = i16x8.sub(magnitude, least)
    if (i16x8.all_true(i16x8.lt_u(offset, range))) {
      // The offset's exponent counts from 2^-14, whose f16 exponent is 1.
      const rebased = i16x8.add(i16x8.shl(offset, 3), i16x8.splat(1 << 10))
      v128.store(dst + (i << 1), v128.or(rebased, v128.xor(both, magnitude)))
      continue
    }
    const a = i32x4.shl(i32x4.extend_low_i16x8_u(both), 16)
    const b = i32x4.shl(i32x4.extend_high_i16x8_u(both), 16)
    const result = narrow(f16FromF32x4(a), f16FromF32x4(b))
    lost += vanished(a, b, result)
    v128.store(dst + (i << 1), result)
  }
  for (let i = whole; i < n; i++) {
    const bits = (<i32>load<u16>(src + (i << 1))) << 16
    const result = i32x4.extract_lane(f16FromF32x4(i32x4.splat(bits)), 0)
    lost += usize((result & 0x7fff) === 0 && bits << 1 !== 0)
    store<u16>(dst + (i << 1), <u16>result)
  }
  return lost
}

export function castF32ToBf16(src: usize, dst: usize, n: usize): void {
  const whole = n & ~7
  for (let i: usize = 0; i < whole; i += 8) {
    const a = bf16FromF32x4(v128.load(src + (i << 2)))
    const b = bf16FromF32x4(v128.load(src + (i << 2), 16))
    v128.store(dst + (i << 1), narrow(a, b))
  }
  for (let i = whole; i < n; i++) {
    const a = bf16FromF32x4(i32x4.splat(load<i32>(src + (i << 2))))
    store<u16>(dst + (i << 1), <u16>i32x4.extract_lane(a, 0))
  }
}

export function castF16ToBf16(src: usize, dst: usize, n: usize): void {
  const whole = n & ~7
  for (let i: usize = 0; i < whole; i += 8) {
    const both = v128.load(src + (i << 1))
    const a = bf16FromF32x4(f32FromF16x4(i32x4.extend_low_i16x8_u(both)))
    const b = bf16FromF32x4(f32FromF16x4(i32x4.extend_high_i16x8_u(both)))
    v128.store(dst + (i << 1), narrow(a, b))
  }
  for (let i = whole; i < n; i++) {
    const a = bf16FromF32x4(f32FromF16x4(i32x4.splat(load<u16>(src + (i << 1)))))
    store<u16>(dst + (i << 1), <u16>i32x4.extract_lane(a, 0))
  }
}

export function castF16ToF32(src: usize, dst: usize, n: usize): void {
  const whole = n & ~7
  for (let i: usize = 0; i < whole; i += 8) {
    const both = v128.load(src + (i << 1))
    v128.store(dst + (i << 2), f32FromF16x4(i32x4.extend_low_i16x8_u(both)))
    v128.store(dst + (i << 2), f32FromF16x4(i32x4.extend_high_i16x8_u(both)), 16)
  }
  for (let i = whole; i < n; i++) {
    const a = f32FromF16x4(i32x4.splat(load<u16>(src + (i << 1))))
    store<i32>(dst + (i << 2), i32x4.extract_lane(a, 0))
  }
}

export function castBf16ToF32(src: usize, dst: usize, n: usize): void {
  const whole = n & ~7
  for (let i: usize = 0; i < whole; i += 8) {
    const both = v128.load(src + (i << 1))
    v128.store(dst + (i << 2), i32x4.shl(i32x4.extend_low_i16x8_u(both), 16))
    v128.store(dst + (i << 2), i32x4.shl(i32x4.extend_high_i16x8_u(both), 16), 16)
  }
  for (let i = whole; i < n; i++) {
    store<i32>(dst + (i << 2), (<i32>load<u16>(src + (i << 1))) << 16)
  }
}

/** @returns how many non-zero values became zero */
export function castF64ToF32(src: usize, dst: usize, n: usize): usize {
  let lost: usize = 0
  for (let i: usize = 0; i < n; i++) {
    const value = load<f64>(src + (i << 3))
    const result = <f32>value
    lost += usize(result === 0 && value !== 0)
    store<f32>(dst + (i << 2), result)
  }
  return lost
}

/**
 * f64 to f32 (as bits), rounded to odd: a value between two f32 becomes the one whose last bit is
 * set. Rounded again to a type of at most 22 significant bits, it gives what one rounding of the
 * f64 would: no tie can come from a value that was none.
 */
function f32FromF64Odd(value: f64): i32 {
  const nearest = <f32>value
  const bits = reinterpret<i32>(nearest)
  const back = <f64>nearest
  // Exact, NaN, or odd already.
  if (back === value || isNaN(value) || (bits & 1) === 1) return bits
  // The even neighbour was nearer; the odd one lies on the other side of the value.
  return abs(back) > abs(value) ? bits - 1 : bits + 1
}

/** @returns how many non-zero values became zero */
export function castF64ToF16(src: usize, dst: usize, n: usize): usize {
  let lost: usize = 0
  for (let i: usize = 0; i < n; i++) {
    const value = load<f64>(src + (i << 3))
    const result = i32x4.extract_lane(f16FromF32x4(i32x4.splat(f32FromF64Odd(value))), 0)
    lost += usize((result & 0x7fff) === 0 && value !== 0)
    store<u16>(dst + (i << 1), <u16>result)
  }
  return lost
}

/** @returns how many non-zero values became zero */
export function castF64ToBf16(src: usize, dst: usize, n: usize): usize {
  let lost: usize = 0
  for (let i: usize = 0; i < n; i++) {
    const value = load<f64>(src + (i << 3))
    const result = i32x4.extract_lane(bf16FromF32x4(i32x4.splat(f32FromF64Odd(value))), 0)
    lost += usize((result & 0x7fff) === 0 && value !== 0)
    store<u16>(dst + (i << 1), <u16>result)
  }
  return lost
}
