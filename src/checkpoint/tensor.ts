import { byteLength, type DType, type ScaleType } from '../types/dtype.js'

/** A run of bytes in a file. */
export interface Extent {
  path: string
  offset: number
  length: number
}

/** The order of the rows within each head of the query and key projections. */
interface Rotary {
  /** `half`: Hugging Face's, first rows of all pairs, then the second; `interleaved`: pair by pair. */
  order: 'half' | 'interleaved'
  /** Rows of a head. */
  headDim: number
}

/** What differs from Hugging Face's layout: row-major [out, in], rotary rows half-split. */
export interface Layout {
  /** Stored as [in, out]. */
  transposed: boolean
  /** Only on tensors whose rows rotary embedding pairs up. */
  rotary?: Rotary
  /** The bytes of each element are in big-endian order. */
  bigEndian?: true
  /** What was added to each element. */
  added?: number
}

/**
 * A rectangle of the stored matrix, and where its bytes are: row after row,
 * `pitch` elements from one row to the next. The extents are read as if they
 * were one run of bytes.
 */
export interface Part {
  row: number
  column: number
  rows: number
  columns: number
  pitch: number
  extents: Extent[]
}

/**
 * One tensor of a checkpoint, located and not loaded. Its parts cover the
 * stored matrix exactly once; those of a tensor that is to be written may
 * cover it once for each copy.
 */
export interface Tensor {
  /** Hugging Face's name: model.layers.0.self_attn.q_proj.weight. */
  name: string
  /** The name in the file. */
  storedName: string
  dtype: DType
  /** Hugging Face's shape: [out, in], or [n]. */
  shape: readonly number[]
  layout: Layout
  parts: Part[]
  /** Of levels that are read: the scales of their blocks, which lie as blocks of their own type. */
  scales?: Scales
}

/** Where the scales of a tensor's levels are; its parts are told in the tensor's own elements. */
export interface Scales {
  dtype: ScaleType
  parts: Part[]
}

/** Rows and columns of the canonical matrix; a vector is one row, matrices of a stack follow each other. */
export function matrixOf(shape: readonly number[]): [rows: number, columns: number] {
  if (shape.length === 0) return [1, 1]
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1)
  return [rows, shape.at(-1) ?? 1]
}

/** Rows and columns of the matrix as it is stored. */
export function storedMatrixOf(tensor: Pick<Tensor, 'shape' | 'layout'>): [number, number] {
  const [rows, columns] = matrixOf(tensor.shape)
  return tensor.layout.transposed ? [columns, rows] : [rows, columns]
}

/** The one part of an array of `shape` whose bytes lie in order, without gaps. */
export function wholePart(shape: readonly number[], extents: Extent[]): Part {
  const [rows, columns] = matrixOf(shape)
  return { row: 0, column: 0, rows, columns, pitch: columns, extents }
}

/** Bytes of a tensor without padding or gaps, with the scales of its levels. */
export function tensorBytes({
  shape,
  dtype,
  scales,
}: Pick<Tensor, 'shape' | 'dtype' | 'scales'>): number {
  const [rows, columns] = matrixOf(shape)
  const types = scales === undefined ? [dtype] : [dtype, scales.dtype]
  return types.reduce((sum, type) => sum + byteLength(type, rows * columns), 0)
}
