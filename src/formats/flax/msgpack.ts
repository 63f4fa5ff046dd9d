import { inputError } from '../../io/errors.js'
import type { ByteSource } from '../../io/source.js'

/**
 * Walks msgpack without reading payloads: the head of each value is parsed,
 * what it announces can be read or skipped. Lengths are checked against the
 * file before they are believed.
 */
export interface MsgpackCursor {
  readonly source: ByteSource
  readonly format: string
  /** Of the next value's head. */
  offset: number
  /** Bytes that were read ahead, and where they start. */
  window: Uint8Array
  windowStart: number
}

/** The head of a value; for strings, binaries and extensions the payload follows it. */
export type MsgpackHead =
  | { type: 'nil' }
  | { type: 'boolean'; value: boolean }
  | { type: 'number'; value: number }
  | { type: 'string'; length: number }
  | { type: 'binary'; length: number }
  | { type: 'array'; length: number }
  | { type: 'map'; length: number }
  | { type: 'extension'; code: number; length: number }

/** A record's key and header take some 150 bytes: one small read finds both. */
const readAhead = 256

/** Names and keys longer than this are no names. */
const maxText = 4096

/** Maps within maps, as deep as any checkpoint nests them and then some. */
const maxDepth = 32

export function msgpackCursor(source: ByteSource, format: string, offset = 0): MsgpackCursor {
  return { source, format, offset, window: new Uint8Array(0), windowStart: 0 }
}

/**
 * Reads the head of the next value and moves behind it.
 * @param what is being read, for the error of a file that ends there
 */
export async function readHead(cursor: MsgpackCursor, what: string): Promise<MsgpackHead> {
  const start = cursor.offset
  const byte = (await take(cursor, 1, what)).getUint8(0)
  if (byte <= 0x7f) return { type: 'number', value: byte }
  if (byte <= 0x8f) return { type: 'map', length: byte & 0x0f }
  if (byte <= 0x9f) return { type: 'array', length: byte & 0x0f }
  if (byte <= 0xbf) return { type: 'string', length: byte & 0x1f }
  if (byte >= 0xe0) return { type: 'number', value: byte - 0x100 }
  const unsigned = async (bytes: 1 | 2 | 4): Promise<number> => {
    const view = await take(cursor, bytes, what)
    return bytes === 1 ? view.getUint8(0) : bytes === 2 ? view.getUint16(0) : view.getUint32(0)
  }
  const extension = async (length: number): Promise<MsgpackHead> => ({
    type: 'extension',
    code: (await take(cursor, 1, what)).getInt8(0),
    length,
  })
  switch (byte) {
    case 0xc0:
      return { type: 'nil' }
    case 0xc2:
    case 0xc3:
      return { type: 'boolean', value: byte === 0xc3 }
    case 0xc4:
      return { type: 'binary', length: await unsigned(1) }
    case 0xc5:
      return { type: 'binary', length: await unsigned(2) }
    case 0xc6:
      return { type: 'binary', length: await unsigned(4) }
    case 0xc7:
      return extension(await unsigned(1))
    case 0xc8:
      return extension(await unsigned(2))
    case 0xc9:
      return extension(await unsigned(4))
    case 0xca:
      return { type: 'number', value: (await take(cursor, 4, what)).getFloat32(0) }
    case 0xcb:
      return { type: 'number', value: (await take(cursor, 8, what)).getFloat64(0) }
    case 0xcc:
      return { type: 'number', value: await unsigned(1) }
    case 0xcd:
      return { type: 'number', value: await unsigned(2) }
    case 0xce:
      return { type: 'number', value: await unsigned(4) }
    case 0xcf:
      return { type: 'number', value: Number((await take(cursor, 8, what)).getBigUint64(0)) }
    case 0xd0:
      return { type: 'number', value: (await take(cursor, 1, what)).getInt8(0) }
    case 0xd1:
      return { type: 'number', value: (await take(cursor, 2, what)).getInt16(0) }
    case 0xd2:
      return { type: 'number', value: (await take(cursor, 4, what)).getInt32(0) }
    case 0xd3:
      return { type: 'number', value: Number((await take(cursor, 8, what)).getBigInt64(0)) }
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return extension(2 ** (byte - 0xd4))
    case 0xd9:
      return { type: 'string', length: await unsigned(1) }
    case 0xda:
      return { type: 'string', length: await unsigned(2) }
    case 0xdb:
      return { type: 'string', length: await unsigned(4) }
    case 0xdc:
      return { type: 'array', length: await unsigned(2) }
    case 0xdd:
      return { type: 'array', length: await unsigned(4) }
    case 0xde:
      return { type: 'map', length: await unsigned(2) }
    case 0xdf:
      return { type: 'map', length: await unsigned(4) }
    default:
      throw unexpected(
        cursor,
        start,
        what,
        `the byte 0x${byte.toString(16)}, which msgpack never uses`,
      )
  }
}

/** Reads a head of the given type, or fails saying what is there instead. */
export async function expectHead<T extends MsgpackHead['type']>(
  cursor: MsgpackCursor,
  type: T,
  what: string,
): Promise<Extract<MsgpackHead, { type: T }>> {
  const start = cursor.offset
  const head = await readHead(cursor, what)
  if (isOfType(head, type)) return head
  throw unexpected(cursor, start, what, `a msgpack ${head.type}`)
}

/** Reads a short string: head and text. */
export async function readText(cursor: MsgpackCursor, what: string): Promise<string> {
  const { length } = await expectHead(cursor, 'string', what)
  const start = cursor.offset
  if (length > maxText) {
    throw unexpected(
      cursor,
      start,
      what,
      `a string of ${length} bytes, at most ${maxText} are believed`,
    )
  }
  const view = await take(cursor, length, what)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(view)
  } catch (cause) {
    throw inputError(`${what} at byte ${start} is not valid UTF-8`, { ...place(cursor), cause })
  }
}

/** Moves behind `length` bytes of payload without reading them. */
export function skipBytes(cursor: MsgpackCursor, length: number, what: string): void {
  const end = cursor.offset + length
  if (end > cursor.source.size) throw cut(cursor, cursor.offset, length, what)
  cursor.offset = end
}

/** Moves behind the next value, whatever it is; payloads are not read. */
export async function skipValue(cursor: MsgpackCursor, what: string, depth = 0): Promise<void> {
  if (depth > maxDepth) {
    throw inputError(`${what} nests more than ${maxDepth} levels deep`, place(cursor))
  }
  const head = await readHead(cursor, what)
  if (head.type === 'array' || head.type === 'map') {
    const values = head.type === 'map' ? head.length * 2 : head.length
    for (let i = 0; i < values; i++) await skipValue(cursor, what, depth + 1)
  } else if ('length' in head) {
    skipBytes(cursor, head.length, what)
  }
}

/** Whether all of the file has been walked. */
export function atEnd(cursor: MsgpackCursor): boolean {
  return cursor.offset >= cursor.source.size
}

export function unexpected(
  cursor: MsgpackCursor,
  offset: number,
  what: string,
  found: string,
): Error {
  return inputError(`${what} is expected at byte ${offset}, there is ${found}`, place(cursor))
}

function place(cursor: MsgpackCursor): { format: string; path: string } {
  return { format: cursor.format, path: cursor.source.path }
}

function isOfType<T extends MsgpackHead['type']>(
  head: MsgpackHead,
  type: T,
): head is Extract<MsgpackHead, { type: T }> {
  return head.type === type
}

/** The next `length` bytes, which are few; reads ahead where they are not there yet. */
async function take(cursor: MsgpackCursor, length: number, what: string): Promise<DataView> {
  const { source, offset } = cursor
  if (offset + length > source.size) throw cut(cursor, offset, length, what)
  const from = offset - cursor.windowStart
  if (from < 0 || from + length > cursor.window.length) {
    cursor.window = await source.read(
      offset,
      Math.min(Math.max(length, readAhead), source.size - offset),
    )
    cursor.windowStart = offset
  }
  cursor.offset += length
  const { window, windowStart } = cursor
  return new DataView(window.buffer, window.byteOffset + offset - windowStart, length)
}

function cut(cursor: MsgpackCursor, offset: number, length: number, what: string): Error {
  return inputError(
    `the file ends at byte ${cursor.source.size}, inside ${what}: ${length} bytes are expected at byte ${offset}`,
    { ...place(cursor), suggestions: ['It is truncated; download or write it again.'] },
  )
}
