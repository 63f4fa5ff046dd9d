import { crc32 } from 'node:zlib'
import type { Patch, TargetFile } from '../format.js'
import { in64, in64Short, signatures, sizes } from './zip-records.js'

/** An entry that is to be written: its bytes, or how many there will be. */
export type ZipContent = { name: string; bytes: Uint8Array } | { name: string; size: number }

/** A finished layout: headers and known bytes, and where the rest goes. */
export interface ZipLayout extends Omit<TargetFile, 'name'> {
  /** Where the bytes of each entry begin. */
  offsets: number[]
}

/** torch maps the payloads into memory: each starts at a cache line. */
const alignment = 64

/** Names are UTF-8. */
const flags = 0x0800

/** 1 January 1980, the first day that zip knows: the same checkpoint gives the same bytes. */
const date = 0x0021

/** The extra field that torch itself pads with. */
const paddingField = 0x4246

const zip64Field = 0x0001

/** Versions of the format that a reader must know: 2.0, or 4.5 for zip64. */
const version = { plain: 20, zip64: 45 }

/**
 * Lays out an archive of stored entries. The CRC-32 of what is written later
 * stands in two headers, so it is a patch of each.
 */
export function layOutZip(contents: readonly ZipContent[]): ZipLayout {
  const literals: TargetFile['literals'] = []
  const patches: Patch[] = []
  const offsets: number[] = []
  const directory: Uint8Array[] = []
  let position = 0
  let directorySize = 0
  const headers = contents.map((content) => {
    const size = 'bytes' in content ? content.bytes.length : content.size
    const sum = 'bytes' in content ? crc32(content.bytes) : 0
    const header = position
    const local = localHeader(content.name, size, sum, header)
    const offset = header + local.length
    literals.push({ offset: header, bytes: local })
    if ('bytes' in content) literals.push({ offset, bytes: content.bytes })
    offsets.push(offset)
    position = offset + size
    return { content, size, sum, header, offset }
  })
  for (const { content, size, sum, header, offset } of headers) {
    if (!('bytes' in content)) {
      const at = [header + 14, position + directorySize + 16]
      patches.push({ kind: 'crc32', of: { offset, length: size }, at })
    }
    const entry = directoryEntry(content.name, size, sum, header)
    directory.push(entry)
    directorySize += entry.length
  }
  const end = endRecords(contents.length, position, directorySize)
  literals.push({ offset: position, bytes: join([...directory, end]) })
  return { size: position + directorySize + end.length, literals, patches, offsets }
}

function localHeader(name: string, size: number, sum: number, at: number): Uint8Array {
  const encoded = new TextEncoder().encode(name)
  const large = size >= in64
  const zip64 = large ? field64(size, size) : new Uint8Array()
  const unpadded = at + sizes.local + encoded.length + zip64.length + 4
  const padding = new Uint8Array(4 + Math.ceil(unpadded / alignment) * alignment - unpadded)
  const field = new DataView(padding.buffer)
  field.setUint16(0, paddingField, true)
  field.setUint16(2, padding.length - 4, true)
  const head = new Uint8Array(sizes.local)
  const view = new DataView(head.buffer)
  view.setUint32(0, signatures.local, true)
  view.setUint16(4, large ? version.zip64 : version.plain, true)
  view.setUint16(6, flags, true)
  view.setUint16(12, date, true)
  view.setUint32(14, sum, true)
  view.setUint32(18, large ? in64 : size, true)
  view.setUint32(22, large ? in64 : size, true)
  view.setUint16(26, encoded.length, true)
  view.setUint16(28, zip64.length + padding.length, true)
  return join([head, encoded, zip64, padding])
}

function directoryEntry(name: string, size: number, sum: number, header: number): Uint8Array {
  const encoded = new TextEncoder().encode(name)
  const large = size >= in64
  const far = header >= in64
  const zip64 =
    large || far
      ? field64(...(large ? [size, size] : []), ...(far ? [header] : []))
      : new Uint8Array()
  const head = new Uint8Array(sizes.entry)
  const view = new DataView(head.buffer)
  const needed = zip64.length > 0 ? version.zip64 : version.plain
  view.setUint32(0, signatures.entry, true)
  view.setUint16(4, needed, true)
  view.setUint16(6, needed, true)
  view.setUint16(8, flags, true)
  view.setUint16(14, date, true)
  view.setUint32(16, sum, true)
  view.setUint32(20, large ? in64 : size, true)
  view.setUint32(24, large ? in64 : size, true)
  view.setUint16(28, encoded.length, true)
  view.setUint16(30, zip64.length, true)
  view.setUint32(42, far ? in64 : header, true)
  return join([head, encoded, zip64])
}

/** The end record; before it the zip64 ones, where a value does not fit it. */
function endRecords(entries: number, offset: number, length: number): Uint8Array {
  const large = entries >= in64Short || offset >= in64 || length >= in64
  const end = new Uint8Array(sizes.end)
  const view = new DataView(end.buffer)
  view.setUint32(0, signatures.end, true)
  view.setUint16(8, Math.min(entries, in64Short), true)
  view.setUint16(10, Math.min(entries, in64Short), true)
  view.setUint32(12, Math.min(length, in64), true)
  view.setUint32(16, Math.min(offset, in64), true)
  if (!large) return end

  const record = new Uint8Array(sizes.end64 + sizes.locator64)
  const wide = new DataView(record.buffer)
  wide.setUint32(0, signatures.end64, true)
  // The record's own size, without this field and the signature.
  wide.setBigUint64(4, BigInt(sizes.end64 - 12), true)
  wide.setUint16(12, version.zip64, true)
  wide.setUint16(14, version.zip64, true)
  wide.setBigUint64(24, BigInt(entries), true)
  wide.setBigUint64(32, BigInt(entries), true)
  wide.setBigUint64(40, BigInt(length), true)
  wide.setBigUint64(48, BigInt(offset), true)
  wide.setUint32(sizes.end64, signatures.locator64, true)
  wide.setBigUint64(sizes.end64 + 8, BigInt(offset + length), true)
  // One disk in all.
  wide.setUint32(sizes.end64 + 16, 1, true)
  return join([record, end])
}

function field64(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 + 8 * values.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, zip64Field, true)
  view.setUint16(2, 8 * values.length, true)
  values.forEach((value, i) => {
    view.setBigUint64(4 + 8 * i, BigInt(value), true)
  })
  return bytes
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
