import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import type { Checksum } from '../checkpoint/checkpoint.js'
import { fromSystemError, inputError, OpenLlamaError } from '../io/errors.js'

/**
 * Bytes that are read at a time: few enough to stay in a core's own cache, where
 * copying them is several times as fast as through memory.
 */
export const digestBuffer = 128 * 1024

/** Bytes after which a thread that sums up looks up for signals. */
const lookUp = 64 * 1024 * 1024

/**
 * The SHA-256 of a file; on the way, the checksums that the file gives of its
 * own ranges are held against the bytes.
 * @throws input error for a range whose bytes are not what they were
 */
export async function hashFile(
  path: string,
  checksums: readonly Checksum[] = [],
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256')
  await holdChecksums(path, checksums, (bytes) => {
    if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
    hash.update(bytes)
  })
  return hash.digest('hex')
}

/**
 * Reads a file through and holds its bytes against the checksums that it gives.
 * @throws input error for a range whose bytes are not what they were
 */
export async function holdChecksums(
  path: string,
  checksums: readonly Checksum[],
  take?: (bytes: Uint8Array) => void,
): Promise<void> {
  const check = checker(path, checksums)
  await readThrough(path, 0, Number.POSITIVE_INFINITY, (bytes, offset) => {
    take?.(bytes)
    check.add(bytes, offset)
  })
  check.finish()
}

/** The CRC-32 of a range of a file. */
export async function crc32Of(path: string, offset: number, length: number): Promise<number> {
  let sum = 0
  const read = await readThrough(path, offset, length, (bytes) => {
    sum = crc32(bytes, sum)
  })
  if (read !== length) throw new Error(`${path}: ${read} bytes at ${offset}, not ${length}`)
  return sum
}

/** Follows a file's bytes from its start and sums up each range of `checksums`. */
function checker(path: string, checksums: readonly Checksum[]) {
  const ranges = [...checksums]
    .sort((a, b) => a.offset - b.offset)
    .map((checksum) => ({ ...checksum, sum: 0 }))
  let first = 0
  return {
    add(bytes: Uint8Array, offset: number): void {
      for (let i = first; i < ranges.length; i++) {
        const range = ranges[i]
        if (range === undefined || range.offset >= offset + bytes.length) return
        const from = Math.max(range.offset - offset, 0)
        const to = Math.min(range.offset + range.length - offset, bytes.length)
        if (from < to) range.sum = crc32(bytes.subarray(from, to), range.sum)
        else if (i === first) first++
      }
    },
    finish(): void {
      const wrong = ranges.find((range) => range.sum !== range.crc32)
      if (wrong === undefined) return
      throw inputError(
        `the bytes of ${wrong.name} have the CRC-32 ${hex(wrong.sum)}, the file says ${hex(wrong.crc32)}`,
        { path, suggestions: ['Bytes of it were damaged; download it again.'] },
      )
    },
  }
}

/** @returns how many bytes there were */
async function readThrough(
  path: string,
  offset: number,
  length: number,
  take: (bytes: Uint8Array, offset: number) => void,
): Promise<number> {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    const buffer = new Uint8Array(Math.min(digestBuffer, length))
    let done = 0
    let before = 0
    while (done < length) {
      const wanted = Math.min(buffer.length, length - done)
      // Synchronous: a round trip for each of these small reads would cost as much as the sum.
      const count = readSync(fd, buffer, 0, wanted, offset + done)
      if (count === 0) break
      take(count === buffer.length ? buffer : buffer.subarray(0, count), offset + done)
      done += count
      if (done - before >= lookUp) {
        before = done
        await setImmediate()
      }
    }
    return done
  } catch (error) {
    throw fromSystemError(error, path, 'read it')
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
