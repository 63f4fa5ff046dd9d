import { shown } from '../../checkpoint/geometry.js'
import type { MetadataEntry } from '../../checkpoint/metadata.js'
import { type ErrorDetails, inputError } from '../../io/errors.js'
import type { ByteSource } from '../../io/source.js'
import { type DType, dtypes, elementCount } from '../../types/dtype.js'
import { checkCount, type GgufCursor, readCount, readName, readUint32 } from './cursor.js'
import { otherTensorTypes, tensorTypes } from './type.js'
import { readValue } from './value.js'

/** A tensor as the header announces it. */
export interface TensorInfo {
  name: string
  dtype: DType
  /** Row-major: GGUF has the dimensions the other way round. */
  shape: number[]
  /** Where its bytes begin in the file. */
  offset: number
  bytes: number
}

/** A tensor of a type that is not read here: shown by its name, and run by llama.cpp. */
interface OpaqueInfo {
  name: string
  /** ggml's name of the type, or its number where ggml did not know it when this was written. */
  type: string
  shape: number[]
}

/** An entry and the bytes that it takes in the header, key and all. */
type LocatedEntry = MetadataEntry & { readonly begin: number; readonly end: number }

export interface GgufHeader {
  version: number
  littleEndian: boolean
  entries: LocatedEntry[]
  tensors: TensorInfo[]
  /** Those of types that are not read. */
  opaque: OpaqueInfo[]
  /** Where the entries end and the tensors' announcements begin. */
  infosBegin: number
  /** Where the header ends, before the padding. */
  end: number
  alignment: number
  /** Where the tensors' bytes begin. */
  dataBegin: number
}

/** "GGUF". */
export const magic = [0x47, 0x47, 0x55, 0x46] as const

export const defaultAlignment = 32

/**
 * Headers have some megabytes at most: of a vocabulary of 32,000 tokens, 0.7. What is in them is
 * held in memory, strings at several times their bytes.
 */
const firstRead = 1024 * 1024
const maxHeader = 128 * 1024 * 1024

/** Pages are the largest blocks that anything is aligned to. */
const maxAlignment = 2 ** 20

/** ggml's limit. */
const maxDimensions = 4

/** Models have some hundred keys; the largest, with each expert by itself, some 50,000 tensors. */
const maxEntries = 65_536
const maxTensors = 200_000

/** Bytes that an entry or a tensor's announcement takes at least. */
const leastEntry = 8 + 1 + 4 + 1
const leastInfo = 8 + 1 + 4 + 4 + 8

/** Reads the header of a file: as much of its start as it takes, in growing steps. */
export async function readHeader(source: ByteSource): Promise<GgufHeader> {
  for (let length = firstRead; ; length *= 4) {
    const most = Math.min(length, source.size, maxHeader)
    const header = parseHeader(await source.read(0, most), source)
    if (header !== undefined) return header
    if (most === maxHeader) {
      throw inputError(`its header does not end within ${maxHeader} bytes`, {
        format: 'gguf',
        path: source.path,
      })
    }
  }
}

/**
 * Parses a header and checks it against the size of the file.
 * @param window the start of the file
 * @returns undefined where the window ends before the header does
 * @throws input error for everything that the format forbids
 */
export function parseHeader(
  window: Uint8Array,
  { path, size }: Pick<ByteSource, 'path' | 'size'>,
): GgufHeader | undefined {
  const where = { format: 'gguf', path }
  const view = new DataView(window.buffer, window.byteOffset, window.byteLength)
  if (size < 24) throw inputError(`the file has ${size} bytes, its header alone takes 24`, where)
  if (view.byteLength < 24) return undefined
  if (magic.some((byte, i) => view.getUint8(i) !== byte)) {
    throw inputError('it does not begin with "GGUF"', where)
  }
  const { version, littleEndian } = readVersion(view, where)
  const cursor: GgufCursor = { view, offset: 8, littleEndian, path, size, items: 0 }
  const tensorCount = readCount(cursor, 'the number of tensors') ?? 0
  const entryCount = readCount(cursor, 'the number of key-values') ?? 0
  checkCount(cursor, entryCount, leastEntry, 'key-values')
  checkCount(cursor, tensorCount, leastInfo, 'tensors')
  checkMost(entryCount, maxEntries, 'key-values', where)
  checkMost(tensorCount, maxTensors, 'tensors', where)

  const entries = readEntries(cursor, entryCount)
  if (entries === undefined) return undefined
  const alignment = alignmentOf(entries, where)
  const infosBegin = cursor.offset
  const infos = readInfos(cursor, tensorCount)
  if (infos === undefined) return undefined
  const end = cursor.offset
  const dataBegin = Math.ceil(end / alignment) * alignment
  const placed = infos.map((info) => placeTensor(info, dataBegin, alignment, cursor))
  checkPlaces(placed, cursor)
  const tensors = placed.flatMap(({ dtype, name, shape, offset, bytes }) =>
    dtype === undefined ? [] : [{ name, dtype, shape, offset, bytes }],
  )
  const opaque = placed.flatMap(({ dtype, name, shape, type }) =>
    dtype === undefined ? [{ name, type, shape }] : [],
  )
  return { version, littleEndian, entries, tensors, opaque, infosBegin, end, alignment, dataBegin }
}

/** What is in a header is held in memory, at several times its bytes where there is much of it. */
function checkMost(count: number, most: number, what: string, where: ErrorDetails): void {
  if (count > most) throw inputError(`it has ${count} ${what}, at most ${most} are read`, where)
}

/** The version is small, so that its bytes tell their order. */
function readVersion(
  view: DataView,
  where: ErrorDetails,
): { version: number; littleEndian: boolean } {
  const littleEndian = view.getUint16(4, true) !== 0
  const version = view.getUint32(4, littleEndian)
  if (version !== 2 && version !== 3) {
    throw inputError(`it is of GGUF version ${version}; versions 2 and 3 are read`, {
      ...where,
      suggestions: ['Write it again with a recent llama.cpp.'],
    })
  }
  return { version, littleEndian }
}

function readEntries(cursor: GgufCursor, count: number): LocatedEntry[] | undefined {
  const entries: LocatedEntry[] = []
  const seen = new Set<string>()
  for (let i = 0; i < count; i++) {
    const begin = cursor.offset
    const key = readName(cursor, `key ${i + 1}`)
    const value = key === undefined ? undefined : readValue(cursor, key)
    if (key === undefined || value === undefined) return undefined
    if (seen.has(key)) {
      throw inputError(`"${key}" is in its metadata a second time, at byte ${begin}`, {
        format: 'gguf',
        path: cursor.path,
      })
    }
    seen.add(key)
    entries.push({ key, ...value, begin, end: cursor.offset })
  }
  return entries
}

function alignmentOf(entries: readonly MetadataEntry[], where: ErrorDetails): number {
  const entry = entries.find(({ key }) => key === 'general.alignment')
  if (entry === undefined) return defaultAlignment
  const { type, value } = entry
  const right =
    type === 'uint32' && value > 0 && value <= maxAlignment && Number.isInteger(Math.log2(value))
  if (!right) {
    const what = typeof value === 'object' ? `an array (${type})` : `${value} (${type})`
    throw inputError(`general.alignment is ${what}, a power of two is expected`, where)
  }
  return value
}

/** An announcement as it stands in the header; the offset is from where the data begin. */
interface RawInfo {
  name: string
  shape: number[]
  type: number
  offset: number
}

function readInfos(cursor: GgufCursor, count: number): RawInfo[] | undefined {
  const infos: RawInfo[] = []
  const seen = new Set<string>()
  for (let i = 0; i < count; i++) {
    const info = readInfo(cursor, i)
    if (info === undefined) return undefined
    if (seen.has(info.name)) {
      throw inputError('it is in the header a second time', {
        format: 'gguf',
        path: cursor.path,
        tensor: info.name,
      })
    }
    seen.add(info.name)
    infos.push(info)
  }
  return infos
}

function readInfo(cursor: GgufCursor, index: number): RawInfo | undefined {
  const name = readName(cursor, `the name of tensor ${index + 1}`)
  if (name === undefined) return undefined
  const what = `the announcement of "${name}"`
  const dimensions = readUint32(cursor, what)
  if (dimensions === undefined) return undefined
  if (dimensions < 1 || dimensions > maxDimensions) {
    throw inputError(`it has ${dimensions} dimensions, 1 to ${maxDimensions} are possible`, {
      format: 'gguf',
      path: cursor.path,
      tensor: name,
    })
  }
  const shape: number[] = []
  for (let axis = 0; axis < dimensions; axis++) {
    const size = readCount(cursor, what)
    if (size === undefined) return undefined
    shape.unshift(size)
  }
  const type = readUint32(cursor, what)
  const offset = type === undefined ? undefined : readCount(cursor, what)
  if (type === undefined || offset === undefined) return undefined
  return { name, shape, type, offset }
}

/** A tensor with its place; without a dtype where its type is not read. */
interface PlacedInfo extends Omit<TensorInfo, 'dtype'> {
  dtype: DType | undefined
  type: string
}

const unknownType = { block: 1, bytes: 0 }

function placeTensor(
  { name, shape, type, offset }: RawInfo,
  dataBegin: number,
  alignment: number,
  { path, size }: GgufCursor,
): PlacedInfo {
  const where = { format: 'gguf', path, tensor: name }
  const dtype = tensorTypes.get(type)
  const other = otherTensorTypes.get(type)
  const typeName = dtype ?? other?.name ?? String(type)
  const elements = elementCount(shape)
  if (elements === undefined) {
    throw inputError(`its shape is ${shown(shape)}, which is no size that a tensor can have`, where)
  }
  // Of a type that nobody knows here the bytes are not known either.
  const { block, bytes: blockBytes } = dtype === undefined ? (other ?? unknownType) : dtypes[dtype]
  const row = shape.at(-1) ?? 0
  if (row % block !== 0) {
    throw inputError(`its rows have ${row} elements, ${typeName} packs them by ${block}`, where)
  }
  const bytes = (elements / block) * blockBytes
  if (offset % alignment !== 0) {
    throw inputError(`its offset is ${offset}, which is no multiple of ${alignment}`, where)
  }
  const begin = dataBegin + offset
  if (begin + bytes > size) {
    throw inputError(`it ends at byte ${begin + bytes}, the file has ${size}`, {
      ...where,
      suggestions: ['It is truncated; download it again.'],
    })
  }
  return { name, dtype, type: typeName, shape, offset: begin, bytes }
}

function checkPlaces(tensors: readonly PlacedInfo[], { path }: GgufCursor): void {
  const ordered = tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  let before: PlacedInfo | undefined
  for (const tensor of ordered) {
    const end = before === undefined ? 0 : before.offset + before.bytes
    if (before !== undefined && tensor.offset < end) {
      throw inputError(
        `it begins at byte ${tensor.offset} and overlaps "${before.name}", which ends at ${end}`,
        { format: 'gguf', path, tensor: tensor.name },
      )
    }
    before = tensor
  }
}
