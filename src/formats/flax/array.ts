import type { FormatName, StoredArray } from '../../checkpoint/checkpoint.js'
import { checkArrayBytes } from '../../checkpoint/checkpoint.js'
import { type Extent, wholePart } from '../../checkpoint/tensor.js'
import { inputError } from '../../io/errors.js'
import { type DType, typesBy } from '../../types/dtype.js'
import {
  expectHead,
  type MsgpackCursor,
  type MsgpackHead,
  readHead,
  readText,
  skipBytes,
  unexpected,
} from './msgpack.js'

/**
 * An array as flax.serialization writes it: an extension of type 1 that holds
 * [shape, dtype name, raw bytes], or, over 1 GiB, a map of such chunks. EasyLM's
 * stream and flax's one-message file both consist of these.
 */

/** flax's msgpack extension types. */
const ndarrayExtension = 1

const chunkedKey = '__msgpack_chunked_array__'

/** numpy's names of the element types; flax knows more, checkpoints hold these. */
const dtypeNames = typesBy(({ numpy }) => numpy)

/** No checkpoint has arrays of more dimensions. */
const maxDimensions = 8

/**
 * Locates an array whose head has just been read.
 * @param head of the value: an extension, or the map of a chunked array
 * @param name of the array, for errors and the result
 */
export async function locateArray(
  cursor: MsgpackCursor,
  format: FormatName,
  head: MsgpackHead,
  name: string,
): Promise<StoredArray> {
  if (head.type === 'map') return locateChunks(cursor, format, head.length, name)
  const { dtype, shape, extent } = await locateNdarray(cursor, head, name)
  checkArrayBytes(dtype, shape, extent.length, { format, path: cursor.source.path, tensor: name })
  return { name, dtype, shape, parts: [wholePart(shape, [extent])] }
}

/** Whether a map whose first key is `key` is a chunked array and not a subtree. */
export function isChunkedKey(key: string): boolean {
  return key === chunkedKey
}

async function locateNdarray(
  cursor: MsgpackCursor,
  head: MsgpackHead,
  name: string,
): Promise<{ dtype: DType; shape: number[]; extent: Extent }> {
  const what = `the array "${name}"`
  const start = cursor.offset
  if (head.type !== 'extension' || head.code !== ndarrayExtension) {
    const found = head.type === 'extension' ? `an extension of type ${head.code}` : `a ${head.type}`
    throw unexpected(cursor, start, what, `${found}, not flax's extension of type 1`)
  }
  const end = start + head.length
  const { length } = await expectHead(cursor, 'array', what)
  if (length !== 3)
    throw unexpected(cursor, start, what, `${length} fields, not shape, dtype and bytes`)
  const shape = await readShape(cursor, what)
  const dtypeName = await readText(cursor, `${what}: its dtype`)
  const dtype = dtypeNames.get(dtypeName)
  if (dtype === undefined) {
    throw inputError(`its dtype is "${dtypeName}", which is not supported`, {
      format: cursor.format,
      path: cursor.source.path,
      tensor: name,
      suggestions: [`Supported are ${[...dtypeNames.keys()].join(', ')}.`],
    })
  }
  const payload = await expectHead(cursor, 'binary', `${what}: its bytes`)
  const extent = { path: cursor.source.path, offset: cursor.offset, length: payload.length }
  skipBytes(cursor, payload.length, `the bytes of "${name}"`)
  if (cursor.offset !== end) {
    throw inputError(`it ends at byte ${cursor.offset}, its header says ${end}`, {
      format: cursor.format,
      path: cursor.source.path,
      tensor: name,
    })
  }
  return { dtype, shape, extent }
}

async function readShape(cursor: MsgpackCursor, what: string): Promise<number[]> {
  const { length } = await expectHead(cursor, 'array', `${what}: its shape`)
  if (length > maxDimensions) {
    throw unexpected(cursor, cursor.offset, `${what}: its shape`, `one of ${length} dimensions`)
  }
  const shape: number[] = []
  for (let axis = 0; axis < length; axis++) {
    shape.push((await expectHead(cursor, 'number', `${what}: its shape`)).value)
  }
  return shape
}

/** The keys after the first are read here: `shape` and `chunks`, each a map of "0", "1", … */
async function locateChunks(
  cursor: MsgpackCursor,
  format: FormatName,
  keys: number,
  name: string,
): Promise<StoredArray> {
  const where = { format, path: cursor.source.path, tensor: name }
  let shape: number[] | undefined
  let dtype: DType | undefined
  const extents: Extent[] = []
  for (let k = 0; k < keys; k++) {
    const key = await readText(cursor, `the chunked array "${name}"`)
    if (key === chunkedKey) {
      await readHead(cursor, `the chunked array "${name}"`)
    } else if (key === 'shape') {
      shape = await readIndexed(cursor, name, async () => {
        return (await expectHead(cursor, 'number', `the shape of "${name}"`)).value
      })
    } else if (key === 'chunks') {
      await readIndexed(cursor, name, async () => {
        const head = await readHead(cursor, `a chunk of "${name}"`)
        const chunk = await locateNdarray(cursor, head, name)
        checkArrayBytes(chunk.dtype, chunk.shape, chunk.extent.length, where)
        if (dtype !== undefined && dtype !== chunk.dtype) {
          throw inputError(`its chunks are of ${dtype} and of ${chunk.dtype}`, where)
        }
        dtype = chunk.dtype
        extents.push(chunk.extent)
      })
    } else {
      throw inputError(`its chunked form has an unknown key "${key}"`, where)
    }
  }
  if (shape === undefined || dtype === undefined) {
    throw inputError('its chunked form lacks its shape or its chunks', where)
  }
  const bytes = extents.reduce((sum, extent) => sum + extent.length, 0)
  checkArrayBytes(dtype, shape, bytes, where)
  return { name, dtype, shape, parts: [wholePart(shape, extents)] }
}

/** A list as flax writes it: a map from "0", "1", … in order. */
async function readIndexed<T>(
  cursor: MsgpackCursor,
  name: string,
  read: () => Promise<T>,
): Promise<T[]> {
  const what = `the chunked array "${name}"`
  const { length } = await expectHead(cursor, 'map', what)
  const values: T[] = []
  for (let i = 0; i < length; i++) {
    const start = cursor.offset
    const key = await readText(cursor, what)
    if (key !== String(i)) throw unexpected(cursor, start, what, `"${key}" where "${i}" should be`)
    values.push(await read())
  }
  return values
}
