import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { fromSystemError, inputError, usageError } from '../io/errors.js'
import { isJsonObject, type Json, parseJsonIfAny } from '../io/json.js'
import { noFollow } from '../io/no-follow.js'
import { isRemote } from '../io/store.js'
import { stateOf } from '../io/tree.js'
import { version } from '../version.js'
import type { Plan } from './plan.js'
import type { MadeTile, TileFacts } from './tile.js'

/** In the staging directory: what has been done, for --resume. */
export const journalName = '.journal.jsonl'

/** A tile that is written, and what was seen in it. */
interface Done extends MadeTile {
  tile: number
}

/** What a journal is of: another plan cannot go on from it. */
export interface Head {
  fingerprint: string
  /** Names of all files that are being made: what else is beside them is somebody else's. */
  files: readonly string[]
  /** It may replace an output that is there: who goes on from it need not be asked again. */
  force: boolean
}

/** What an earlier run has left. */
export interface Earlier {
  head: Head
  done: readonly Done[]
  /** Bytes of the journal that can be believed; behind them is at most a line that was cut. */
  length: number
}

/**
 * What has been written so far, one line of JSON a batch, each with a checksum of its own. A tile
 * stands in it only after its bytes have been synced, so that a line can be believed after a crash.
 */
export interface Journal {
  /** Notes a tile; it is recorded with the next batch. */
  add(done: Done): Promise<void>
  close(): Promise<void>
}

/** How often a batch is synced and recorded, in milliseconds: what an interruption costs at most. */
const batchInterval = 5000

/**
 * Opens the journal of a staging directory to go on in it.
 * @param earlier what `readJournal` found; without it the journal is begun anew
 * @param sync brings the outputs' bytes to disk
 */
export async function openJournal(
  staging: string,
  head: Head,
  earlier: Earlier | undefined,
  sync: () => Promise<void>,
): Promise<Journal> {
  const path = join(staging, journalName)
  const handle = await begin(path, head, earlier)
  let batch: Done[] = []
  let last = Date.now()
  const flush = async () => {
    const lines = batch
    batch = []
    last = Date.now()
    await sync()
    await record(handle, path, lineOf({ done: lines }))
  }
  return {
    async add(entry) {
      batch.push(entry)
      if (Date.now() - last >= batchInterval) await flush()
    },
    async close() {
      try {
        if (batch.length > 0) await flush()
      } finally {
        await handle.close()
      }
    },
  }
}

async function begin(path: string, head: Head, earlier: Earlier | undefined): Promise<FileHandle> {
  let handle: FileHandle | undefined
  try {
    const { O_RDWR, O_CREAT, O_APPEND } = constants
    handle = await open(path, O_RDWR | O_CREAT | O_APPEND | noFollow)
    // A last line that was cut must not swallow the first of this run.
    await handle.truncate(earlier?.length ?? 0)
    if (earlier === undefined) await record(handle, path, lineOf({ plan: head }))
    return handle
  } catch (error) {
    await handle?.close()
    throw fromSystemError(error, path, 'write it')
  }
}

async function record(handle: FileHandle, path: string, line: string): Promise<void> {
  try {
    await handle.appendFile(line)
    await handle.datasync()
  } catch (error) {
    throw fromSystemError(error, path, 'write it')
  }
}

/** What must be the same for a run to go on from another's work: sources, steps, places, tiles. */
export async function fingerprintOf(plan: Plan, budgets: readonly number[]): Promise<string> {
  const hash = createHash('sha256').update(version())
  for (const { path, size: told, sha256 } of plan.source.files) {
    // What is elsewhere has the commit in its path.
    const state = isRemote(path) ? [told, sha256] : [await fileState(path)]
    hash.update(JSON.stringify([path, ...state]))
  }
  for (const { name, size, literals } of plan.target.files) {
    hash.update(JSON.stringify([name, size]))
    for (const { offset, bytes } of literals) hash.update(String(offset)).update(bytes)
  }
  return hash.update(JSON.stringify([plan.moves, ...budgets])).digest('hex')
}

async function fileState(path: string): Promise<string> {
  try {
    return stateOf(await stat(path, { bigint: true }))
  } catch (error) {
    throw fromSystemError(error, path, 'read it')
  }
}

/**
 * Reads what an earlier run has done, and changes nothing. A line that was cut or damaged is left
 * out: its tiles are made again.
 * @returns undefined where there is no journal, or the earlier run did not come to begin it
 * @throws input error where nothing says any more what it is of
 */
export async function readJournal(staging: string): Promise<Earlier | undefined> {
  const path = join(staging, journalName)
  const text = await readText(path)
  const end = text.lastIndexOf('\n') + 1
  const [first, ...lines] = text.slice(0, end).split('\n').slice(0, -1).map(parseLine)
  if (end === 0) return undefined
  const head = first && headOf(first.plan)
  if (head === undefined) {
    throw inputError('the first line of its journal is damaged: nothing says what it is of', {
      path: staging,
      suggestions: ['It cannot be gone on from. Remove it yourself, and begin anew.'],
    })
  }
  const done = lines.flatMap((line) => doneOf(line?.done))
  return { head, done, length: Buffer.byteLength(text.slice(0, end)) }
}

/** @throws usage error for the journal of another plan */
export function refuseOther({ head }: Earlier, fingerprint: string, staging: string): void {
  if (head.fingerprint === fingerprint) return
  throw usageError('the unfinished conversion there is of another source or has other options', {
    path: staging,
    suggestions: ['Repeat it with its own options, or discard it with `force`.'],
  })
}

async function readText(path: string): Promise<string> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, constants.O_RDONLY | noFollow)
    return await handle.readFile('utf8')
  } catch (error) {
    // Interrupted before the journal was begun: nothing to go on from, and nothing lost.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw fromSystemError(error, path, 'read it')
  } finally {
    await handle?.close()
  }
}

type Content = { plan: Head } | { done: readonly Done[] }

function lineOf(content: Content): string {
  const text = JSON.stringify(content)
  return `${JSON.stringify({ crc32: crc32(text), ...content })}\n`
}

/** @returns undefined for a line that is not as it was written */
function parseLine(line: string): { plan?: Json; done?: Json } | undefined {
  const value = parseJsonIfAny(line)
  if (!isJsonObject(value)) return undefined
  const { crc32: sum, ...content } = value
  return sum === crc32(JSON.stringify(content)) ? content : undefined
}

function headOf(value: Json | undefined): Head | undefined {
  if (!isJsonObject(value)) return undefined
  const { fingerprint, files, force } = value
  if (typeof fingerprint !== 'string' || !Array.isArray(files)) return undefined
  if (typeof force !== 'boolean') return undefined
  const names = files.filter((name) => typeof name === 'string').filter(isInside)
  return names.length === files.length ? { fingerprint, files: names, force } : undefined
}

/** Files are removed by these names: none of them may lead out of the folder. */
function isInside(name: string): boolean {
  return name !== '' && !/(^|[/\\])(\.{0,2}|[A-Za-z]:.*)($|[/\\])/.test(name)
}

function doneOf(value: Json | undefined): Done[] {
  return Array.isArray(value) ? value.flatMap(entryOf) : []
}

function entryOf(value: Json): Done[] {
  if (!isJsonObject(value) || !isJsonObject(value.facts)) return []
  const { nan, infinite, overflowed, vanished } = value.facts
  const [tile, sum] = [value.tile, value.crc32]
  if (!isCount(tile) || !isCount(sum) || !isCount(nan) || !isCount(infinite)) return []
  if (!isCount(overflowed) || !isCount(vanished)) return []
  const facts: TileFacts = { nan, infinite, overflowed, vanished }
  return [{ tile, crc32: sum, facts }]
}

function isCount(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
