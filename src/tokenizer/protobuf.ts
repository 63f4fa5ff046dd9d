import { inputError } from '../io/errors.js'

/**
 * The protobuf wire format, as far as a SentencePiece model needs it.
 * Source: protobuf.dev/programming-guides/encoding. Groups (wire types 3 and 4)
 * are deprecated and appear in no such file; they are refused.
 */

/** The bytes being read, and what to call them in an error. */
export interface MessagePlace {
  readonly path: string
  /** The message being read: `ModelProto`, `pieces[17]`. */
  readonly message: string
}

interface FieldBase {
  readonly number: number
  /** The whole field as it stands in the file, its tag included. */
  readonly raw: Uint8Array
}

/** One field of a message. Fields nobody knows are kept as they are. */
export type ModelField =
  | (FieldBase & { readonly wire: 'varint'; readonly value: bigint })
  | (FieldBase & { readonly wire: 'fixed64'; readonly value: Uint8Array })
  | (FieldBase & { readonly wire: 'bytes'; readonly value: Uint8Array })
  | (FieldBase & { readonly wire: 'fixed32'; readonly value: Uint8Array })

interface Cursor {
  readonly bytes: Uint8Array
  offset: number
}

/** A u64 in groups of seven bits takes at most ten bytes. */
const maxVarintBytes = 10

/**
 * The most fields that a message is believed to have: eight times the pieces of any
 * published model. A field may have two bytes in a file, and takes some 200 in memory.
 */
export const maxFields = 2_000_000

/** The fields of a message, in the order of the file. */
export function readFields(bytes: Uint8Array, place: MessagePlace): ModelField[] {
  const cursor: Cursor = { bytes, offset: 0 }
  const fields: ModelField[] = []
  while (cursor.offset < bytes.length) {
    if (fields.length === maxFields) throw tooMany(place)
    fields.push(readField(cursor, place))
  }
  return fields
}

/** The error for more fields than a message is believed to have. */
export function tooMany(place: MessagePlace): Error {
  return malformed(place, undefined, `there are more than ${maxFields} fields`)
}

function readField(cursor: Cursor, place: MessagePlace): ModelField {
  const start = cursor.offset
  const tag = readVarint(cursor, place)
  // Field numbers have 29 bits, so a tag has 32 at most.
  if (tag >= 1n << 32n || tag >> 3n === 0n) {
    throw malformed(place, start, `the tag ${tag} names no field`)
  }
  const number = Number(tag >> 3n)
  const raw = () => cursor.bytes.subarray(start, cursor.offset)
  switch (Number(tag & 7n)) {
    case 0: {
      const value = readVarint(cursor, place)
      return { number, wire: 'varint', value, raw: raw() }
    }
    case 1: {
      const value = take(cursor, 8, place)
      return { number, wire: 'fixed64', value, raw: raw() }
    }
    case 2: {
      const length = readVarint(cursor, place)
      const value = take(cursor, length, place)
      return { number, wire: 'bytes', value, raw: raw() }
    }
    case 5: {
      const value = take(cursor, 4, place)
      return { number, wire: 'fixed32', value, raw: raw() }
    }
    default:
      throw malformed(place, start, `field ${number} has wire type ${tag & 7n}, which none has`)
  }
}

function readVarint(cursor: Cursor, place: MessagePlace): bigint {
  const start = cursor.offset
  // Nearly all take one byte; a model of 32,000 pieces has 200,000 of them.
  const first = cursor.bytes[start]
  if (first !== undefined && first < 0x80) {
    cursor.offset++
    return BigInt(first)
  }
  let value = 0n
  for (let i = 0; i < maxVarintBytes; i++) {
    const byte = cursor.bytes[cursor.offset]
    if (byte === undefined) {
      throw malformed(place, start, `a varint is cut off after ${i} bytes: the file is truncated`)
    }
    cursor.offset++
    value |= BigInt(byte & 0x7f) << BigInt(7 * i)
    if (byte < 0x80) {
      if (value >= 1n << 64n) throw malformed(place, start, `the varint ${value} exceeds 64 bits`)
      return value
    }
  }
  throw malformed(place, start, `a varint goes on after ${maxVarintBytes} bytes`)
}

function take(cursor: Cursor, length: number | bigint, place: MessagePlace): Uint8Array {
  const left = cursor.bytes.length - cursor.offset
  if (length > left) {
    throw malformed(
      place,
      cursor.offset,
      `${length} bytes are promised, ${left} are left: the file is truncated`,
    )
  }
  const end = cursor.offset + Number(length)
  const value = cursor.bytes.subarray(cursor.offset, end)
  cursor.offset = end
  return value
}

/** The error for bytes that are no such message. */
export function malformed(
  place: MessagePlace,
  offset: number | undefined,
  what: string,
  cause?: unknown,
): Error {
  const where = offset === undefined ? place.message : `${place.message}, byte ${offset}`
  return inputError(`${where}: ${what}`, {
    format: 'sentencepiece',
    path: place.path,
    cause,
    suggestions: ['Download the tokenizer.model again, or take it from the original release.'],
  })
}

// BOM kept: U+FEFF is a piece like any other.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A length-delimited field's bytes. */
export function asBytes(field: ModelField, place: MessagePlace): Uint8Array {
  if (field.wire !== 'bytes') throw wrongWire(field, 'bytes', place)
  return field.value
}

/** A length-delimited field as text. */
export function asText(field: ModelField, place: MessagePlace): string {
  const bytes = asBytes(field, place)
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    const hex = Array.from(bytes.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0'))
    throw malformed(place, undefined, `field ${field.number} is no UTF-8: ${hex.join(' ')}`, cause)
  }
}

/** A varint field as int32 (negative ones are sent as 64 bits). */
export function asInt32(field: ModelField, place: MessagePlace): number {
  if (field.wire !== 'varint') throw wrongWire(field, 'a varint', place)
  const value = BigInt.asIntN(64, field.value)
  if (value < -(1n << 31n) || value >= 1n << 31n) {
    throw malformed(place, undefined, `field ${field.number} is ${value}, which exceeds an int32`)
  }
  return Number(value)
}

/** A varint field as a truth value. */
export function asBoolean(field: ModelField, place: MessagePlace): boolean {
  if (field.wire !== 'varint') throw wrongWire(field, 'a varint', place)
  return field.value !== 0n
}

/** A 32-bit field as a float. */
export function asFloat(field: ModelField, place: MessagePlace): number {
  if (field.wire !== 'fixed32') throw wrongWire(field, '32 bits', place)
  const { buffer, byteOffset } = field.value
  return new DataView(buffer, byteOffset, 4).getFloat32(0, true)
}

function wrongWire(field: ModelField, expected: string, place: MessagePlace): Error {
  return malformed(
    place,
    undefined,
    `field ${field.number} is sent as ${field.wire}, where ${expected} should stand`,
  )
}

const encoder = new TextEncoder()

/** A varint field; negative numbers as the 64-bit two's complement, as protobuf has it. */
export function varintField(number: number, value: number | boolean): Uint8Array {
  const unsigned = BigInt.asUintN(64, BigInt(value))
  return concatenate([varint(BigInt(number) << 3n), varint(unsigned)])
}

/** A 32-bit float field. */
export function floatField(number: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setFloat32(0, value, true)
  return concatenate([varint((BigInt(number) << 3n) | 5n), bytes])
}

/** A length-delimited field: text, bytes or a message. */
export function bytesField(number: number, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === 'string' ? encoder.encode(value) : value
  return concatenate([varint((BigInt(number) << 3n) | 2n), varint(BigInt(bytes.length)), bytes])
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}

/** All parts one after another. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
