import { createHash } from 'node:crypto'
import { checkRange } from '../../io/source.js'
import type { RemoteSource } from '../../io/store.js'
import { hubError } from '../errors.js'
import type { HubFile } from '../repository.js'
import type { RangeReader } from './ranges.js'

/**
 * Bytes that a small read fetches at least. The heads of an EasyLM stream are
 * apart from each other, some 300 in a file: more would be fetched for nothing.
 */
const leastAhead = 4 * 1024

/** Reads that go on where the last ended fetch twice as much each time, up to this. */
const mostAhead = 1024 * 1024

/** Bytes of a file that are kept; a header that is read anew and anew is fetched once. */
const mostKept = 32 * 1024 * 1024

/**
 * Bytes in one request of a long read. Its wait for an answer is short beside it, and fetch
 * leaves some 18 KB of objects for each that are gathered late.
 */
const longRange = 6 * 1024 * 1024

/** Requests of a long read at a time. */
const parallel = 4

/** A large file: small reads through what was read ahead, long ones straight. */
export function openLarge(path: string, file: HubFile, ranges: RangeReader): RemoteSource {
  const kept: Piece[] = []
  let ahead = leastAhead

  const fetched = async (start: number, length: number): Promise<Piece> => {
    const follows = kept.some((piece) => piece.start + piece.bytes.length === start)
    ahead = follows ? Math.min(mostAhead, 2 * ahead) : leastAhead
    const bytes = new Uint8Array(Math.min(Math.max(length, ahead), file.size - start))
    await fill(ranges, start, bytes)
    const piece = { start, bytes }
    kept.push(piece)
    let all = kept.reduce((sum, { bytes }) => sum + bytes.length, 0)
    while (all > mostKept && kept.length > 1) all -= kept.shift()?.bytes.length ?? 0
    return piece
  }

  return {
    path,
    size: file.size,
    sha256: file.sha256,
    async read(offset, length) {
      checkRange(path, file.size, offset, length)
      const into = new Uint8Array(length)
      let done = 0
      while (done < length) {
        const at = offset + done
        const piece =
          kept.find((each) => holds(each, at)) ?? (await fetched(at, gap(kept, at, length - done)))
        const part = piece.bytes.subarray(at - piece.start, at - piece.start + length - done)
        into.set(part, done)
        done += part.length
      }
      // A tokenizer.model, say: what is read whole can be held against its hash.
      if (offset === 0 && length === file.size) checkHash(path, file, into)
      return into
    },
    async readInto(offset, into, signal) {
      checkRange(path, file.size, offset, into.length)
      const aborter = new AbortController()
      const both = signal ? AbortSignal.any([signal, aborter.signal]) : aborter.signal
      // Where its header was read, the first bytes of an array came with it.
      const head = kept.find((piece) => holds(piece, offset))
      const known = head?.bytes.subarray(offset - head.start).subarray(0, into.length)
      into.set(known ?? [])
      let next = known?.length ?? 0
      const work = async () => {
        while (next < into.length) {
          const from = next
          next += longRange
          const part = into.subarray(from, Math.min(into.length, from + longRange))
          await fill(ranges, offset + from, part, both)
        }
      }
      const workers = Math.min(parallel, Math.ceil((into.length - next) / longRange))
      try {
        await Promise.all(Array.from({ length: workers }, work))
      } finally {
        aborter.abort()
      }
    },
    async close() {},
  }
}

/** A small file, whole in memory and checked. */
export async function openSmall(
  path: string,
  file: HubFile,
  ranges: RangeReader,
): Promise<RemoteSource> {
  const bytes = new Uint8Array(file.size)
  await fill(ranges, 0, bytes)
  checkHash(path, file, bytes)
  return {
    path,
    size: file.size,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    async read(offset, length) {
      checkRange(path, file.size, offset, length)
      return bytes.slice(offset, offset + length)
    },
    async readInto(offset, into) {
      checkRange(path, file.size, offset, into.length)
      into.set(bytes.subarray(offset, offset + into.length))
    },
    async close() {},
  }
}

interface Piece {
  start: number
  bytes: Uint8Array
}

function holds({ start, bytes }: Piece, offset: number): boolean {
  return offset >= start && offset < start + bytes.length
}

/** Bytes from `offset` on that are not kept, up to `length`. */
function gap(kept: readonly Piece[], offset: number, length: number): number {
  const later = kept.map(({ start }) => start - offset).filter((distance) => distance > 0)
  return Math.min(length, ...later)
}

async function fill(
  ranges: RangeReader,
  offset: number,
  into: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  let done = 0
  await ranges.read(
    offset,
    into.length,
    (bytes) => {
      into.set(bytes, done)
      done += bytes.length
    },
    signal,
  )
}

/** @throws hub error where content is not what the listing says of it */
function checkHash(path: string, { sha256, oid }: HubFile, bytes: Uint8Array): void {
  const [name, expected, found] =
    sha256 === undefined
      ? ['git blob SHA-1', oid, gitHash(bytes)]
      : ['SHA-256', sha256, createHash('sha256').update(bytes).digest('hex')]
  if (expected === '' || expected === found) return
  throw hubError(`its ${name} is ${found}, the Hub says ${expected}`, {
    path,
    suggestions: ['Bytes of it were damaged on the way; run the command again.'],
  })
}

function gitHash(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
}
