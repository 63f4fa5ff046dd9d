import { createHash, randomBytes } from 'node:crypto'
import { type FileHandle, link, open, realpath, rm, stat, statfs } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { KeyAssignment } from '../formats/gguf/assign.js'
import type { Edit, KeyChange } from '../formats/gguf/edit.js'
import { readEdit } from '../formats/gguf/edit-file.js'
import { refuseInterrupted, type Undo, undoPath } from '../formats/gguf/interrupted.js'
import { giveName, partialOf, prepareFile, type ReadyFile } from '../io/atomic.js'
import { fromSystemError, inputError, OpenLlamaError, usageError } from '../io/errors.js'
import { syncDirectory } from '../io/sync.js'
import { removedAtExit } from '../io/temporary.js'
import { statThere } from '../io/there.js'
import { formatBytes } from '../io/units.js'
import { readAll, writeAll } from '../io/whole.js'
import { discardUndo, restoreFromUndo, takeBack, writeUndo } from './undo.js'

/** A file's bytes, as records name them. */
interface FileState {
  bytes: number
  sha256: string
}

/** The record of the conversion that made a file: it changes with it. */
export interface RecordOfFile {
  path: string
  /** As it is. */
  text: string
  /** As it is to be, with sentences about that; no text where it is of other bytes already. */
  next(before: FileState, after: FileState, changes: readonly KeyChange[]): RecordChange
}

interface RecordChange {
  text?: string
  warnings: string[]
}

export interface SetOptions {
  /** Only work out what would be done. */
  dryRun: boolean
  record?: RecordOfFile
  signal?: AbortSignal
  /** Bytes of the file that were read or written. */
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
 * are, else by a new file that takes the old one's place when it is whole. The record of its
 * conversion changes with it. A crash leaves the old file and record, or the new ones, or an undo
 * record with which the next call, and only that, goes on.
 */
export async function setMetadata(
  named: string,
  assignments: readonly KeyAssignment[],
  options: SetOptions,
): Promise<SetResult> {
  const path = await realPathOf(named)
  if (options.dryRun) await refuseInterrupted(path)
  const come = options.dryRun ? 'none' : await restoreFromUndo(path)
  const restored = come === 'undone'
  const warnings = restored ? [undoneNote] : []
  if (assignments.length === 0) {
    if (come !== 'none') return { edit: { kind: 'none', changes: [] }, restored, warnings }
    throw usageError('nothing is to be set', {
      suggestions: ['Name what to set: key=value, such as general.license=apache-2.0.'],
    })
  }
  const edit = await readEdit(path, assignments)
  if (options.dryRun || edit.kind === 'none') return { edit, restored, warnings }
  const told =
    edit.kind === 'in place'
      ? await writeInPlace(path, edit, options)
      : await rewrite(path, edit, options)
  return { edit, restored, warnings: [...warnings, ...told] }
}

export const undoneNote = 'a change that had been interrupted was undone first'

/** Undoes a change that was interrupted, before anything is read. */
export async function undoInterrupted(named: string): Promise<'none' | 'undone' | 'complete'> {
  return restoreFromUndo(await realPathOf(named))
}

async function realPathOf(named: string): Promise<string> {
  return realpath(named).catch(async (error: unknown) => {
    // Where there are no hard links, an old file that made way may be under its other name still.
    if (await statThere(`${named}.undo`)) return named
    throw fromSystemError(error, named, 'read it')
  })
}

async function writeInPlace(
  path: string,
  { offset, bytes, changes }: Extract<Edit, { kind: 'in place' }>,
  options: SetOptions,
): Promise<string[]> {
  const { record } = options
  try {
    const handle = await open(path, 'r+')
    try {
      const next = record && (await hashBoth(handle, { offset, bytes }, options))
      const told: RecordChange = next
        ? (record?.next(next.before, next.after, changes) ?? { warnings: [] })
        : { warnings: [] }
      const before = new Uint8Array(bytes.length)
      await readAll(handle, before, offset, path)
      const ready = await prepareRecord(record, told)
      try {
        await writeUndo(path, { offset, bytes: before, ...kept(record, told) })
        await orUndo(path, async () => {
          await writeAll(handle, bytes, offset)
          await handle.sync()
          await ready.place()
          await discardUndo(path)
        })
      } finally {
        await ready.discard()
      }
      return told.warnings
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw fromSystemError(error, path, 'change it')
  }
}

/** What the undo record has to say of the conversion's record, where that changes. */
function kept(record: RecordOfFile | undefined, { text }: RecordChange): Pick<Undo, 'record'> {
  return record && text !== undefined ? asItIs(record) : {}
}

function asItIs({ path, text }: RecordOfFile): Pick<Undo, 'record'> {
  return { record: { path, text } }
}

/** The conversion's record as it is to be, where it changes: on disk before anything is touched. */
async function prepareRecord(
  record: RecordOfFile | undefined,
  { text }: RecordChange,
): Promise<ReadyFile> {
  if (record === undefined || text === undefined) {
    return { place: async () => {}, discard: async () => {} }
  }
  return prepareFile(record.path, new TextEncoder().encode(text))
}

/** Bytes that are copied at a time. */
const copyChunk = 8 * 1024 * 1024

/** The file as it is, and as it will be when bytes of it are others: in one reading. */
async function hashBoth(
  handle: FileHandle,
  change: { offset: number; bytes: Uint8Array },
  { signal, onProgress }: SetOptions,
): Promise<{ before: FileState; after: FileState }> {
  const { size } = await handle.stat()
  const [old, new_] = [createHash('sha256'), createHash('sha256')]
  const buffer = new Uint8Array(copyChunk)
  for (let at = 0; at < size; ) {
    if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) throw inputError(`it became shorter: it ends at ${at}`)
    const read = buffer.subarray(0, bytesRead)
    old.update(read)
    const begin = Math.max(at, change.offset)
    const end = Math.min(at + bytesRead, change.offset + change.bytes.length)
    if (begin < end) {
      read.set(change.bytes.subarray(begin - change.offset, end - change.offset), begin - at)
    }
    new_.update(read)
    at += bytesRead
    onProgress?.(at, size)
  }
  return {
    before: { bytes: size, sha256: old.digest('hex') },
    after: { bytes: size, sha256: new_.digest('hex') },
  }
}

async function rewrite(
  path: string,
  edit: Extract<Edit, { kind: 'rewrite' }>,
  options: SetOptions,
): Promise<string[]> {
  const { record } = options
  const { size, mode } = await stat(path)
  await checkFree(path, edit.header.length + size - edit.dataBegin)
  // A name of its own: another run's, or a conversion's, may be there.
  const tag = randomBytes(4).toString('hex')
  const partial = partialOf(path, tag)
  const before = `${path}.${tag}.before`
  const removed = [partial, undoPath(path)].map(removedAtExit)
  try {
    // Whatever ends the copying, the next call knows what was left of it.
    const names = { before: basename(before), partial: basename(partial) }
    await writeUndo(path, { ...names, ...(record && asItIs(record)) })
    try {
      const states = await copyBehind(path, partial, { ...edit, size, mode }, options)
      const told = record?.next(states.before, states.after, edit.changes) ?? { warnings: [] }
      const ready = await prepareRecord(record, told)
      // From here on the undo record is what leads back.
      for (const each of removed) each()
      const work =
        told.text === undefined
          ? () => takePlace(path, partial)
          : () => takePlaceOf(path, before, partial, ready)
      try {
        await orUndo(path, work)
      } finally {
        await ready.discard()
      }
      return told.warnings
    } catch (error) {
      await restoreFromUndo(path).catch(() => {})
      throw error
    }
  } catch (error) {
    throw fromSystemError(error, partial, 'write it')
  } finally {
    for (const each of removed) each()
  }
}

/** Writes the new header, and the weights of the old file behind it. */
async function copyBehind(
  path: string,
  partial: string,
  {
    header,
    dataBegin,
    size,
    mode,
  }: { header: Uint8Array; dataBegin: number; size: number; mode: number },
  { signal, onProgress, record }: SetOptions,
): Promise<{ before: FileState; after: FileState }> {
  const total = header.length + size - dataBegin
  const [old, new_] = [createHash('sha256'), createHash('sha256')]
  const from = await open(path, 'r')
  try {
    const to = await open(partial, 'wx', mode)
    try {
      await writeAll(to, header, 0)
      if (record !== undefined) {
        const head = new Uint8Array(dataBegin)
        await readAll(from, head, 0, path)
        old.update(head)
        new_.update(header)
      }
      const buffer = new Uint8Array(Math.min(copyChunk, Math.max(1, size - dataBegin)))
      for (let at = dataBegin; at < size; ) {
        if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
        const { bytesRead } = await from.read(buffer, 0, buffer.length, at)
        if (bytesRead === 0) throw inputError(`it became shorter: it ends at ${at}`, { path })
        const read = buffer.subarray(0, bytesRead)
        await writeAll(to, read, header.length + at - dataBegin)
        if (record !== undefined) {
          old.update(read)
          new_.update(read)
        }
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
  return {
    before: { bytes: size, sha256: old.digest('hex') },
    after: { bytes: total, sha256: new_.digest('hex') },
  }
}

/** Gives the new file its name. */
async function takePlace(path: string, partial: string): Promise<void> {
  await giveName(partial, path)
  try {
    await syncDirectory(dirname(path))
  } catch (error) {
    throw fromSystemError(error, path, 'bring it to disk, though the new file is whole')
  }
  await discardUndo(path)
}

/** Gives the new file and its record their names, so that both can be undone. */
async function takePlaceOf(
  path: string,
  before: string,
  partial: string,
  record: ReadyFile,
): Promise<void> {
  // Some file systems have no hard links: there the old file makes way for a moment.
  await link(path, before).catch(() => giveName(path, before))
  await giveName(partial, path)
  await syncDirectory(dirname(path))
  await record.place()
  await rm(before)
  await discardUndo(path)
}

/** What fails halfway is undone at once, as far as the disk lets it: else by the next call. */
async function orUndo(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const told = await takeBack(path, error)
    if (told !== undefined) throw told
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
