import { inputError } from '../../io/errors.js'

/**
 * A place in the header of a GGUF file. The window is the start of the file, as
 * much as has been read; the header may be longer. Whatever reads from it gives
 * `undefined` where the window ends, and an error where the file does.
 */
export interface GgufCursor {
  readonly view: DataView
  offset: number
  readonly littleEndian: boolean
  readonly path: string
  /** Bytes in the whole file. */
  readonly size: number
  /** Texts and booleans in arrays so far. */
  items: number
}

/**
 * Moves over `length` bytes.
 * @param what they are, for the error of a file that ends before
 * @returns where they start, or undefined where the window ends before they do
 */
export function take(cursor: GgufCursor, length: number, what: string): number | undefined {
  const start = cursor.offset
  if (start + length > cursor.size) {
    throw inputError(
      `${what} takes ${length} bytes at byte ${start}, the file has ${cursor.size}`,
      {
        format: 'gguf',
        path: cursor.path,
        suggestions: ['It is truncated or damaged; download or write it again.'],
      },
    )
  }
  if (start + length > cursor.view.byteLength) return undefined
  cursor.offset += length
  return start
}

export function readUint32(cursor: GgufCursor, what: string): number | undefined {
  const at = take(cursor, 4, what)
  return at === undefined ? undefined : cursor.view.getUint32(at, cursor.littleEndian)
}

/** A u64 that counts something in this file, and so is no larger than 2^53. */
export function readCount(cursor: GgufCursor, what: string): number | undefined {
  const at = take(cursor, 8, what)
  if (at === undefined) return undefined
  const value = cursor.view.getBigUint64(at, cursor.littleEndian)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw inputError(`${what} is ${value}, the file has ${cursor.size} bytes`, {
      format: 'gguf',
      path: cursor.path,
    })
  }
  return Number(value)
}

/**
 * Believes a count only if so many things of at least `least` bytes fit into the
 * rest of the file: nothing is allocated for a lie.
 */
export function checkCount(cursor: GgufCursor, count: number, least: number, what: string): void {
  const rest = cursor.size - cursor.offset
  if (count * least > rest) {
    throw inputError(
      `${count} ${what} are announced at byte ${cursor.offset}, which take at least ${count * least} bytes; ${rest} are left in the file`,
      {
        format: 'gguf',
        path: cursor.path,
        suggestions: ['It is truncated or damaged; download or write it again.'],
      },
    )
  }
}

/** A vocabulary of a million tokens and as many merges; each takes several times its bytes. */
const maxItems = 4_000_000

/** Believes so many more texts or booleans in arrays. */
export function checkItems(cursor: GgufCursor, count: number, what: string): void {
  cursor.items += count
  if (cursor.items <= maxItems) return
  throw inputError(
    `with ${count} ${what} its arrays have ${cursor.items} in all, at most ${maxItems} are read`,
    {
      format: 'gguf',
      path: cursor.path,
    },
  )
}

// Tokens may begin with U+FEFF: it is text, not a byte order mark.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const lenient = new TextDecoder('utf-8', { ignoreBOM: true })

/** A string that is a value. Vocabularies have been seen with tokens that are no UTF-8. */
export function readGgufText(cursor: GgufCursor, what: string): string | undefined {
  const bytes = readTextBytes(cursor, what)
  return bytes === undefined ? undefined : lenient.decode(bytes)
}

/** The format's limit on keys; names of tensors are shorter. */
const maxName = 65535

/** A string that is a name. */
export function readName(cursor: GgufCursor, what: string): string | undefined {
  const start = cursor.offset
  const bytes = readTextBytes(cursor, what)
  if (bytes === undefined) return undefined
  const where = { format: 'gguf', path: cursor.path }
  if (bytes.length === 0 || bytes.length > maxName) {
    throw inputError(
      `${what} at byte ${start} has ${bytes.length} bytes, 1 to ${maxName} are allowed`,
      where,
    )
  }
  try {
    return strict.decode(bytes)
  } catch (cause) {
    throw inputError(`${what} at byte ${start} is not valid UTF-8`, { ...where, cause })
  }
}

function readTextBytes(cursor: GgufCursor, what: string): Uint8Array | undefined {
  const length = readCount(cursor, `the length of ${what}`)
  if (length === undefined) return undefined
  const at = take(cursor, length, what)
  if (at === undefined) return undefined
  return new Uint8Array(cursor.view.buffer, cursor.view.byteOffset + at, length)
}
