import { usageError } from '../io/errors.js'
import {
  type BlockType,
  byteLength,
  dtypeNames,
  type Float,
  isBlock,
  isDType,
  isFloat,
} from './dtype.js'

/** The element types that GGUF files are written in: ggml's that are read, but for f64. */
export type GgmlType = Exclude<Float, 'f64'> | BlockType

export const ggmlTypes: readonly GgmlType[] = dtypeNames.filter(isGgmlType)

export function isGgmlType(name: string): name is GgmlType {
  return isDType(name) && name !== 'f64' && (isFloat(name) || isBlock(name))
}

/** A type by its name as users write it: `Q4_K`, `q4_k`. */
export function parseGgmlType(text: string): GgmlType {
  const name = text.toLowerCase()
  if (isGgmlType(name)) return name
  throw usageError(`"${text}" is no tensor type`, {
    suggestions: [`Use one of ${ggmlTypes.join(', ')}.`],
  })
}

/** Bytes of a tensor of this shape (rows first, columns last); columns must fill whole blocks. */
export function ggmlBytes(type: GgmlType, shape: readonly number[]): number {
  return byteLength(
    type,
    shape.reduce((count, size) => count * size, 1),
  )
}
