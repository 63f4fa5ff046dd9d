import { randomBytes } from 'node:crypto'
import { type FileHandle, open, realpath, rename, rm, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fromSystemError, inputError, OpenLlamaError, usageError } from '../io/errors.js'
import { openFile } from '../io/source.js'
import { syncDirectory } from '../io/sync.js'
import { formatBytes } from '../io/units.js'
import type { Assignment } from './gguf-assign.js'
import { type Edit, planEdit } from './gguf-edit.js'
import { readHeader } from './gguf-header.js'
import { splitName, splitOf } from './gguf-split.js'
import { discardUndo, refuseInterrupted, restoreFromUndo, writeUndo } from './gguf-undo.js'

export interface SetOptions {
  /** Only work out what would be done. */
  dryRun: boolean
  signal?: AbortSignal
  /** Bytes of the new file, where one is written. */
  onProgress?(done: number, total: number): void
}

export interface SetResult {
  edit: Edit
  /** An edit that had been interrupted was undone first. */
  restored: boolean
  /** What the user should know, in sentences. */
  warnings: string[]
}

/**
 * Sets metadata of a GGUF file: in place where the weights can stay where they
 * are, else by a new file that takes the old one's place when it is whole. A
 * crash leaves the old file, or an undo record with which the next call, and
 * only that, goes on.
 */
export async function setMetadata(
  named: string,
  assignments: readonly Assignment[],
  options: SetOptions,
): Promise<SetResult> {
  const path = await realpath(named).catch((error: unknown) => {
    throw fromSystemError(error, named, 'read it')
  })
  if (options.dryRun) await refuseInterrupted(path)
  const restored = !options.dryRun && (await restoreFromUndo(path))
  const warnings = restored ? ['a change that had been interrupted was undone first'] : []
  if (assignments.length === 0) {
    if (restored) return { edit: { kind: 'none', changes: [] }, restored, warnings }
    throw usageError('nothing is to be set', {
      suggestions: ['Name what to set: key=value, such as general.license=apache-2.0.'],
    })
  }
  const edit = await readEdit(path, assignments)
  if (options.dryRun || edit.kind === 'none') return { edit, restored, warnings }
  if (edit.kind === 'in place') await writeInPlace(path, edit.offset, edit.bytes)
  else await rewrite(path, edit.header, edit.dataBegin, options)
  return { edit, restored, warnings: [...warnings, ...(await recordWarnings(path))] }
}

/** The record of the conversion that made the file is of its bytes as they were. */
async function recordWarnings(path: string): Promise<string[]> {
  for (const record of [`${path}.openllama.json`, join(dirname(path), 'openllama.json')]) {
    if (await stat(record).catch(() => undefined)) {
      return [`${basename(record)} beside it has the SHA-256 of the file as it was converted`]
    }
  }
  return []
}

async function readEdit(path: string, assignments: readonly Assignment[]): Promise<Edit> {
  const source = await openFile(path)
  try {
    const header = await readHeader(source)
    const { index, count } = splitOf({ file: { path, size: source.size }, header })
    if (index !== undefined && index > 0) {
      const first = basename(path).replace(/-\d{5}-of-\d{5}\.gguf$/i, '')
      throw inputError(`it is part ${index + 1} of a split file, the metadata are in part 1`, {
        format: 'gguf',
        path,
        suggestions: [`Set them in ${splitName(first, 0, count ?? 1)}.`],
      })
    }
    return planEdit(header, await source.read(0, header.dataBegin), assignments, path)
  } finally {
    await source.close()
  }
}

async function writeInPlace(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  try {
    const handle = await open(path, 'r+')
    try {
      const before = new Uint8Array(bytes.length)
      await handle.read(before, 0, before.length, offset)
      await writeUndo(path, { offset, bytes: before })
      await writeAll(handle, bytes, offset)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await discardUndo(path)
  } catch (error) {
    throw fromSystemError(error, path, 'change it')
  }
}

/** Bytes that are copied at a time. */
const copyChunk = 8 * 1024 * 1024

async function rewrite(
  path: string,
  header: Uint8Array,
  dataBegin: number,
  { signal, onProgress }: SetOptions,
): Promise<void> {
  const { size, mode } = await stat(path)
  const total = header.length + size - dataBegin
  await checkFree(path, total)
  // A name of its own: another run's, or a conversion's, may be there.
  const partial = `${path}.${randomBytes(4).toString('hex')}.partial`
  try {
    const from = await open(path, 'r')
    try {
      const to = await open(partial, 'wx', mode)
      try {
        await writeAll(to, header, 0)
        const buffer = new Uint8Array(Math.min(copyChunk, Math.max(1, size - dataBegin)))
        for (let at = dataBegin; at < size; ) {
          if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
          const { bytesRead } = await from.read(buffer, 0, buffer.length, at)
          if (bytesRead === 0) throw inputError(`it became shorter: it ends at ${at}`, { path })
          await writeAll(to, buffer.subarray(0, bytesRead), header.length + at - dataBegin)
          at += bytesRead
          onProgress?.(header.length + at - dataBegin, total)
        }
        await to.sync()
      } finally {
        await to.close()
      }
    } finally {
      await from.close()
    }
    await rename(partial, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await rm(partial, { force: true })
    throw fromSystemError(error, partial, 'write it')
  }
}

async function checkFree(path: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path))
  if (needed <= bavail * bsize) return
  throw new OpenLlamaError(
    'resources',
    `the weights have to move: the new file takes ${formatBytes(needed)}, ${formatBytes(bavail * bsize)} are free`,
    { path, suggestions: ['Free some space, or set shorter values that fit in their place.'] },
  )
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done)
    done += bytesWritten
  }
}
