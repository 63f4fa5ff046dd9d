import { usageError } from '../io/errors.js'

/**
 * The element types of GGUF files that are read and written: ggml's name and id, and how many
 * elements of a row one block holds in how many bytes.
 */
export const ggmlTypes = {
  f32: { name: 'F32', id: 0, block: 1, bytes: 4 },
  f16: { name: 'F16', id: 1, block: 1, bytes: 2 },
  bf16: { name: 'BF16', id: 30, block: 1, bytes: 2 },
  q4_0: { name: 'Q4_0', id: 2, block: 32, bytes: 18 },
  q4_1: { name: 'Q4_1', id: 3, block: 32, bytes: 20 },
  q5_0: { name: 'Q5_0', id: 6, block: 32, bytes: 22 },
  q5_1: { name: 'Q5_1', id: 7, block: 32, bytes: 24 },
  q8_0: { name: 'Q8_0', id: 8, block: 32, bytes: 34 },
  q2_k: { name: 'Q2_K', id: 10, block: 256, bytes: 84 },
  q3_k: { name: 'Q3_K', id: 11, block: 256, bytes: 110 },
  q4_k: { name: 'Q4_K', id: 12, block: 256, bytes: 144 },
  q5_k: { name: 'Q5_K', id: 13, block: 256, bytes: 176 },
  q6_k: { name: 'Q6_K', id: 14, block: 256, bytes: 210 },
} as const

export type GgmlType = keyof typeof ggmlTypes
/** The types that only GGUF has: several elements share a scale. */
export type BlockType = Exclude<GgmlType, 'f32' | 'f16' | 'bf16'>

export function isGgmlType(name: string): name is GgmlType {
  return Object.hasOwn(ggmlTypes, name)
}

export function isBlockType(type: GgmlType): type is BlockType {
  return ggmlTypes[type].block > 1
}

/** The type with this id in a GGUF file; undefined for one that is not supported. */
export function ggmlTypeOfId(id: number): GgmlType | undefined {
  return Object.keys(ggmlTypes)
    .filter(isGgmlType)
    .find((type) => ggmlTypes[type].id === id)
}

/** A type by its name as users write it: `Q4_K`, `q4_k`. */
export function parseGgmlType(text: string): GgmlType {
  const name = text.toLowerCase()
  if (isGgmlType(name)) return name
  throw usageError(`"${text}" is no tensor type`, {
    suggestions: [`Use one of ${Object.keys(ggmlTypes).join(', ')}.`],
  })
}

/** Bytes of a tensor of this shape (rows first, columns last); columns must fill whole blocks. */
export function tensorBytes(type: GgmlType, shape: readonly number[]): number {
  const { block, bytes } = ggmlTypes[type]
  return (shape.reduce((count, size) => count * size, 1) / block) * bytes
}
