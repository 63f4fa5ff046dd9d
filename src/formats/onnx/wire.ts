import { inputError } from '../../io/errors.js'
import { type ByteSource, truncated } from '../../io/source.js'

/**
 * Walks a protobuf message in a file without reading what may be large: of each field its number
 * and, for one that has a length, where its bytes are. ONNX files hold gigabytes in single fields.
 */
export interface WireCursor {
  readonly source: ByteSource
  offset: number
  /** Bytes that were read ahead, and where they start. */
  window: Uint8Array
  windowStart: number
}

/** A field: a whole number, or a run of bytes (of a fixed 4 or 8, or as long as the field says). */
export type WireField =
  | { number: number; kind: 'varint'; value: bigint }
  | { number: number; kind: 'bytes' | 'fixed'; offset: number; length: number }

/** Nodes have some 200 bytes each and come in thousands. */
const readAhead = 64 * 1024

const maxVarint = 10

export function wireCursor(source: ByteSource, offset = 0): WireCursor {
  return { source, offset, window: new Uint8Array(0), windowStart: 0 }
}

/**
 * Reads the next field's head and moves behind the field.
 * @param end of the message, which no field may reach beyond
 * @throws input error for what is no protobuf
 */
export async function nextField(cursor: WireCursor, end: number): Promise<WireField> {
  const start = cursor.offset
  const tag = Number(await readVarint(cursor, end))
  const number = Math.floor(tag / 8)
  if (number === 0) throw malformed(cursor, `a field of number 0 is at byte ${start}`)
  switch (tag % 8) {
    case 0:
      return { number, kind: 'varint', value: await readVarint(cursor, end) }
    case 1:
      return skip(cursor, number, 'fixed', 8n, end)
    case 2:
      return skip(cursor, number, 'bytes', await readVarint(cursor, end), end)
    case 5:
      return skip(cursor, number, 'fixed', 4n, end)
    default:
      throw malformed(cursor, `a field of wire type ${tag % 8} is at byte ${start}`)
  }
}

/** Reads the bytes of a field that is known to be small. */
export async function readField(
  cursor: WireCursor,
  { offset, length }: { offset: number; length: number },
  most: number,
  what: string,
): Promise<Uint8Array> {
  if (length > most) {
    throw malformed(cursor, `${what} has ${length} bytes, more than the ${most} it may have`)
  }
  return windowed(cursor, offset, length)
}

/** The whole numbers of a packed repeated field. */
export function packedVarints(bytes: Uint8Array): bigint[] {
  const values: bigint[] = []
  let value = 0n
  let shift = 0n
  for (const byte of bytes) {
    value |= BigInt(byte & 0x7f) << shift
    shift += 7n
    if (byte < 0x80) {
      values.push(value)
      value = 0n
      shift = 0n
    }
  }
  return values
}

function skip(
  cursor: WireCursor,
  number: number,
  kind: 'bytes' | 'fixed',
  claimed: bigint,
  end: number,
): WireField {
  const offset = cursor.offset
  if (claimed > BigInt(end - offset)) {
    // Beyond the whole file it is a matter of truncation, within it one of structure.
    if (claimed > BigInt(cursor.source.size - offset) && claimed <= Number.MAX_SAFE_INTEGER) {
      throw truncated(cursor.source.path, offset, Number(claimed), cursor.source.size)
    }
    throw malformed(
      cursor,
      `field ${number} at byte ${offset} claims ${claimed} bytes, ${end - offset} are left`,
    )
  }
  const length = Number(claimed)
  cursor.offset = offset + length
  return { number, kind, offset, length }
}

async function readVarint(cursor: WireCursor, end: number): Promise<bigint> {
  let value = 0n
  for (let i = 0; i < maxVarint; i++) {
    if (cursor.offset >= end) throw malformed(cursor, `a number is cut off at byte ${end}`)
    const [byte = 0] = await windowed(cursor, cursor.offset, 1)
    cursor.offset++
    value |= BigInt(byte & 0x7f) << BigInt(7 * i)
    if (byte < 0x80) return BigInt.asUintN(64, value)
  }
  throw malformed(cursor, `a number at byte ${cursor.offset - maxVarint} does not end`)
}

async function windowed(cursor: WireCursor, offset: number, length: number): Promise<Uint8Array> {
  const { source, windowStart } = cursor
  const within = offset >= windowStart && offset + length <= windowStart + cursor.window.length
  if (!within) {
    const wanted = Math.max(length, Math.min(readAhead, source.size - offset))
    cursor.window = await source.read(offset, wanted)
    cursor.windowStart = offset
  }
  const from = offset - cursor.windowStart
  return cursor.window.subarray(from, from + length)
}

function malformed({ source }: WireCursor, what: string): Error {
  return inputError(`${what}: it is no ONNX file, or it is damaged`, {
    format: 'onnx',
    path: source.path,
  })
}
