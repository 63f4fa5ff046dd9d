import { createHash } from 'node:crypto'
import { type FileHandle, open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fromSystemError, usageError } from '../io/errors.js'
import { isRemote } from '../io/store.js'
import type { Plan } from './plan.js'
import { journalName } from './staging.js'
import type { TileFacts } from './tile.js'

/** A tile that is written, and what was seen in it. */
export interface Done {
  tile: number
  facts: TileFacts
}

/**
 * What has been written so far, one JSON line a batch. A tile stands in it only
 * after its bytes have been synced, so that a line can be believed after a
 * crash.
 */
export interface Journal {
  /** Tiles that an earlier run has written. */
  readonly done: readonly Done[]
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
  fingerprint: string,
  earlier: readonly Done[] | undefined,
  sync: () => Promise<void>,
): Promise<Journal> {
  const path = join(staging, journalName)
  const handle: FileHandle = await open(path, earlier ? 'a' : 'w')
  // A last line that was cut must not swallow the first of this run.
  await record(handle, path, earlier ? '' : JSON.stringify({ plan: fingerprint }))
  let batch: Done[] = []
  let last = Date.now()
  const flush = async () => {
    const lines = batch
    batch = []
    last = Date.now()
    await sync()
    await record(handle, path, JSON.stringify({ done: lines }))
  }
  return {
    done: earlier ?? [],
    async add(entry) {
      batch.push(entry)
      if (Date.now() - last >= batchInterval) await flush()
    },
    async close() {
      if (batch.length > 0) await flush()
      await handle.close()
    },
  }
}

/** What must be the same for a run to go on from another's work: sources, steps, places, tiles. */
export async function fingerprintOf(plan: Plan, budgets: readonly number[]): Promise<string> {
  const hash = createHash('sha256')
  for (const { path, size: told, sha256 } of plan.source.files) {
    // What is elsewhere has the commit in its path.
    const { size, mtimeMs } = isRemote(path) ? { size: told, mtimeMs: sha256 } : await stat(path)
    hash.update(JSON.stringify([path, size, mtimeMs]))
  }
  for (const { name, size, literals } of plan.target.files) {
    hash.update(JSON.stringify([name, size]))
    for (const { offset, bytes } of literals) hash.update(String(offset)).update(bytes)
  }
  return hash.update(JSON.stringify([plan.moves, ...budgets])).digest('hex')
}

async function record(handle: FileHandle, path: string, line: string): Promise<void> {
  try {
    await handle.appendFile(`${line}\n`)
    await handle.datasync()
  } catch (error) {
    throw fromSystemError(error, path, 'write it')
  }
}

/**
 * Reads what an earlier run has done, and changes nothing.
 * @param fingerprint of the plan: another plan cannot go on from it
 * @returns undefined where the earlier run did not come to write any of it
 * @throws usage error for the journal of another plan
 */
export async function readJournal(
  staging: string,
  fingerprint: string,
): Promise<Done[] | undefined> {
  const path = join(staging, journalName)
  const lines = (await readText(path)).split('\n').flatMap((line) => parseLine(line))
  if (lines.length === 0) return undefined
  if (!lines.some((line) => 'plan' in line && line.plan === fingerprint)) {
    throw usageError('the unfinished conversion there is of another source or has other options', {
      path,
      suggestions: ['Repeat it with its own options, or discard it with --force.'],
    })
  }
  return lines.flatMap((line) => ('done' in line ? line.done : []))
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    // Interrupted before the journal was begun: nothing to go on from, and nothing lost.
    return ''
  }
}

/** The last line may have been cut by a crash: it is left out, its tiles are done again. */
function parseLine(line: string): ({ plan: string } | { done: Done[] })[] {
  try {
    return line === '' ? [] : [JSON.parse(line)]
  } catch {
    return []
  }
}
