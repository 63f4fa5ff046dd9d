/**
 * Element types of stored tensors. A block type (GGUF's quantized ones) packs
 * `block` elements of one row into `bytes` bytes; for plain types block is 1.
 * ONNX keeps levels and scales apart, as two types for two tensors.
 */
export const dtypes = {
  f64: { block: 1, bytes: 8 },
  f32: { block: 1, bytes: 4 },
  f16: { block: 1, bytes: 2 },
  bf16: { block: 1, bytes: 2 },
  q4_0: { block: 32, bytes: 18 },
  q4_1: { block: 32, bytes: 20 },
  q5_0: { block: 32, bytes: 22 },
  q5_1: { block: 32, bytes: 24 },
  q8_0: { block: 32, bytes: 34 },
  q2_k: { block: 256, bytes: 84 },
  q3_k: { block: 256, bytes: 110 },
  q4_k: { block: 256, bytes: 144 },
  q5_k: { block: 256, bytes: 176 },
  q6_k: { block: 256, bytes: 210 },
  q4: { block: 32, bytes: 16 },
  q8: { block: 32, bytes: 32 },
  q4_scales: { block: 32, bytes: 4 },
  q4_scales_f16: { block: 32, bytes: 2 },
  q8_scales: { block: 32, bytes: 4 },
} as const

export type DType = keyof typeof dtypes

/** The types whose elements are numbers of their own: all but the block types. */
export type Float = 'f64' | 'f32' | 'f16' | 'bf16'

/** ONNX's: the levels of 32 elements, or the scale that they share. */
export type LevelType = 'q4' | 'q8'
export type ScaleType = 'q4_scales' | 'q4_scales_f16' | 'q8_scales'

/** GGUF's quantized types: several elements share a scale, which lies with them. */
export type BlockType = Exclude<DType, Float | LevelType | ScaleType>

export function isFloat(dtype: DType): dtype is Float {
  return dtypes[dtype].block === 1
}

export function isBlock(dtype: DType): dtype is BlockType {
  return !isFloat(dtype) && dtype !== 'q4' && dtype !== 'q8' && !isScale(dtype)
}

export function isScale(dtype: DType): dtype is ScaleType {
  return dtype === 'q4_scales' || dtype === 'q4_scales_f16' || dtype === 'q8_scales'
}

/** The types a cast can have as its target: those every format can hold. */
export const floatTypes = ['f32', 'f16', 'bf16'] as const
export type FloatType = (typeof floatTypes)[number]

export function isFloatType(dtype: string): dtype is FloatType {
  return floatTypes.some((name) => name === dtype)
}

/**
 * Bytes that `count` elements take. `count` must fill whole blocks.
 */
export function byteLength(dtype: DType, count: number): number {
  const { block, bytes } = dtypes[dtype]
  return (count / block) * bytes
}

/** Elements of a shape; undefined when it is no safe size (a header may claim anything). */
export function elementCount(shape: readonly number[]): number | undefined {
  let count = 1
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) return undefined
    count *= size
    if (!Number.isSafeInteger(count)) return undefined
  }
  return count
}
