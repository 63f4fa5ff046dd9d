import { crc32 } from 'node:zlib'

/** An entry of an archive that a test makes up; what is not said is as it should be. */
export interface MadeEntry {
  name: string
  data?: Uint8Array
  flags?: number
  /** What the directory says. */
  directory?: Partial<Header> & { offset?: number }
  /** What the entry's own header says. */
  local?: Partial<Header> & { name?: string; signature?: number }
}

interface Header {
  flags: number
  method: number
  crc32: number
  stored: number
  size: number
  extra: Uint8Array
}

/** What the records at the end say. */
export interface MadeEnd {
  entries?: number
  offset?: number
  length?: number
  comment?: string
  /** Bytes between the entries and the directory, and between the directory and the end. */
  gap?: number
}

/** An archive, written field by field as the format's document has it, with any field wrong. */
export function zipOf(entries: readonly MadeEntry[], end: MadeEnd = {}): Uint8Array {
  const parts: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let position = 0
  for (const entry of entries) {
    const data = entry.data ?? new Uint8Array()
    const header = {
      flags: 0,
      method: 0,
      crc32: crc32(data),
      stored: data.length,
      size: data.length,
      extra: new Uint8Array(),
    }
    const local = { ...header, ...entry.local }
    const listed = { ...header, ...entry.directory }
    const name = Buffer.from(entry.local?.name ?? entry.name)
    const bytes = Buffer.concat([
      u32(entry.local?.signature ?? 0x04034b50),
      u16(20, local.flags, local.method, 0, 0x21),
      u32(local.crc32, local.stored, local.size),
      u16(name.length, local.extra.length),
      name,
      local.extra,
      data,
    ])
    const listedName = Buffer.from(entry.name)
    directory.push(
      Buffer.concat([
        u32(0x02014b50),
        u16(20, 20, listed.flags, listed.method, 0, 0x21),
        u32(listed.crc32, listed.stored, listed.size),
        u16(listedName.length, listed.extra.length, 0, 0, 0),
        u32(0, entry.directory?.offset ?? position),
        listedName,
        listed.extra,
      ]),
    )
    parts.push(bytes)
    position += bytes.length
  }
  const listed = Buffer.concat(directory)
  const comment = Buffer.from(end.comment ?? '')
  const count = end.entries ?? entries.length
  return Buffer.concat([
    ...parts,
    listed,
    Buffer.alloc(end.gap ?? 0),
    u32(0x06054b50),
    u16(0, 0, count, count),
    u32(end.length ?? listed.length, end.offset ?? position),
    u16(comment.length),
    comment,
  ])
}

export function u16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  values.forEach((value, i) => {
    bytes.writeUInt16LE(value, 2 * i)
  })
  return bytes
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, i) => {
    bytes.writeUInt32LE(value, 4 * i)
  })
  return bytes
}

export function u64(...values: number[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length)
  values.forEach((value, i) => {
    bytes.writeBigUInt64LE(BigInt(value), 8 * i)
  })
  return bytes
}
