import { readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { list } from '../checkpoint/geometry.js'
import { fromSystemError, OpenLlamaError, usageError } from '../io/errors.js'
import { isJsonObject, type JsonObject } from '../io/json.js'
import { listTree, stateOf, statsOf, type TreeEntry } from '../io/tree.js'
import { listedFiles, readRecord, recordBeside, recordName } from '../record/record.js'
import { hashFile } from './digest.js'
import { journalName } from './journal.js'

import type { Staging } from './staging.js'

/**
 * What is at an output's path and may be replaced: this program made it, which its record proves
 * by names, sizes and hashes.
 */
export interface Existing {
  /** Of a folder, by their names in it; of a single file, it and its record by their paths. */
  files: ReadonlyMap<string, string>
  /** What goes over into the new output: the card and what belongs to it. */
  carried: readonly string[]
}

/** What people keep in a folder of weights, or `openllama card` wrote: kept whatever replaces the rest. */
const carriedOver = /^(README\.md|openllama-[a-z]+\.svg|\.eval_results\/[^/]+\.yaml)$/

/** How what is there is proven. */
export interface ProofOptions {
  /** Only names and sizes, for a run that is not to be. */
  quick?: boolean
  signal?: AbortSignal
}

/**
 * Looks at what is at the output's path, and changes nothing.
 * @returns undefined where nothing is there
 * @throws usage error, naming it, for what may not be replaced
 */
export async function examineExisting(
  { out, single }: Staging,
  force: boolean,
  proof: ProofOptions,
): Promise<Existing | undefined> {
  const there = await statsOf(out)
  if (there === undefined) return single ? examineRecord(out, force) : undefined
  if (!force) {
    throw usageError('it exists already', {
      path: out,
      suggestions: ['Choose another `out`, or replace it with `force`.'],
    })
  }
  if (there.isSymbolicLink()) {
    const target = await readlink(out).catch(() => 'nowhere')
    throw refusal(out, `it is a link to ${target}`, 'name that itself')
  }
  if (single && !there.isFile()) {
    throw refusal(out, 'it is a directory, a file is to be written there')
  }
  if (!single && !there.isDirectory()) {
    throw refusal(out, 'it is a file, and the output is a directory')
  }
  return single ? examineFile(out, proof) : examineFolder(out, proof)
}

/** @throws usage error where the folder has something in it that may not be removed */
export async function examineFolder(folder: string, proof: ProofOptions = {}): Promise<Existing> {
  const entries = (await listTree(folder)).filter(({ kind }) => kind !== 'folder')
  if (entries.length === 0) return { files: new Map(), carried: [] }
  const record = await recordAt(join(folder, recordName))
  // A slip of the hand must not replace a home directory by a model.
  if (record === undefined) {
    throw refusal(
      folder,
      `it is a directory that was not made by this program (it has no ${recordName} of it)`,
    )
  }
  const own = new Set([recordName, journalName])
  const carried: string[] = []
  const foreign: string[] = []
  const proven = new Map<string, string>()
  const listed: TreeEntry[] = []
  for (const entry of entries) {
    const { name, kind, stats } = entry
    if (kind === 'file' && record.files.has(name)) listed.push(entry)
    else if (kind === 'file' && own.has(name)) proven.set(name, stateOf(stats))
    else if (kind === 'file' && carriedOver.test(name)) carried.push(name)
    else foreign.push(name)
  }
  if (foreign.length > 0) {
    throw refusal(
      folder,
      `${recordName} does not list what is in it: ${list(foreign, 5)}`,
      'move it away',
    )
  }
  for (const entry of listed) {
    const recorded = record.files.get(entry.name)
    const path = join(folder, entry.name)
    if (recorded) await proveFile(path, entry.stats, recorded, record, proof)
    proven.set(entry.name, stateOf(entry.stats))
  }
  return { files: proven, carried }
}

/** The record of a single file must be of this file. */
async function examineFile(out: string, proof: ProofOptions): Promise<Existing> {
  const beside = recordBeside(out)
  const record = await recordAt(beside)
  const recorded = record?.files.get(basename(out))
  const stats = await statsOf(out)
  if (record === undefined || recorded === undefined || stats === undefined) {
    throw refusal(
      out,
      `it is a file that was not made by this program (${basename(beside)} does not describe it)`,
    )
  }
  await proveFile(out, stats, recorded, record, proof)
  return {
    files: new Map([
      [out, stateOf(stats)],
      [beside, record.state],
    ]),
    carried: [],
  }
}

/** Nothing is at the path of a single file; a record may be beside it. */
async function examineRecord(out: string, force: boolean): Promise<Existing | undefined> {
  const beside = recordBeside(out)
  if ((await statsOf(beside)) === undefined) return undefined
  const record = await recordAt(beside)
  if (record === undefined || !record.files.has(basename(out))) {
    throw refusal(beside, 'it is there already, and is no record of such a file')
  }
  if (force) return { files: new Map([[beside, record.state]]), carried: [] }
  throw usageError('the record of such a file exists already', {
    path: beside,
    suggestions: ['Choose another `out`, or replace it with `force`.'],
  })
}

/**
 * Whether it is still what was looked at: nothing changed, and nothing came to it.
 * @throws usage error otherwise
 */
export async function holdExisting(
  { out, single }: Staging,
  existing: Existing | undefined,
): Promise<void> {
  if (existing === undefined) {
    const path = (await statsOf(out)) ? out : recordBeside(out)
    if (path !== out && (!single || (await statsOf(path)) === undefined)) return
    throw came(path)
  }
  const paths = new Map<string, string>()
  if (single) {
    for (const path of [out, recordBeside(out)]) {
      const stats = await statsOf(path)
      if (stats !== undefined) paths.set(path, stateOf(stats))
    }
  } else {
    for (const { name, kind, stats } of await listTree(out)) {
      if (kind !== 'folder' && !existing.carried.includes(name)) paths.set(name, stateOf(stats))
    }
  }
  const other = [...paths].find(([path, state]) => existing.files.get(path) !== state)
  if (other !== undefined) throw came(single ? other[0] : join(out, other[0]))
}

function came(path: string): OpenLlamaError {
  return usageError('it came there, or was changed, while the output was made', {
    path,
    suggestions: ['Move it away, and go on with `resume`.'],
  })
}

/** @throws usage error for a file that is not as its record says */
async function proveFile(
  path: string,
  stats: TreeEntry['stats'],
  { bytes, sha256 }: Recorded,
  { mtimeNs }: OutputRecord,
  { quick = false, signal }: ProofOptions,
): Promise<void> {
  if (stats.size !== BigInt(bytes)) {
    throw refusal(path, `it has ${stats.size} bytes, its record says ${bytes}`)
  }
  if (sha256 === null) {
    // The record was written after everything else, and has the time of that.
    if (stats.mtimeNs <= mtimeNs) return
    throw refusal(path, 'it was changed after its record was written, which has no hash of it')
  }
  if (quick) return
  const found = await hashFile(path, [], signal)
  if (found !== sha256) throw refusal(path, `its SHA-256 is ${found}, its record says ${sha256}`)
}

function refusal(path: string, what: string, other = 'remove it yourself'): OpenLlamaError {
  return usageError(`${what}; \`force\` replaces only what this program wrote`, {
    path,
    suggestions: [`Choose another \`out\`, or ${other}.`],
  })
}

interface Recorded {
  bytes: number
  sha256: string | null
}

interface OutputRecord {
  /** By their names in the output. */
  files: ReadonlyMap<string, Recorded>
  state: string
  mtimeNs: bigint
}

/** @returns undefined for what is no record that this program wrote */
export async function recordAt(path: string): Promise<OutputRecord | undefined> {
  const stats = await statsOf(path)
  if (!stats?.isFile()) return undefined
  try {
    const files = filesOf(await readRecord(path))
    return files && { files, state: stateOf(stats), mtimeNs: stats.mtimeNs }
  } catch (error) {
    if (error instanceof OpenLlamaError && error.code === 'input') return undefined
    throw fromSystemError(error, path, 'read it')
  }
}

function filesOf(record: JsonObject): Map<string, Recorded> | undefined {
  const { tool } = record
  if (!isJsonObject(tool) || tool.name !== 'openllama') return undefined
  const listed = listedFiles(record)
  const files = listed?.flatMap((file) => file ?? [])
  if (files === undefined || files.length !== listed?.length) return undefined
  return new Map(files.map(({ name, ...file }) => [name, file]))
}
