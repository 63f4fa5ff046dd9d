import { createHash } from 'node:crypto'
import { open, readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromSystemError, inputError } from '../io/errors.js'
import { isJsonObject, type Json } from '../io/json.js'
import { syncDirectory } from '../io/sync.js'

/**
 * The undo record of a change in place: beside the file, and on disk before the
 * file is touched; gone when the change is on disk. Where there is one, the
 * file's header may be half old and half new.
 */
export interface Undo {
  offset: number
  /** As they were. */
  bytes: Uint8Array
}

function undoPath(path: string): string {
  return `${path}.undo`
}

export async function writeUndo(path: string, { offset, bytes }: Undo): Promise<void> {
  const handle = await open(undoPath(path), 'wx')
  try {
    const data = Buffer.from(bytes).toString('base64')
    await handle.writeFile(JSON.stringify({ offset, data, sha256: hashOf(offset, data) }))
    await handle.sync()
  } finally {
    await handle.close()
  }
  await syncDirectory(dirname(path))
}

export async function discardUndo(path: string): Promise<void> {
  await rm(undoPath(path))
  await syncDirectory(dirname(path))
}

/** @throws input error where a change in place was interrupted */
export async function refuseInterrupted(path: string): Promise<void> {
  if (!(await stat(undoPath(path)).catch(() => undefined))) return
  throw inputError('a change of its metadata was interrupted', {
    format: 'gguf',
    path,
    suggestions: [`Undo it with: openllama gguf set ${path}`],
  })
}

/**
 * Undoes a change that was interrupted.
 * @returns whether there was one
 */
export async function restoreFromUndo(path: string): Promise<boolean> {
  let text: string
  try {
    text = await readFile(undoPath(path), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw fromSystemError(error, undoPath(path), 'read it')
  }
  try {
    const undo = parseUndo(text)
    // A record that is not whole was interrupted itself, before the file was touched.
    if (undo !== undefined) {
      const handle = await open(path, 'r+')
      try {
        await handle.write(undo.bytes, 0, undo.bytes.length, undo.offset)
        await handle.sync()
      } finally {
        await handle.close()
      }
    }
    await discardUndo(path)
  } catch (error) {
    throw fromSystemError(error, path, 'restore it')
  }
  return true
}

function parseUndo(text: string): Undo | undefined {
  let json: Json
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isJsonObject(json)) return undefined
  const { offset, data, sha256 } = json
  if (typeof offset !== 'number' || typeof data !== 'string') return undefined
  return sha256 === hashOf(offset, data)
    ? { offset, bytes: Buffer.from(data, 'base64') }
    : undefined
}

function hashOf(offset: number, data: string): string {
  return createHash('sha256').update(`${offset} ${data}`).digest('hex')
}
