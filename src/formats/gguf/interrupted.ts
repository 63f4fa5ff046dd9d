import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { fromSystemError, inputError } from '../../io/errors.js'
import { isJsonObject, type Json, type JsonObject, parseJsonIfAny } from '../../io/json.js'
import { statThere } from '../../io/there.js'

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
      /** The name under which the new one is being made. */
      partial: string
    }
)

export function undoPath(path: string): string {
  return `${path}.undo`
}

/** The text of an undo record; undefined where there is none. */
export async function readUndo(path: string): Promise<string | undefined> {
  try {
    return await readFile(undoPath(path), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw fromSystemError(error, undoPath(path), 'read it')
  }
}

/** @throws input error where a change in place was interrupted */
export async function refuseInterrupted(path: string): Promise<void> {
  const text = await readUndo(path)
  if (text === undefined) return
  const undo = parseUndo(text, path)
  // As long as a new file is only being made beside it, the old one is as it was.
  if (undo && 'before' in undo && !(await statThere(join(dirname(path), undo.before)))) return
  throw inputError('a change of its metadata was interrupted', {
    format: 'gguf',
    path,
    suggestions: [undoAdvice(path)],
  })
}

export function undoAdvice(path: string): string {
  return `Undo it with: openllama gguf set ${path}`
}

export function undoText(path: string, undo: Undo): string {
  const plain = {
    ...('before' in undo
      ? { before: undo.before, partial: undo.partial }
      : { offset: undo.offset, data: Buffer.from(undo.bytes).toString('base64') }),
    // Folders may have been moved meanwhile.
    ...(undo.record
      ? { record: relative(dirname(path), undo.record.path), text: undo.record.text }
      : {}),
  }
  return JSON.stringify({ ...plain, sha256: hashOf(plain) })
}

export function parseUndo(text: string, path: string): Undo | undefined {
  const json = parseJsonIfAny(text)
  if (!isJsonObject(json)) return undefined
  const { sha256, ...plain } = json
  if (sha256 !== hashOf(plain)) return undefined
  const { offset, data, before, partial, record: name, text: old } = plain
  const record =
    typeof name === 'string' && typeof old === 'string'
      ? { record: { path: join(dirname(path), name), text: old } }
      : {}
  const isName = (value: Json | undefined) => typeof value === 'string' && basename(value) === value
  if (typeof before === 'string' && typeof partial === 'string') {
    return isName(before) && isName(partial) ? { before, partial, ...record } : undefined
  }
  if (typeof offset !== 'number' || typeof data !== 'string') return undefined
  return { offset, bytes: Buffer.from(data, 'base64'), ...record }
}

function hashOf(plain: JsonObject): string {
  return createHash('sha256').update(JSON.stringify(plain)).digest('hex')
}
