import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FileCache } from '../io/file-cache.js'
import { formatJson, isJsonObject, type JsonObject, parseJsonObject } from '../io/json.js'
import { noFollow } from '../io/no-follow.js'
import { readSmallFile } from '../io/source.js'
import { join } from '../io/store.js'
import type { Provenance } from './provenance.js'

/** The record in every output directory: what it was made from, how, and its hashes. */
export const recordName = 'openllama.json'

/** The record of an output that is a file, beside it. */
export function recordBeside(out: string): string {
  return `${out}.${recordName}`
}

/** A record lists its files; folders of some thousand shards are not known. */
const maxRecord = 16 * 1024 * 1024

/**
 * Reads a record, of this version or another, made by hand or by this program: nothing in it has
 * been looked at.
 * @throws input error for what is no JSON object
 */
export async function readRecord(path: string, cache?: FileCache): Promise<JsonObject> {
  const bytes = await (cache?.read(path, maxRecord) ?? readSmallFile(path, maxRecord))
  return parseJsonObject(bytes, path)
}

/** Where the record of a file can be: beside it, or in its folder. */
export function recordsOf(file: string): string[] {
  return [recordBeside(file), join(dirname(file), recordName)]
}

/** What a record says of a file of its output, as it stands there. */
export function fileIn({ target }: JsonObject, name: string): JsonObject | undefined {
  const files = isJsonObject(target) && Array.isArray(target.files) ? target.files : []
  return files.filter(isJsonObject).find((each) => each.name === name)
}

/** Writes and syncs the record of an output into the directory in which that is being made. */
export async function writeRecord(directory: string, provenance: Provenance): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC } = constants
  const handle = await open(join(directory, recordName), O_WRONLY | O_CREAT | O_TRUNC | noFollow)
  try {
    await handle.writeFile(formatJson(provenance))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A file that a record lists. */
export interface ListedFile {
  /** From the record's own folder. */
  name: string
  bytes: number
  /** Null where the conversion was not to hash. */
  sha256: string | null
}

/**
 * The files of the output that a record is of; undefined in the place of what is no file, and for
 * a record without a list of files.
 */
export function listedFiles({ target }: JsonObject): (ListedFile | undefined)[] | undefined {
  const files = isJsonObject(target) ? target.files : undefined
  if (!Array.isArray(files)) return undefined
  return files.map((file) => {
    const { name, bytes, sha256 = null } = isJsonObject(file) ? file : {}
    const sized = typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0
    if (typeof name !== 'string' || !sized) return undefined
    if (sha256 !== null && typeof sha256 !== 'string') return undefined
    return { name, bytes, sha256 }
  })
}
