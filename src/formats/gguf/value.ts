import type { BigType, MetadataValue, NumberType } from '../../checkpoint/metadata.js'
import { inputError } from '../../io/errors.js'
import {
  checkCount,
  checkItems,
  type GgufCursor,
  readCount,
  readGgufText,
  readUint32,
  take,
} from './cursor.js'

/** GGUF's value types, by the numbers that files have for them. */
const valueTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const
type ValueType = (typeof valueTypes)[number]

function numberOf(type: string): number {
  const number = valueTypes.map(String).indexOf(type)
  if (number === -1) throw new Error(`GGUF has no values of type ${type}`)
  return number
}

/** The types that a value outside of arrays can have, by GGUF's names. */
export const scalarTypes: readonly Exclude<ValueType, 'array'>[] = valueTypes.filter(
  (type) => type !== 'array',
)

interface Codec<T> {
  bytes: number
  /** What holds many of them, in no more bytes than the file does. */
  array(count: number): { [index: number]: T; readonly length: number }
  read(view: DataView, at: number, littleEndian: boolean): T
  write(view: DataView, at: number, value: T): void
  /** Whether the type holds the value; floats round. */
  holds(value: T): boolean
}

const numbers: Record<NumberType, Codec<number>> = {
  uint8: integer(Uint8Array, 0, 0xff, 'getUint8', 'setUint8'),
  int8: integer(Int8Array, -0x80, 0x7f, 'getInt8', 'setInt8'),
  uint16: integer(Uint16Array, 0, 0xffff, 'getUint16', 'setUint16'),
  int16: integer(Int16Array, -0x8000, 0x7fff, 'getInt16', 'setInt16'),
  uint32: integer(Uint32Array, 0, 0xffffffff, 'getUint32', 'setUint32'),
  int32: integer(Int32Array, -0x80000000, 0x7fffffff, 'getInt32', 'setInt32'),
  float32: {
    bytes: 4,
    array: (count) => new Float32Array(count),
    read: (view, at, little) => view.getFloat32(at, little),
    write: (view, at, value) => view.setFloat32(at, value, true),
    holds: (value) => !Number.isFinite(value) || Number.isFinite(Math.fround(value)),
  },
  float64: {
    bytes: 8,
    array: (count) => new Float64Array(count),
    read: (view, at, little) => view.getFloat64(at, little),
    write: (view, at, value) => view.setFloat64(at, value, true),
    holds: () => true,
  },
}

const bigs: Record<BigType, Codec<bigint>> = {
  uint64: {
    bytes: 8,
    array: (count) => new BigUint64Array(count),
    read: (view, at, little) => view.getBigUint64(at, little),
    write: (view, at, value) => view.setBigUint64(at, value, true),
    holds: (value) => BigInt.asUintN(64, value) === value,
  },
  int64: {
    bytes: 8,
    array: (count) => new BigInt64Array(count),
    read: (view, at, little) => view.getBigInt64(at, little),
    write: (view, at, value) => view.setBigInt64(at, value, true),
    holds: (value) => BigInt.asIntN(64, value) === value,
  },
}

type IntegerArrays =
  | Uint8ArrayConstructor
  | Int8ArrayConstructor
  | Uint16ArrayConstructor
  | Int16ArrayConstructor
  | Uint32ArrayConstructor
  | Int32ArrayConstructor

function integer(
  Many: IntegerArrays,
  least: number,
  most: number,
  get: 'getUint8' | 'getInt8' | 'getUint16' | 'getInt16' | 'getUint32' | 'getInt32',
  set: 'setUint8' | 'setInt8' | 'setUint16' | 'setInt16' | 'setUint32' | 'setInt32',
): Codec<number> {
  return {
    bytes: Many.BYTES_PER_ELEMENT,
    array: (count) => new Many(count),
    read: (view, at, little) => view[get](at, little),
    write: (view, at, value) => view[set](at, value, true),
    holds: (value) => Number.isInteger(value) && value >= least && value <= most,
  }
}

export function isNumberType(type: string): type is NumberType {
  return type in numbers
}

export function isBigType(type: string): type is BigType {
  return type in bigs
}

/** Whether a numeric type holds a value exactly, or, for floats, rounded. */
export function holdsNumber(type: NumberType, value: number): boolean {
  return numbers[type].holds(value)
}

export function holdsBig(type: BigType, value: bigint): boolean {
  return bigs[type].holds(value)
}

/**
 * Reads a value with its type.
 * @param key it belongs to, for errors
 * @returns undefined where the cursor's window ends before the value does
 */
export function readValue(cursor: GgufCursor, key: string): MetadataValue | undefined {
  const type = readType(cursor, `the type of "${key}"`)
  if (type === undefined) return undefined
  if (type === 'array') return readArray(cursor, key)
  const what = `the value of "${key}"`
  if (type === 'string') return found(type, readGgufText(cursor, what))
  if (type === 'bool') return found(type, readBool(cursor, what))
  if (isBigType(type)) return found(type, readPlain(cursor, bigs[type], what))
  return found(type, readPlain(cursor, numbers[type], what))
}

function readArray(cursor: GgufCursor, key: string): MetadataValue | undefined {
  const type = readType(cursor, `the element type of "${key}"`)
  if (type === undefined) return undefined
  const count = readCount(cursor, `the length of "${key}"`)
  if (count === undefined) return undefined
  const what = `elements of "${key}"`
  if (type === 'array') {
    throw inputError(`"${key}" is an array of arrays, which llama.cpp does not read either`, {
      format: 'gguf',
      path: cursor.path,
    })
  }
  if (type === 'string') {
    checkCount(cursor, count, 8, what)
    checkItems(cursor, count, what)
    return found(
      'string[]',
      readMany(count, () => readGgufText(cursor, `an element of "${key}"`)),
    )
  }
  if (type === 'bool') {
    checkCount(cursor, count, 1, what)
    checkItems(cursor, count, what)
    return found(
      'bool[]',
      readMany(count, () => readBool(cursor, `an element of "${key}"`)),
    )
  }
  if (isBigType(type)) return found(`${type}[]`, readPlains(cursor, bigs[type], count, what))
  return found(`${type}[]`, readPlains(cursor, numbers[type], count, what))
}

/** The value with its type, or nothing where there was nothing. */
function found<Type extends string, Value>(
  type: Type,
  value: Value | undefined,
): { type: Type; value: Value } | undefined {
  return value === undefined ? undefined : { type, value }
}

function readType(cursor: GgufCursor, what: string): ValueType | undefined {
  const start = cursor.offset
  const number = readUint32(cursor, what)
  if (number === undefined) return undefined
  const type = valueTypes[number]
  if (type === undefined) {
    throw inputError(
      `${what} at byte ${start} is ${number}; there are 0 to ${valueTypes.length - 1}`,
      {
        format: 'gguf',
        path: cursor.path,
        suggestions: ['The header is damaged; download or write the file again.'],
      },
    )
  }
  return type
}

function readPlain<T>(cursor: GgufCursor, codec: Codec<T>, what: string): T | undefined {
  const at = take(cursor, codec.bytes, what)
  return at === undefined ? undefined : codec.read(cursor.view, at, cursor.littleEndian)
}

function readPlains<T>(
  cursor: GgufCursor,
  codec: Codec<T>,
  count: number,
  what: string,
): ArrayLike<T> | undefined {
  checkCount(cursor, count, codec.bytes, what)
  const start = take(cursor, count * codec.bytes, what)
  if (start === undefined) return undefined
  const values = codec.array(count)
  for (let i = 0; i < count; i++) {
    values[i] = codec.read(cursor.view, start + i * codec.bytes, cursor.littleEndian)
  }
  return values
}

function readMany<T>(count: number, read: () => T | undefined): T[] | undefined {
  const all: T[] = []
  for (let i = 0; i < count; i++) {
    const value = read()
    if (value === undefined) return undefined
    all.push(value)
  }
  return all
}

function readBool(cursor: GgufCursor, what: string): boolean | undefined {
  const at = take(cursor, 1, what)
  if (at === undefined) return undefined
  const byte = cursor.view.getUint8(at)
  if (byte > 1) {
    throw inputError(`${what} at byte ${at} is ${byte}, a boolean is 0 or 1`, {
      format: 'gguf',
      path: cursor.path,
    })
  }
  return byte === 1
}

/**
 * The bytes of a value, little-endian: its type, and for arrays the elements' and how many.
 * @param key it belongs to, for errors
 */
export function encodeValue(entry: MetadataValue, key: string): Uint8Array[] {
  const { type, value } = entry
  if (Array.isArray(value) || typeof value === 'object') return encodeArray(entry, key)
  const head = uint32Bytes(numberOf(type))
  if (typeof value === 'string') return [head, textBytes(value)]
  if (typeof value === 'boolean') return [head, Uint8Array.of(value ? 1 : 0)]
  if (typeof value === 'bigint') {
    if (!isBigType(type)) throw new Error(`no ${type} is a bigint`)
    return [head, plainBytes(bigs[type], [value], key)]
  }
  if (!isNumberType(type)) throw new Error(`no ${type} is a number`)
  return [head, plainBytes(numbers[type], [value], key)]
}

function encodeArray(entry: MetadataValue, key: string): Uint8Array[] {
  const type = entry.type.slice(0, -2)
  const head = (count: number) => {
    const bytes = new Uint8Array(16)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, numberOf('array'), true)
    view.setUint32(4, numberOf(type), true)
    view.setBigUint64(8, BigInt(count), true)
    return bytes
  }
  if (entry.type === 'string[]') return [head(entry.value.length), ...entry.value.map(textBytes)]
  if (entry.type === 'bool[]') {
    return [head(entry.value.length), Uint8Array.from(entry.value, (flag) => (flag ? 1 : 0))]
  }
  if (entry.type === 'uint64[]' || entry.type === 'int64[]') {
    const codec = entry.type === 'uint64[]' ? bigs.uint64 : bigs.int64
    return [head(entry.value.length), plainBytes(codec, entry.value, key)]
  }
  if (!isNumberType(type) || !isNumbers(entry)) throw new Error(`no array of ${type}`)
  return [head(entry.value.length), plainBytes(numbers[type], entry.value, key)]
}

type NumberArray = Extract<MetadataValue, { type: `${NumberType}[]` }>

function isNumbers(entry: MetadataValue): entry is NumberArray {
  return entry.type.endsWith('[]') && isNumberType(entry.type.slice(0, -2))
}

function plainBytes<T>(codec: Codec<T>, values: ArrayLike<T>, key: string): Uint8Array {
  const bytes = new Uint8Array(values.length * codec.bytes)
  const view = new DataView(bytes.buffer)
  Array.from(values).forEach((value, i) => {
    if (!codec.holds(value)) {
      throw inputError(`${key} would be ${value}, which its type in the metadata does not hold`, {
        format: 'gguf',
      })
    }
    codec.write(view, i * codec.bytes, value)
  })
  return bytes
}

function uint32Bytes(value: number): Uint8Array {
  return plainBytes(numbers.uint32, [value], 'the header')
}

const encoder = new TextEncoder()

/** A u64 length and the text in UTF-8. */
export function textBytes(text: string): Uint8Array {
  const encoded = encoder.encode(text)
  const bytes = new Uint8Array(8 + encoded.length)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(encoded.length), true)
  bytes.set(encoded, 8)
  return bytes
}
