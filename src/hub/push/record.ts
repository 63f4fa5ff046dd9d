import { readdir } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { append } from '../../io/append.js'
import { inputError, OpenLlamaError } from '../../io/errors.js'
import { isJsonObject, type JsonObject } from '../../io/json.js'
import { listedFiles, readRecord, recordBeside, recordName } from '../../record/record.js'
import type { LocalFile, ReadFile } from './files.js'

/** What openllama.json says of a file of the folder. */
interface RecordedFile {
  path: string
  bytes: number
  /** null where the conversion was told not to hash. */
  sha256: string | null
  /** The record that says so. */
  record: string
}

/** What the records of a folder say: there may be one in each of its folders. */
export interface FolderRecord {
  files: RecordedFile[]
  /** Why what is recorded has not passed a check, a sentence each. */
  unchecked: string[]
}

/** The record of a folder, or of one file in it: model.gguf.openllama.json. */
function isRecord(path: string): boolean {
  const name = posix.basename(path)
  return name === recordName || name.endsWith(recordBeside(''))
}

/** Files of weights, by their names; an importance matrix is none, though it looks so. */
const weights = /^(?!imatrix).*\.(safetensors|gguf|bin|pth?|onnx(_data)?|msgpack|h5|ckpt)$/i

/**
 * Reads the folder's records, which tell what its files are even where they are not to
 * be pushed themselves, and those deeper among the files.
 * @throws input error for a record that is none
 */
export async function readRecords(
  files: readonly LocalFile[],
  folder: string,
): Promise<FolderRecord> {
  const recorded: RecordedFile[] = []
  const unchecked: string[] = []
  const own = (await readdir(folder)).filter(isRecord).sort()
  const records = [
    ...own.map((name) => ({ path: name, local: join(folder, name) })),
    ...files.filter(({ path }) => isRecord(path) && !own.includes(path)),
  ]
  for (const { path, local } of records) {
    const record = await readRecord(local)
    append(recorded, filesOf(record, path, local))
    append(unchecked, checkOf(record, local))
  }
  if (records.length === 0) {
    unchecked.push(`there is no ${recordName}: nothing tells what the files are`)
    return { files: recorded, unchecked }
  }
  const known = new Set(recorded.map(({ path }) => path))
  const stray = files.filter(({ path }) => !known.has(path) && weights.test(posix.basename(path)))
  append(
    unchecked,
    stray.map(({ path }) => `${path} is in no ${recordName}`),
  )
  return { files: recorded, unchecked }
}

function filesOf(record: JsonObject, path: string, local: string): RecordedFile[] {
  const files = listedFiles(record)
  if (files === undefined) {
    throw inputError('it lists no files: it is no record of a conversion', {
      path: local,
      suggestions: ['Convert again, or leave it out with `exclude`.'],
    })
  }
  return files.map((file) => {
    if (file === undefined)
      throw inputError('it lists a file without name or size', { path: local })
    const { name, bytes, sha256 } = file
    const hash = sha256 !== null && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : null
    const within = posix.join(posix.dirname(path), name)
    return { path: within, bytes, sha256: hash, record: local }
  })
}

function checkOf({ check }: JsonObject, local: string): string[] {
  if (!isJsonObject(check)) return [`${local} has no check`]
  return check.verdict === 'passed' ? [] : [`${local} says that its check failed`]
}

/** @throws check error where no check has passed */
export function requireCheck({ unchecked }: FolderRecord): void {
  if (unchecked.length === 0) return
  throw new OpenLlamaError('check', unchecked.join('; '), {
    suggestions: [
      'Check it with `openllama check OUTPUT --against SOURCE --record`, or convert it again with `check`: what that finds is recorded beside the output.',
      'Or push it as it is, with `unchecked`.',
    ],
  })
}

/**
 * Holds names and sizes against the records, before anything is read.
 * @param isChosen whether a path was to be pushed: what was left out may be missing
 * @throws check error
 */
export function compareSizes(
  { files }: FolderRecord,
  there: readonly LocalFile[],
  isChosen: (path: string) => boolean,
): void {
  const sizes = new Map(there.map(({ path, size }) => [path, size]))
  for (const { path, bytes, record } of files) {
    const size = sizes.get(path)
    if (size === bytes || (size === undefined && !isChosen(path))) continue
    const found = size === undefined ? 'it is not there' : `it has ${size} bytes`
    throw new OpenLlamaError('check', `${found}, ${record} says ${bytes}`, {
      path,
      suggestions: mend,
    })
  }
}

/** @throws check error for a file whose content is not what its record says */
export function compareHashes({ files }: FolderRecord, { path, sha256 }: ReadFile): void {
  const recorded = files.find((file) => file.path === path)
  if (!recorded || recorded.sha256 === null || recorded.sha256 === sha256) return
  throw new OpenLlamaError(
    'check',
    `its SHA-256 is ${sha256}, ${recorded.record} says ${recorded.sha256}`,
    { path, suggestions: mend },
  )
}

const mend = ['The file is damaged, or was changed after its conversion: convert it again.']
