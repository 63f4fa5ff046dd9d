/**
 * Element types of stored tensors. A block type (GGUF's quantised ones) packs
 * `block` elements of one row into `bytes` bytes; for plain types block is 1.
 */
export const dtypes = {
  f64: { block: 1, bytes: 8 },
  f32: { block: 1, bytes: 4 },
  f16: { block: 1, bytes: 2 },
  bf16: { block: 1, bytes: 2 },
} as const

export type DType = keyof typeof dtypes

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
