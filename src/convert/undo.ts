import { open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  parseUndo,
  readUndo,
  type Undo,
  undoAdvice,
  undoPath,
  undoText,
} from '../formats/gguf/interrupted.js'
import { createSynced, giveName, replaceFile } from '../io/atomic.js'
import { fromSystemError, OpenLlamaError } from '../io/errors.js'
import { syncDirectory } from '../io/sync.js'
import { statThere } from '../io/there.js'
import { writeAll } from '../io/whole.js'

/** Brings the undo record of a change to disk, before anything is touched. */
export async function writeUndo(path: string, undo: Undo): Promise<void> {
  await createSynced(undoPath(path), new TextEncoder().encode(undoText(path, undo)))
  try {
    await syncDirectory(dirname(path))
  } catch (error) {
    // Nothing was touched that it could undo.
    await rm(undoPath(path), { force: true }).catch(() => {})
    throw error
  }
}

export async function discardUndo(path: string): Promise<void> {
  await rm(undoPath(path))
  // Where it comes back with the power, what it undoes is whole before and after.
  await syncDirectory(dirname(path)).catch(() => {})
}

/**
 * Undoes a change that was interrupted.
 * @returns `none` where there was none, `complete` where it had come to its end
 */
export async function restoreFromUndo(path: string): Promise<'none' | 'undone' | 'complete'> {
  const text = await readUndo(path)
  if (text === undefined) return 'none'
  try {
    const undo = parseUndo(text, path)
    // A record that is not whole was interrupted itself, before the file was touched.
    const restored = undo === undefined ? 'nothing touched' : await restoreFile(path, undo)
    if (restored === 'file' && undo?.record !== undefined) {
      await replaceFile(undo.record.path, new TextEncoder().encode(undo.record.text))
    }
    // Until all of it is on disk, it may have to be done once more.
    await syncDirectory(dirname(path))
    await discardUndo(path)
    return restored === 'nothing' ? 'complete' : 'undone'
  } catch (error) {
    throw fromSystemError(error, path, 'restore it')
  }
}

/**
 * Undoes a change that failed.
 * @returns the error that is to be told: that it could not be undone is part of it; undefined where
 *   all was at its place but the undo record, which is gone now
 */
export async function takeBack(path: string, error: unknown): Promise<unknown> {
  const told = fromSystemError(error, path, 'change it')
  try {
    return (await restoreFromUndo(path)) === 'complete' ? undefined : told
  } catch (cause) {
    if (!(told instanceof OpenLlamaError)) return told
    const { code, what, details } = told.parts
    return new OpenLlamaError(code, `${what}; what was begun could not be undone yet`, {
      ...details,
      suggestions: [...told.suggestions, undoAdvice(path)],
      cause,
    })
  }
}

/** @returns what there was to restore: a change that had come to its end stays */
async function restoreFile(
  path: string,
  undo: Undo,
): Promise<'file' | 'nothing touched' | 'nothing'> {
  if ('before' in undo) {
    const [kept, partial] = [undo.before, undo.partial].map((name) => join(dirname(path), name))
    const [isMoved, isBegun] = [await statThere(kept ?? ''), await statThere(partial ?? '')]
    if (partial !== undefined) await rm(partial, { force: true })
    if (kept === undefined || !isMoved) return isBegun ? 'nothing touched' : 'nothing'
    await giveName(kept, path)
    // A rename of one name of a file to another of the same does nothing.
    await rm(kept, { force: true })
    return 'file'
  }
  const handle = await open(path, 'r+')
  try {
    await writeAll(handle, undo.bytes, undo.offset)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return 'file'
}
