import type { StoredArray } from '../../checkpoint/checkpoint.js'
import { shown } from '../../checkpoint/geometry.js'
import { matrixOf, type Part } from '../../checkpoint/tensor.js'
import { inputError } from '../../io/errors.js'
import { type DType, elementCount } from '../../types/dtype.js'
import type { TorchTensor } from './objects.js'

/** Where the payload of a storage begins. */
export interface Payload {
  path: string
  offset: number
}

/**
 * Elements of a tensor of which no two lie side by side: each is read by itself, which takes
 * some seconds for as many as these.
 */
const mostScattered = 2 ** 24

/**
 * Locates a tensor within its storage: row-major with any distance between rows, none
 * too (a view that torch expanded), or column-major, which is the transpose of its shape;
 * or, where it is small, with a distance between all elements.
 * @throws input error for larger tensors of such strides, and for what goes beyond the storage
 */
export function locateTensor(
  name: string,
  { storage, offset, shape, strides }: TorchTensor,
  dtype: DType,
  payload: Payload,
  format: string,
): StoredArray {
  const where = { format, path: payload.path, tensor: name }
  const { bytes } = storage.type
  if (elementCount(shape) === undefined) {
    throw inputError(`its shape is ${shown(shape)}, which is no size that a tensor can have`, where)
  }
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset)
  if (elementCount(shape) !== 0 && storage.start + last >= storage.elements) {
    throw inputError(
      `its last element is number ${storage.start + last} of storage "${storage.key}", which has ${storage.elements}`,
      where,
    )
  }
  const [rows, columns] = matrixOf(shape)
  const [rowStride, columnStride] = matrixStrides(shape, strides)
  const begin = payload.offset + (storage.start + offset) * bytes
  const window = (at: Window): Part => ({
    row: 0,
    column: 0,
    rows: at.rows,
    columns: at.columns,
    pitch: at.pitch,
    extents: [
      {
        path: payload.path,
        offset: begin + (at.offset ?? 0) * bytes,
        length: at.rows * at.columns === 0 ? 0 : ((at.rows - 1) * at.pitch + at.columns) * bytes,
      },
    ],
  })
  // A stride along an axis of one element is never taken; torch writes anything there.
  if (columns === 1 || columnStride === 1) {
    const pitch = rows === 1 ? columns : rowStride
    return { name, dtype, shape, parts: [window({ rows, columns, pitch })] }
  }
  if (rows === 1 || rowStride === 1) {
    const turned = { rows: columns, columns: rows, pitch: columnStride }
    return { name, dtype, shape, transposed: true, parts: [window(turned)] }
  }
  if (rows * columns > mostScattered) {
    throw inputError(
      `its strides are ${shown(strides)} for the shape ${shown(shape)}: neither its rows nor its columns lie in order`,
      { ...where, suggestions: ['Save it with .contiguous() applied to every tensor.'] },
    )
  }
  // Each column, or row, whichever are fewer, is a matrix of its own, of one column.
  const across = columns > rows
  const [length, pitch] = across ? [columns, columnStride] : [rows, rowStride]
  const [count, step] = across ? [rows, rowStride] : [columns, columnStride]
  const parts = Array.from({ length: count }, (_, column) => ({
    ...window({ rows: length, columns: 1, pitch, offset: column * step }),
    column,
  }))
  return { name, dtype, shape, ...(across ? { transposed: true } : {}), parts }
}

/** A rectangle of the matrix and, in elements, where it lies in the storage. */
interface Window {
  rows: number
  columns: number
  /** From one row to the next. */
  pitch: number
  /** From where the tensor begins. */
  offset?: number
}

/**
 * The strides of the matrix that an array is taken for. Of more than two axes,
 * which no weight of these models has, the matrix is that of a contiguous array.
 */
function matrixStrides(shape: readonly number[], strides: readonly number[]): [number, number] {
  if (shape.length === 1) return [shape[0] ?? 0, strides[0] ?? 1]
  if (shape.length === 2) return [strides[0] ?? 0, strides[1] ?? 0]
  return [matrixOf(shape)[1], 1]
}
