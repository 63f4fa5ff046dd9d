import { crc32 } from 'node:zlib'
import { inputError } from '../../io/errors.js'
import type { ByteSource } from '../../io/source.js'
import { findDirectory, in64, signatures, sizes, viewOf, type Where } from './zip-records.js'

/**
 * A zip archive of stored entries, as torch.save writes it: read from its
 * central directory, and held against every local header. What a zip reader
 * may overlook (two headers that disagree, entries that overlap) is refused
 * here, so that no other program can see another checkpoint in the same file.
 */

/** An entry, located. */
export interface ZipEntry {
  name: string
  /** Of its first byte in the file. */
  offset: number
  size: number
  /** Undefined where the archive was written without any: torch can be told to. */
  crc32: number | undefined
}

/** A directory entry before its local header has been looked at. */
interface DirectoryEntry {
  name: string
  flags: number
  crc32: number
  size: number
  /** Of its local header. */
  header: number
}

/** Sizes and CRC-32 follow the data, and the local header may leave them zero. */
const descriptorFlag = 0x0008
const encryptedFlag = 0x0001

/** Whether a file that starts so is a zip archive with something in it. */
export function startsZip(head: Uint8Array): boolean {
  return head.length >= 4 && viewOf(head).getUint32(0, true) === signatures.local
}

/**
 * Lists the entries of an archive, in the order of the file.
 * @throws input error for whatever is malformed, compressed, overlapping or beyond the file
 */
export async function readZip(source: ByteSource, format: string): Promise<ZipEntry[]> {
  const where = { format, path: source.path }
  const directory = await findDirectory(source, where)
  const bytes = await source.read(directory.offset, directory.length)
  const listed = parseDirectory(bytes, directory.entries, where)
  listed.sort((a, b) => a.header - b.header)
  const entries: ZipEntry[] = []
  let end = 0
  for (const entry of listed) {
    const what = `the entry "${entry.name}"`
    if (entry.header < end) {
      throw inputError(
        `${what} begins at byte ${entry.header}, the one before it ends at ${end}: they overlap`,
        where,
      )
    }
    const head = parseLocalHeader(
      await readWithin(source, entry.header, sizes.local, directory.offset, what, where),
      what,
      where,
    )
    const offset = entry.header + sizes.local + head.nameLength + head.extraLength
    const rest = await readWithin(
      source,
      entry.header + sizes.local,
      head.nameLength + head.extraLength,
      directory.offset,
      what,
      where,
    )
    compareHeaders(entry, head, rest, where)
    end = offset + entry.size
    if (end > directory.offset) {
      throw inputError(
        `${what} would end at byte ${end}, the directory of the archive begins at ${directory.offset}`,
        where,
      )
    }
    entries.push({ name: entry.name, offset, size: entry.size, crc32: entry.crc32 })
  }
  const summed = entries.some(({ crc32 }) => crc32 !== 0)
  return summed ? entries : entries.map((entry) => ({ ...entry, crc32: undefined }))
}

/**
 * The bytes of an entry, checked.
 * @param limit above which the entry is not believed to be what it is read as
 */
export async function readEntry(
  source: ByteSource,
  entry: ZipEntry,
  limit: number,
  format: string,
): Promise<Uint8Array> {
  const where = { format, path: source.path }
  if (entry.size > limit) {
    throw inputError(
      `the entry "${entry.name}" has ${entry.size} bytes, at most ${limit} are allowed`,
      where,
    )
  }
  const bytes = await source.read(entry.offset, entry.size)
  const sum = crc32(bytes)
  if (entry.crc32 !== undefined && sum !== entry.crc32) {
    throw inputError(
      `the entry "${entry.name}" has the CRC-32 ${hex(sum)}, the archive says ${hex(entry.crc32)}`,
      { ...where, suggestions: ['Bytes of it were damaged; download it again.'] },
    )
  }
  return bytes
}

function parseDirectory(bytes: Uint8Array, count: number, where: Where): DirectoryEntry[] {
  const view = viewOf(bytes)
  const entries: DirectoryEntry[] = []
  const names = new Set<string>()
  let at = 0
  while (at < bytes.length) {
    const index = entries.length + 1
    if (at + sizes.entry > bytes.length || view.getUint32(at, true) !== signatures.entry) {
      throw inputError(`entry ${index} of the archive's directory is malformed`, where)
    }
    const nameEnd = at + sizes.entry + view.getUint16(at + 28, true)
    const extraEnd = nameEnd + view.getUint16(at + 30, true)
    const end = extraEnd + view.getUint16(at + 32, true)
    if (end > bytes.length) {
      throw inputError(
        `entry ${index} of the archive's directory goes beyond its ${bytes.length} bytes`,
        where,
      )
    }
    const name = new TextDecoder().decode(bytes.subarray(at + sizes.entry, nameEnd))
    checkName(name, names, where)
    const method = view.getUint16(at + 10, true)
    const flags = view.getUint16(at + 8, true)
    if (method !== 0 || (flags & encryptedFlag) !== 0) {
      const how = method === 0 ? 'encrypted' : `compressed (method ${method})`
      throw inputError(`the entry "${name}" is ${how}; torch stores entries as they are`, {
        ...where,
        suggestions: ['Unpack the archive and pack it without compression, or save it anew.'],
      })
    }
    const fields = [
      view.getUint32(at + 24, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ]
    const [size = 0, stored = 0, header = 0] = widen(
      fields,
      bytes.subarray(nameEnd, extraEnd),
      name,
      where,
    )
    if (size !== stored) {
      throw inputError(`the entry "${name}" has ${size} bytes, stored as ${stored}`, where)
    }
    entries.push({ name, flags, crc32: view.getUint32(at + 16, true), size, header })
    at = end
  }
  if (entries.length !== count) {
    throw inputError(
      `the archive's directory has ${entries.length} entries, its end record says ${count}`,
      where,
    )
  }
  return entries
}

/** A name stays within the archive's own folder, and is there once. */
function checkName(name: string, seen: Set<string>, where: Where): void {
  const parts = name.split('/')
  if (/[\\\0:]/.test(name) || parts.includes('..') || parts.includes('.') || parts[0] === '') {
    throw inputError(
      `an entry of the archive is named ${JSON.stringify(name)}, which leads out of it`,
      where,
    )
  }
  if (seen.has(name)) throw inputError(`the entry "${name}" is in the archive twice`, where)
  seen.add(name)
}

/** The fields of a header, each from the zip64 extra field where it says so, in its order. */
function widen(fields: readonly number[], extra: Uint8Array, name: string, where: Where): number[] {
  if (!fields.includes(in64)) return [...fields]
  const zip64 = extraField(extra, 0x0001)
  let at = 0
  return fields.map((field) => {
    if (field !== in64) return field
    if (zip64 === undefined || at + 8 > zip64.length) {
      throw inputError(`the entry "${name}" lacks the zip64 field that has its size`, where)
    }
    const value = Number(viewOf(zip64).getBigUint64(at, true))
    at += 8
    return value
  })
}

function extraField(extra: Uint8Array, id: number): Uint8Array | undefined {
  const view = viewOf(extra)
  for (let at = 0; at + 4 <= extra.length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) === id) {
      return extra.subarray(at + 4, at + 4 + view.getUint16(at + 2, true))
    }
  }
  return undefined
}

interface LocalHeader {
  flags: number
  method: number
  crc32: number
  stored: number
  size: number
  nameLength: number
  extraLength: number
}

function parseLocalHeader(bytes: Uint8Array, what: string, where: Where): LocalHeader {
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== signatures.local) {
    throw inputError(`${what} does not begin where the archive's directory says`, where)
  }
  return {
    flags: view.getUint16(6, true),
    method: view.getUint16(8, true),
    crc32: view.getUint32(14, true),
    stored: view.getUint32(18, true),
    size: view.getUint32(22, true),
    nameLength: view.getUint16(26, true),
    extraLength: view.getUint16(28, true),
  }
}

/** The local header must say what the directory says; with a descriptor, it may say nothing. */
function compareHeaders(
  entry: DirectoryEntry,
  head: LocalHeader,
  rest: Uint8Array,
  where: Where,
): void {
  const disagree = (what: string, here: string | number, there: string | number) =>
    inputError(
      `the entry "${entry.name}" has ${what} ${here} in its own header and ${there} in the archive's directory`,
      where,
    )
  const name = new TextDecoder().decode(rest.subarray(0, head.nameLength))
  if (name !== entry.name) throw disagree('the name', JSON.stringify(name), 'this one')
  if (head.method !== 0) throw disagree('the method', head.method, 0)
  if (head.flags !== entry.flags) throw disagree('the flags', head.flags, entry.flags)
  const [size = 0, stored = 0] = widen(
    [head.size, head.stored],
    rest.subarray(head.nameLength),
    entry.name,
    where,
  )
  const described = (entry.flags & descriptorFlag) !== 0
  for (const [what, here, there] of [
    ['the size', size, entry.size],
    ['the stored size', stored, entry.size],
    ['the CRC-32', head.crc32, entry.crc32],
  ] as const) {
    if (here !== there && !(described && here === 0)) throw disagree(what, here, there)
  }
}

async function readWithin(
  source: ByteSource,
  offset: number,
  length: number,
  limit: number,
  what: string,
  where: Where,
): Promise<Uint8Array> {
  if (offset + length > limit) {
    throw inputError(
      `the header of ${what} would end at byte ${offset + length}, the archive's entries end at ${limit}`,
      where,
    )
  }
  return source.read(offset, length)
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
