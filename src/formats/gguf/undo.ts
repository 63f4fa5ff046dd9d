import { createHash } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { fromSystemError, inputError, OpenLlamaError } from '../../io/errors.js'
import { isJsonObject, type JsonObject, parseJsonIfAny } from '../../io/json.js'
import { writeOutputs } from '../../io/output.js'
import { syncDirectory } from '../../io/sync.js'
import { statThere } from '../../io/there.js'
import { writeAll } from '../../io/whole.js'

/**
 * The undo record of a change: beside the file, and on disk before anything is touched; gone when
 * the change is on disk. Where there is one, the file's header may be half old and half new, or the
 * record of its conversion (openllama.json) be of the other one.
 */
export type Undo = {
  /** The record of the file's conversion as it was, where it changes too. */
  record?: { path: string; text: string }
} & (
  | {
      /** Bytes of the file as they were. */
      offset: number
      bytes: Uint8Array
    }
  | {
      /** The name beside it under which the old file is kept, from before the new one has its own. */
      before: string
    }
)

function undoPath(path: string): string {
  return `${path}.undo`
}

export async function writeUndo(path: string, undo: Undo): Promise<void> {
  const handle = await open(undoPath(path), 'wx')
  try {
    await handle.writeFile(textOf(path, undo))
    await handle.sync()
    await syncDirectory(dirname(path))
  } catch (error) {
    // Nothing was touched that it could undo.
    await rm(undoPath(path), { force: true }).catch(() => {})
    throw error
  } finally {
    await handle.close()
  }
}

function textOf(path: string, undo: Undo): string {
  const plain = {
    ...('before' in undo
      ? { before: undo.before }
      : { offset: undo.offset, data: Buffer.from(undo.bytes).toString('base64') }),
    // Folders may have been moved meanwhile.
    ...(undo.record
      ? { record: relative(dirname(path), undo.record.path), text: undo.record.text }
      : {}),
  }
  return JSON.stringify({ ...plain, sha256: hashOf(plain) })
}

export async function discardUndo(path: string): Promise<void> {
  await rm(undoPath(path))
  // Where it comes back with the power, what it undoes is whole before and after.
  await syncDirectory(dirname(path)).catch(() => {})
}

/** @throws input error where a change in place was interrupted */
export async function refuseInterrupted(path: string): Promise<void> {
  if (!(await statThere(undoPath(path)))) return
  throw inputError('a change of its metadata was interrupted', {
    format: 'gguf',
    path,
    suggestions: [undoAdvice(path)],
  })
}

/**
 * Undoes a change that was interrupted.
 * @returns `none` where there was none, `complete` where it had come to its end
 */
export async function restoreFromUndo(path: string): Promise<'none' | 'undone' | 'complete'> {
  let text: string
  try {
    text = await readFile(undoPath(path), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'none'
    throw fromSystemError(error, undoPath(path), 'read it')
  }
  try {
    const undo = parseUndo(text, path)
    // A record that is not whole was interrupted itself, before the file was touched.
    const isUndone = undo === undefined || (await restoreFile(path, undo))
    if (isUndone && undo?.record !== undefined) {
      const bytes = new TextEncoder().encode(undo.record.text)
      await writeOutputs([{ path: undo.record.path, bytes }], true)
    }
    // Until all of it is on disk, it may have to be done once more.
    await syncDirectory(dirname(path))
    await discardUndo(path)
    return isUndone ? 'undone' : 'complete'
  } catch (error) {
    throw fromSystemError(error, path, 'restore it')
  }
}

function undoAdvice(path: string): string {
  return `Undo it with: openllama gguf set ${path}`
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

/** @returns whether there was something to restore: a change that had come to its end stays */
async function restoreFile(path: string, undo: Undo): Promise<boolean> {
  if ('before' in undo) {
    const kept = join(dirname(path), undo.before)
    if (!(await statThere(kept))) return false
    await rename(kept, path)
    // A rename of one name of a file to another of the same does nothing.
    await rm(kept, { force: true })
    return true
  }
  const handle = await open(path, 'r+')
  try {
    await writeAll(handle, undo.bytes, undo.offset)
    await handle.sync()
  } finally {
    await handle.close()
  }
  return true
}

function parseUndo(text: string, path: string): Undo | undefined {
  const json = parseJsonIfAny(text)
  if (!isJsonObject(json)) return undefined
  const { sha256, ...plain } = json
  if (sha256 !== hashOf(plain)) return undefined
  const { offset, data, before, record: name, text: old } = plain
  const record =
    typeof name === 'string' && typeof old === 'string'
      ? { record: { path: join(dirname(path), name), text: old } }
      : {}
  if (typeof before === 'string' && basename(before) === before) return { before, ...record }
  if (typeof offset !== 'number' || typeof data !== 'string') return undefined
  return { offset, bytes: Buffer.from(data, 'base64'), ...record }
}

function hashOf(plain: JsonObject): string {
  return createHash('sha256').update(JSON.stringify(plain)).digest('hex')
}
