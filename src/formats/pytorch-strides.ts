import type { StoredArray } from '../checkpoint/checkpoint.js'
import { elementCount } from '../checkpoint/dtype.js'
import { shown } from '../checkpoint/geometry.js'
import { matrixOf } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import type { TorchTensor } from './pytorch-objects.js'

/** Where the payload of a storage begins. */
export interface Payload {
  path: string
  offset: number
}

/**
 * Locates a tensor within its storage: row-major with any distance between
 * rows, or column-major, which is the transpose of its shape.
 * @throws input error for strides that are neither, and for what goes beyond the storage
 */
export function locateTensor(
  name: string,
  { storage, offset, shape, strides }: TorchTensor,
  payload: Payload,
  format: string,
): StoredArray {
  const where = { format, path: payload.path, tensor: name }
  const { dtype, bytes } = storage.type
  if (dtype === undefined) {
    throw inputError(`its elements are of a ${storage.type.name}, which is not supported`, {
      ...where,
      suggestions: ['Weights are of DoubleStorage, FloatStorage, HalfStorage or BFloat16Storage.'],
    })
  }
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
  const part = (rows: number, columns: number, pitch: number) => ({
    row: 0,
    column: 0,
    rows,
    columns,
    pitch,
    extents: [
      {
        path: payload.path,
        offset: begin,
        length: rows * columns === 0 ? 0 : ((rows - 1) * pitch + columns) * bytes,
      },
    ],
  })
  // A stride along an axis of one element is never taken; torch writes anything there.
  if ((columns === 1 || columnStride === 1) && (rows === 1 || rowStride >= columns)) {
    return { name, dtype, shape, parts: [part(rows, columns, rows === 1 ? columns : rowStride)] }
  }
  if ((rows === 1 || rowStride === 1) && (columns === 1 || columnStride >= rows)) {
    return { name, dtype, shape, transposed: true, parts: [part(columns, rows, columnStride)] }
  }
  throw inputError(
    `its strides are ${shown(strides)} for the shape ${shown(shape)}: neither its rows nor its columns lie in order`,
    { ...where, suggestions: ['Save it with .contiguous() applied to every tensor.'] },
  )
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
