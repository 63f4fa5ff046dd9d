import { inputError } from '../../io/errors.js'
import type { ByteSource } from '../../io/source.js'

/** The fixed records of a zip archive: bytes of each, and what each begins with. */
export const sizes = { local: 30, entry: 46, end: 22, end64: 56, locator64: 20 }
export const signatures = {
  local: 0x04034b50,
  entry: 0x02014b50,
  end: 0x06054b50,
  end64: 0x06064b50,
  locator64: 0x07064b50,
}

/** In a field of 32 or 16 bits: the value is in a zip64 field of 64 bits. */
export const in64 = 0xffffffff
export const in64Short = 0xffff

/** A comment may follow the end record. */
const maxComment = 0xffff

/** A checkpoint has an entry a tensor, of some 100 bytes in the directory. */
const maxDirectory = 64 * 1024 * 1024

export type Where = { format: string; path: string }

/** Where the central directory lies. */
export interface Directory {
  offset: number
  length: number
  entries: number
}

/**
 * Finds the central directory by the records at the end of the archive.
 * @throws input error where they are missing, disagree, or point elsewhere than right before themselves
 */
export async function findDirectory(source: ByteSource, where: Where): Promise<Directory> {
  const { size } = source
  const length = Math.min(size, sizes.end + maxComment)
  const tail = await source.read(size - length, length)
  const at = findEnd(tail)
  if (at === undefined) {
    throw inputError('the archive has no directory at its end', {
      ...where,
      suggestions: ['It is truncated; download it again.'],
    })
  }
  const endAt = size - length + at
  const end = parseEnd(tail.subarray(at))
  let limit = endAt
  const locator =
    endAt >= sizes.locator64
      ? parseLocator(await source.read(endAt - sizes.locator64, sizes.locator64))
      : undefined
  if (locator !== undefined) {
    limit = locator
    if (locator + sizes.end64 > endAt - sizes.locator64) {
      throw inputError(
        `its zip64 record would begin at byte ${locator}, beyond byte ${endAt - sizes.locator64 - sizes.end64}`,
        where,
      )
    }
    joinEnd64(end, await source.read(locator, sizes.end64), where)
  }
  if (end.offset + end.length !== limit) {
    throw inputError(
      `the directory of the archive would be bytes ${end.offset} to ${end.offset + end.length}, it must end at ${limit}`,
      where,
    )
  }
  if (end.length > maxDirectory) {
    throw inputError(
      `the directory of the archive has ${end.length} bytes, at most ${maxDirectory} are allowed`,
      where,
    )
  }
  return end
}

/** The last place where an end record with a comment of the right length stands. */
function findEnd(tail: Uint8Array): number | undefined {
  const view = viewOf(tail)
  for (let at = tail.length - sizes.end; at >= 0; at--) {
    if (
      view.getUint32(at, true) === signatures.end &&
      view.getUint16(at + 20, true) === tail.length - at - sizes.end
    ) {
      return at
    }
  }
  return undefined
}

function parseEnd(bytes: Uint8Array): Directory {
  const view = viewOf(bytes)
  return {
    entries: view.getUint16(10, true),
    length: view.getUint32(12, true),
    offset: view.getUint32(16, true),
  }
}

function parseLocator(bytes: Uint8Array): number | undefined {
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== signatures.locator64) return undefined
  return Number(view.getBigUint64(8, true))
}

/** Puts the zip64 record's values in the place of those that do not fit the end record. */
function joinEnd64(end: Directory, bytes: Uint8Array, where: Where): void {
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== signatures.end64) {
    throw inputError('its zip64 record is not where its locator says', where)
  }
  const record = { entries: 32, length: 40, offset: 48 } as const
  const marks = { entries: in64Short, length: in64, offset: in64 } as const
  for (const field of ['entries', 'length', 'offset'] as const) {
    const value = Number(view.getBigUint64(record[field], true))
    if (end[field] !== marks[field] && end[field] !== value) {
      throw inputError(
        `its end record has ${field} ${end[field]}, its zip64 record ${value}`,
        where,
      )
    }
    end[field] = value
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
