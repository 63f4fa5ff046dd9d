import { isJsonObject, type JsonObject, readJsonObject } from '../io/json.js'

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
export async function readRecord(path: string): Promise<JsonObject> {
  return readJsonObject(path, maxRecord)
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
