// Casts as IEEE 754 describes them, in plain arithmetic on doubles: slow, and without bit tricks.

const scratch = new DataView(new ArrayBuffer(8))

export function f32Value(bits: number): number {
  scratch.setUint32(0, bits)
  return scratch.getFloat32(0)
}

function f32Bits(value: number): number {
  scratch.setFloat32(0, value)
  return scratch.getUint32(0)
}

export function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/** Rounds to the nearest f16, ties to even. */
export function f16Bits(value: number): number {
  return rounded(value, { fraction: 10, least: -14, infinity: 0x7c00, sign: 0x8000 })
}

/** Rounds to the nearest bf16, ties to even. */
export function bf16Bits(value: number): number {
  return rounded(value, { fraction: 7, least: -126, infinity: 0x7f80, sign: 0x8000 })
}

/** f32 bits to f16 bits; NaN stays NaN, quiet, with the top of its payload. */
export function f16FromF32(bits: number): number {
  if (isNan32(bits)) return ((bits >>> 16) & 0x8000) | 0x7e00 | ((bits >>> 13) & 0x3ff)
  return f16Bits(f32Value(bits))
}

export function bf16FromF32(bits: number): number {
  if (isNan32(bits)) return (bits >>> 16) | 0x40
  return bf16Bits(f32Value(bits))
}

export function f32FromF16(bits: number): number {
  const isNan = (bits & 0x7fff) > 0x7c00
  if (isNan) return (((bits & 0x8000) << 16) | 0x7fc00000 | ((bits & 0x3ff) << 13)) >>> 0
  return f32Bits(f16Value(bits))
}

export function f32FromBf16(bits: number): number {
  return (bits << 16) >>> 0
}

function isNan32(bits: number): boolean {
  return (bits & 0x7fffffff) > 0x7f800000
}

interface Kind {
  /** Bits of the fraction. */
  fraction: number
  /** The exponent of the smallest normal number. */
  least: number
  infinity: number
  sign: number
}

function rounded(value: number, { fraction, least, infinity, sign }: Kind): number {
  const negative = value < 0 || Object.is(value, -0) ? sign : 0
  const magnitude = Math.abs(value)
  if (magnitude === Number.POSITIVE_INFINITY) return negative | infinity
  const exponent = Math.max(least, exponentOf(magnitude))
  const units = halfToEven(magnitude / 2 ** (exponent - fraction))
  // Counted in units of the last place, the encodings of one sign are consecutive.
  const encoded = (exponent - least) * 2 ** fraction + units
  return negative | Math.min(encoded, infinity)
}

function exponentOf(magnitude: number): number {
  if (magnitude === 0) return Number.NEGATIVE_INFINITY
  scratch.setFloat64(0, magnitude)
  return (scratch.getUint16(0) >> 4) - 1023
}

function halfToEven(value: number): number {
  const below = Math.floor(value)
  const rest = value - below
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1
  return below % 2 === 0 ? below : below + 1
}
