import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { fromReadError } from './dead-link.js'
import { fromSystemError, inputError } from './errors.js'
import { storeOf } from './store.js'
import { stateOf } from './tree.js'

/**
 * Random access to the bytes of one file. `read` gives exactly `length` bytes
 * or fails with an error that says by how much the file is too short: a caller
 * never sees a short read.
 */
export interface ByteSource {
  readonly path: string
  /** Bytes in the whole file. */
  readonly size: number
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

const noted = new AsyncLocalStorage<Map<string, string>>()

/**
 * Notes what files of this machine are (`stateOf`) when `work` opens them first, by their paths:
 * so it can be told later whether they have changed since.
 */
export async function noteFiles<T>(
  work: () => Promise<T>,
): Promise<{ result: T; files: ReadonlyMap<string, string> }> {
  const files = new Map<string, string>()
  return { result: await noted.run(files, work), files }
}

/** What a small file was that was read whole. */
export interface SmallFile {
  bytes: number
  sha256: string
}

const read = new AsyncLocalStorage<Map<string, SmallFile>>()

/** Notes the small files that `work` reads, by their paths: the very bytes that it was given. */
export async function noteSmallFiles<T>(
  work: () => Promise<T>,
): Promise<{ result: T; files: ReadonlyMap<string, SmallFile> }> {
  const files = new Map<string, SmallFile>()
  return { result: await read.run(files, work), files }
}

/** The first bytes of files by their paths, and what the files were then (`stateOf`). */
export type Starts = Map<string, { state: string; bytes: Uint8Array }>

const started = new AsyncLocalStorage<Starts>()

/** A look at what a file is takes no more. */
const mostKept = 512

/**
 * Files of this machine that `work` opens have their first bytes from `starts`, as long as they
 * are what they were, or leave them there: a look at what a file is and the reading of its header
 * take them once. What is elsewhere is kept by its store.
 */
export function keepStarts<T>(starts: Starts, work: () => Promise<T>): Promise<T> {
  return started.run(starts, work)
}

/** Opens a file for reading, wherever it is. */
export async function openFile(path: string): Promise<ByteSource> {
  return (await storeOf(path))?.open(path) ?? openLocal(path)
}

async function openLocal(path: string): Promise<ByteSource> {
  let handle: FileHandle | undefined
  let size: number
  let state: string
  try {
    const there = await stat(path)
    if (there.isDirectory()) {
      throw inputError('it is a directory, a file is expected', { path })
    }
    // Opening a pipe would wait for who writes to it; and nothing of it could be read twice.
    if (!there.isFile()) {
      throw inputError('it is no regular file: a pipe or a device has no places to read from', {
        path,
        suggestions: ['Save it as a file first.'],
      })
    }
    handle = await open(path, 'r')
    const stats = await handle.stat({ bigint: true })
    size = Number(stats.size)
    const files = noted.getStore()
    state = stateOf(stats)
    if (files && !files.has(path)) files.set(path, state)
  } catch (error) {
    await handle?.close()
    throw await fromReadError(error, path)
  }
  const opened = handle
  const starts = started.getStore()
  const known = starts?.get(path)
  const start = known?.state === state ? known.bytes : undefined
  return {
    path,
    size,
    async read(offset, length) {
      checkRange(path, size, offset, length)
      const bytes = new Uint8Array(length)
      const kept = start?.subarray(offset, offset + length) ?? []
      bytes.set(kept)
      let done = kept.length
      while (done < length) {
        const bytesRead = await readSome(opened, path, bytes, done, offset)
        if (bytesRead === 0) throw truncated(path, offset, length, offset + done)
        done += bytesRead
      }
      if (offset === 0 && start === undefined) {
        starts?.set(path, { state, bytes: bytes.slice(0, mostKept) })
      }
      return bytes
    },
    close: () => opened.close(),
  }
}

async function readSome(
  handle: FileHandle,
  path: string,
  into: Uint8Array,
  done: number,
  offset: number,
): Promise<number> {
  try {
    return (await handle.read(into, done, into.length - done, offset + done)).bytesRead
  } catch (error) {
    throw fromSystemError(error, path, 'read it')
  }
}

/** A source over bytes that are in memory already. */
export function memorySource(path: string, bytes: Uint8Array): ByteSource {
  return {
    path,
    size: bytes.length,
    async read(offset, length) {
      checkRange(path, bytes.length, offset, length)
      return bytes.subarray(offset, offset + length)
    },
    async close() {},
  }
}

/** The bytes at the start of a file, all of it when it is shorter than `length`. */
export async function readStart(source: ByteSource, length: number): Promise<Uint8Array> {
  return source.read(0, Math.min(length, source.size))
}

/**
 * Reads a whole small file (a config, an index, a tokenizer).
 * @param limit the size in bytes above which it is not believed to be one
 */
export async function readSmallFile(path: string, limit: number): Promise<Uint8Array> {
  const source = await openFile(path)
  try {
    if (source.size > limit) {
      throw inputError(`${source.size} bytes, more than the ${limit} that such a file may have`, {
        path,
      })
    }
    const bytes = await source.read(0, source.size)
    const sha256 = () => createHash('sha256').update(bytes).digest('hex')
    read.getStore()?.set(path, { bytes: bytes.length, sha256: sha256() })
    return bytes
  } finally {
    await source.close()
  }
}

export function checkRange(path: string, size: number, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw inputError(`asks for ${length} bytes at ${offset}, which is no place in a file`, { path })
  }
  if (offset + length > size) throw truncated(path, offset, length, size)
}

/** The error for a file that ends before the bytes it promises. */
export function truncated(path: string, offset: number, length: number, size: number): Error {
  return inputError(`${length} bytes are expected at byte ${offset}, the file ends at ${size}`, {
    path,
    suggestions: ['It is truncated; download or write it again.'],
  })
}
