import { inputError } from '../../io/errors.js'

/**
 * Python's pickle as a sequence of opcodes, protocols 0 to 5 (pickletools.py
 * documents each). This file knows how long an opcode's argument is and what
 * value it spells; pickle.ts knows what the opcodes do.
 */

/** Where in a pickle reading stands. */
export interface PickleCursor {
  readonly bytes: Uint8Array
  offset: number
  readonly where: { format: string; path: string }
}

export type Literal = null | boolean | number | bigint | string | Uint8Array

export interface Opcode {
  name: string
  /** What its argument spells; null where it has none. */
  argument: Literal
}

type Argument =
  | 'none'
  /** Numbers, little-endian. */
  | 'u8'
  | 'u16'
  | 'u32'
  | 'i32'
  | 'u64'
  | 'f64-big'
  /** Text up to a newline, as a number, as a string, or two such lines that name a global. */
  | 'line-int'
  | 'line-long'
  | 'line-float'
  | 'line-string'
  | 'line'
  | 'global'
  /** A length of so many bytes, then that many bytes. */
  | `${'text' | 'latin' | 'bytes' | 'long'}-${1 | 4 | 8}`

/** By their bytes: what a program calls them, and their arguments. */
const opcodes: ReadonlyMap<number, readonly [name: string, argument: Argument]> = new Map(
  (
    [
      ['(', 'MARK', 'none'],
      ['.', 'STOP', 'none'],
      ['0', 'POP', 'none'],
      ['1', 'POP_MARK', 'none'],
      ['2', 'DUP', 'none'],
      ['F', 'FLOAT', 'line-float'],
      ['I', 'INT', 'line-int'],
      ['J', 'BININT', 'i32'],
      ['K', 'BININT1', 'u8'],
      ['L', 'LONG', 'line-long'],
      ['M', 'BININT2', 'u16'],
      ['N', 'NONE', 'none'],
      ['P', 'PERSID', 'line'],
      ['Q', 'BINPERSID', 'none'],
      ['R', 'REDUCE', 'none'],
      ['S', 'STRING', 'line-string'],
      ['T', 'BINSTRING', 'latin-4'],
      ['U', 'SHORT_BINSTRING', 'latin-1'],
      ['V', 'UNICODE', 'line'],
      ['X', 'BINUNICODE', 'text-4'],
      ['a', 'APPEND', 'none'],
      ['b', 'BUILD', 'none'],
      ['c', 'GLOBAL', 'global'],
      ['d', 'DICT', 'none'],
      ['}', 'EMPTY_DICT', 'none'],
      ['e', 'APPENDS', 'none'],
      ['g', 'GET', 'line-int'],
      ['h', 'BINGET', 'u8'],
      ['i', 'INST', 'global'],
      ['j', 'LONG_BINGET', 'u32'],
      ['l', 'LIST', 'none'],
      [']', 'EMPTY_LIST', 'none'],
      ['o', 'OBJ', 'none'],
      ['p', 'PUT', 'line-int'],
      ['q', 'BINPUT', 'u8'],
      ['r', 'LONG_BINPUT', 'u32'],
      ['s', 'SETITEM', 'none'],
      ['t', 'TUPLE', 'none'],
      [')', 'EMPTY_TUPLE', 'none'],
      ['u', 'SETITEMS', 'none'],
      ['G', 'BINFLOAT', 'f64-big'],
      ['B', 'BINBYTES', 'bytes-4'],
      ['C', 'SHORT_BINBYTES', 'bytes-1'],
      ['\x80', 'PROTO', 'u8'],
      ['\x81', 'NEWOBJ', 'none'],
      ['\x82', 'EXT1', 'u8'],
      ['\x83', 'EXT2', 'u16'],
      ['\x84', 'EXT4', 'i32'],
      ['\x85', 'TUPLE1', 'none'],
      ['\x86', 'TUPLE2', 'none'],
      ['\x87', 'TUPLE3', 'none'],
      ['\x88', 'NEWTRUE', 'none'],
      ['\x89', 'NEWFALSE', 'none'],
      ['\x8a', 'LONG1', 'long-1'],
      ['\x8b', 'LONG4', 'long-4'],
      ['\x8c', 'SHORT_BINUNICODE', 'text-1'],
      ['\x8d', 'BINUNICODE8', 'text-8'],
      ['\x8e', 'BINBYTES8', 'bytes-8'],
      ['\x8f', 'EMPTY_SET', 'none'],
      ['\x90', 'ADDITEMS', 'none'],
      ['\x91', 'FROZENSET', 'none'],
      ['\x92', 'NEWOBJ_EX', 'none'],
      ['\x93', 'STACK_GLOBAL', 'none'],
      ['\x94', 'MEMOIZE', 'none'],
      ['\x95', 'FRAME', 'u64'],
      ['\x96', 'BYTEARRAY8', 'bytes-8'],
      ['\x97', 'NEXT_BUFFER', 'none'],
      ['\x98', 'READONLY_BUFFER', 'none'],
    ] as const
  ).map(([byte, name, argument]) => [byte.charCodeAt(0), [name, argument]]),
)

/** Integers in a checkpoint are sizes and offsets; the longest is torch's magic number, of 10 bytes. */
const maxIntegerBytes = 64

/** Bytes of a name or a number that is spelled in a line of text. */
const maxLine = 4096

/**
 * Reads the opcode at the cursor and moves past it.
 * @returns undefined where the bytes end before the opcode does; the cursor stays
 */
export function readOpcode(cursor: PickleCursor): Opcode | undefined {
  const { bytes, offset, where } = cursor
  const byte = bytes[offset]
  if (byte === undefined) return undefined
  const known = opcodes.get(byte)
  if (known === undefined) {
    throw inputError(
      `byte ${offset} of its pickle is 0x${byte.toString(16).padStart(2, '0')}, which is no opcode`,
      where,
    )
  }
  const [name, kind] = known
  const found = readArgument(cursor, kind, offset + 1)
  if (found === undefined) return undefined
  cursor.offset = found.end
  return { name, argument: found.argument }
}

/**
 * Where a pickle ends, just after its STOP.
 * @returns undefined where the bytes end before it; the cursor stands where to go on
 */
export function endOfPickle(cursor: PickleCursor): number | undefined {
  for (;;) {
    const opcode = readOpcode(cursor)
    if (opcode === undefined) return undefined
    if (opcode.name === 'STOP') return cursor.offset
  }
}

/** Whether a file that starts so may be a pickle of protocol 2 or later: PROTO and the version. */
export function startsPickle(head: Uint8Array): boolean {
  return head[0] === 0x80 && head[1] !== undefined && head[1] >= 2 && head[1] <= 5
}

/**
 * Whether a file that starts so may be a pickle of protocol 0 or 1, which have no mark: a global,
 * an empty container, or a mark that one follows. Much else starts so; the name must speak for it.
 */
export function startsTextPickle(head: Uint8Array): boolean {
  return head.length > 2 && '(c]})'.includes(String.fromCharCode(head[0] ?? 0))
}

interface Found {
  argument: Literal
  end: number
}

function readArgument(cursor: PickleCursor, kind: Argument, start: number): Found | undefined {
  const { bytes } = cursor
  if (kind === 'none') return { argument: null, end: start }
  if (kind.startsWith('line') || kind === 'global') return readText(cursor, kind, start)
  const [type, size] = lengthOf(kind)
  const end = start + size
  if (end > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, size)
  const number = type === 'f64' ? view.getFloat64(0) : readNumber(view, type === 'i32')
  if (type !== 'text' && type !== 'latin' && type !== 'bytes' && type !== 'long') {
    return { argument: number, end }
  }
  const length = Number(number)
  if (type === 'long' && length > maxIntegerBytes) {
    throw inputError(
      `byte ${start} of its pickle begins an integer of ${length} bytes, at most ${maxIntegerBytes} are allowed`,
      cursor.where,
    )
  }
  // A length beyond 2^53 is beyond any file too, and compares so.
  if (length > bytes.length - end) return undefined
  const payload = bytes.subarray(end, end + length)
  return { argument: spell(type, payload), end: end + length }
}

/** What an argument of this kind starts with: a number, or a length, of so many bytes. */
function lengthOf(kind: Argument): [type: string, size: number] {
  const [type = '', size] = kind.split('-')
  if (kind === 'f64-big') return ['f64', 8]
  if (size !== undefined) return [type, Number(size)]
  return [type, Number(type.slice(1)) / 8]
}

function readNumber(view: DataView, signed: boolean): number | bigint {
  switch (view.byteLength) {
    case 1:
      return view.getUint8(0)
    case 2:
      return view.getUint16(0, true)
    case 4:
      return signed ? view.getInt32(0, true) : view.getUint32(0, true)
    default:
      return view.getBigUint64(0, true)
  }
}

function spell(type: 'text' | 'latin' | 'bytes' | 'long', payload: Uint8Array): Literal {
  switch (type) {
    case 'text':
      return new TextDecoder().decode(payload)
    case 'latin':
      return Buffer.from(payload).toString('latin1')
    case 'bytes':
      return payload
    case 'long':
      return signedInteger(payload)
  }
}

/** Little-endian two's complement, a number where it is a safe one. */
function signedInteger(payload: Uint8Array): number | bigint {
  let value = 0n
  for (const byte of [...payload].reverse()) value = (value << 8n) | BigInt(byte)
  return narrow(BigInt.asIntN(payload.length * 8, value))
}

function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value
}

function readText(cursor: PickleCursor, kind: Argument, start: number): Found | undefined {
  const first = readLine(cursor, start)
  if (first === undefined) return undefined
  if (kind !== 'global') {
    return { argument: parseLine(cursor, kind, first.line, start), end: first.end }
  }
  const second = readLine(cursor, first.end)
  return second && { argument: `${first.line}.${second.line}`, end: second.end }
}

function readLine(cursor: PickleCursor, start: number): { line: string; end: number } | undefined {
  const newline = cursor.bytes.indexOf(0x0a, start)
  const end = newline < 0 ? cursor.bytes.length : newline
  if (end - start > maxLine) {
    throw inputError(
      `byte ${start} of its pickle begins a line of more than ${maxLine} bytes`,
      cursor.where,
    )
  }
  if (newline < 0) return undefined
  return { line: new TextDecoder().decode(cursor.bytes.subarray(start, end)), end: end + 1 }
}

function parseLine(cursor: PickleCursor, kind: Argument, line: string, start: number): Literal {
  // Protocol 0's way of spelling false and true.
  if (kind === 'line-int' && line === '00') return false
  if (kind === 'line-int' && line === '01') return true
  if (kind === 'line') return line
  const integer = /^[+-]?\d{1,150}(?=L?$)/.exec(line)?.[0]
  if (kind !== 'line-float' && kind !== 'line-string' && integer) return narrow(BigInt(integer))
  if (kind === 'line-float' && line !== '' && !Number.isNaN(Number(line))) return Number(line)
  const quoted = /^(['"])([^\\]*)\1$/.exec(line)?.[2]
  if (kind === 'line-string' && quoted !== undefined) return quoted
  throw inputError(`byte ${start} of its pickle begins a line that spells no value`, cursor.where)
}
