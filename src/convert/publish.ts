import { mkdir, rm, rmdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { list } from '../checkpoint/geometry.js'
import { giveName } from '../io/atomic.js'
import { fromSystemError, OpenLlamaError, usageError } from '../io/errors.js'
import type { Lock } from '../io/lock.js'
import { syncDirectory } from '../io/sync.js'
import { identityOf, listTree, statsOf } from '../io/tree.js'
import { recordBeside, recordName } from '../record/record.js'
import { type Existing, examineFolder, holdExisting, recordAt } from './existing.js'
import { journalName, readJournal } from './journal.js'
import { discard, type Staging } from './staging.js'

/** Where what was at the output's path is while another takes its place, and until it is removed. */
export function replacedBy(out: string): string {
  return `${out}.openllama.replaced`
}

/** What is published, and what must still be so for that. */
export interface Publication {
  /** The files of the output by their names in the staging directory: what each is (`identityOf`). */
  files: ReadonlyMap<string, string>
  /** What is at the path, and may be replaced. */
  existing: Existing | undefined
  lock: Lock
}

/**
 * Gives the finished result its name. Everything in it must have been synced. Whatever ends this,
 * no output is ever at the path that is not whole, or that has the record of another: what was
 * there is moved aside first, and comes back where the new one does not arrive.
 * @returns what went wrong after the output was whole at its path, in sentences
 */
export async function publish(
  staging: Staging,
  { files, existing, lock }: Publication,
): Promise<string[]> {
  const { out, path } = staging
  try {
    await holdStaging(staging, files)
    for (const { name, kind } of await listTree(path)) {
      if (kind === 'folder') await syncDirectory(join(path, name))
    }
    await syncDirectory(path)
    await holdExisting(staging, existing)
    if (!(await lock.isHeld())) {
      throw usageError('another run has taken the output over meanwhile', {
        path: out,
        suggestions: ['Look at what is there; nothing of it was touched.'],
      })
    }
    const moved = await exchange(staging)
    return await cleanUp(staging, [...files.keys()], moved)
  } catch (error) {
    throw fromSystemError(error, out, 'write it')
  }
}

/** @throws usage error where the staging directory has more in it than was made, or other files */
async function holdStaging({ path }: Staging, files: Publication['files']): Promise<void> {
  const known = new Set([journalName, recordName])
  const entries = await listTree(path)
  const foreign = entries.filter(
    ({ name, kind, stats }) =>
      kind === 'other' ||
      (kind === 'file' && !known.has(name) && files.get(name) !== identityOf(stats)),
  )
  if (foreign.length > 0) {
    throw usageError(`something came there meanwhile: ${list(foreign.map(outputName), 5)}`, {
      path,
      suggestions: ['Move it away, and go on with `resume`.'],
    })
  }
  const there = new Set(entries.map(outputName))
  const gone = [...files.keys()].filter((name) => !there.has(name))
  if (gone.length === 0) return
  throw usageError(`what was made is gone: ${list(gone, 5)}`, {
    path,
    suggestions: ['`resume` makes it again.'],
  })
}

function outputName({ name }: { name: string }): string {
  return name
}

/** One step of what must be done wholly or not at all. */
type Step = [from: string, to: string]

/** @returns whether something was moved aside */
async function exchange(staging: Staging): Promise<boolean> {
  const steps: Step[] = []
  const { out, path, single } = staging
  const replaced = replacedBy(out)
  if ((await statsOf(out)) !== undefined) steps.push([out, replaced])
  const beside = recordBeside(out)
  if (single && (await statsOf(beside))) steps.push([beside, recordBeside(replaced)])
  const moved = steps.length > 0
  if (single) {
    const [record, file] = [join(path, recordName), join(path, basename(out))]
    // The file last: while it is not there, no record is of another.
    steps.push([record, beside], [file, out])
  } else steps.push([path, out])
  await refuseTaken(steps)
  const done: Step[] = []
  try {
    for (const step of steps) {
      await giveName(...step)
      done.push(step)
    }
  } catch (error) {
    await undo(done, error)
    throw error
  }
  return moved
}

/** What is at a path where something is to be moved aside would be lost. */
async function refuseTaken(steps: readonly Step[]): Promise<void> {
  const left = new Set(steps.map(([from]) => from))
  for (const [, to] of steps) {
    if (left.has(to) || (await statsOf(to)) === undefined) continue
    throw usageError('it is in the way: what is replaced is to be kept there for a moment', {
      path: to,
      suggestions: ['Move it away, and go on with `resume`.'],
    })
  }
}

/** @throws resources error that names all that could not be brought back */
async function undo(done: readonly Step[], cause: unknown): Promise<void> {
  const stuck: Step[] = []
  for (const [from, to] of [...done].reverse()) {
    // What was moved before it waits with it: else a file could come back to another's record.
    const back =
      stuck.length === 0 &&
      (await giveName(to, from).then(
        () => true,
        () => false,
      ))
    if (!back) stuck.push([from, to])
  }
  const [first] = stuck
  if (first === undefined) return
  const why = cause instanceof Error ? cause.message : String(cause)
  const places = stuck.map(([from, to]) => `${from} is ${to}`)
  throw new OpenLlamaError(
    'resources',
    `the output could not take its place (${why}), and what was moved could not be moved back: ${places.join(', ')}`,
    {
      path: first[0],
      suggestions: [
        'Nothing of it is lost: the same command brings it back when it can, or rename it yourself.',
      ],
      cause,
    },
  )
}

/** The output is whole at its path: whatever fails from here on costs nothing of it. */
async function cleanUp(
  staging: Staging,
  files: readonly string[],
  moved: boolean,
): Promise<string[]> {
  const { out, single } = staging
  const warnings: string[] = []
  const attempt = async (path: string, doing: string, work: () => Promise<unknown>) => {
    try {
      await work()
    } catch (error) {
      const told = fromSystemError(error, path, doing)
      const why = told instanceof Error ? told.message : String(told)
      warnings.push(`the output is whole at its path; but ${why}`)
    }
  }
  await attempt(out, 'bring its name to disk', () => syncDirectory(dirname(out)))
  const replaced = replacedBy(out)
  // Until the new one is certain to stay, the old one does.
  if (moved && warnings.length > 0) warnings.push(`what it replaces is kept, as ${replaced}`)
  else if (moved) await attempt(replaced, 'remove it', () => removeReplaced(staging))
  if (single) await attempt(staging.path, 'remove it', () => discard(staging, files))
  else {
    const journal = join(out, journalName)
    await attempt(journal, 'remove it', () => rm(journal, { force: true }))
  }
  return warnings
}

/** Removes what was replaced, after what goes over into the new output has gone. */
async function removeReplaced({ out, single }: Staging): Promise<void> {
  const replaced = replacedBy(out)
  const there = await statsOf(replaced)
  if (single) {
    // It was moved there with its record or by it, and nothing else was.
    await rm(replaced, { force: true })
    await rm(recordBeside(replaced), { force: true })
    return
  }
  if (there === undefined) return
  const entries = await listTree(replaced)
  const record = await recordAt(join(replaced, recordName))
  const own = (name: string) => record?.files.has(name) === true || name === journalName
  for (const { name, kind } of entries) {
    if (kind !== 'file' || own(name) || name === recordName) continue
    const kept = join(out, name)
    if ((await statsOf(kept)) !== undefined) continue
    await mkdir(dirname(kept), { recursive: true })
    await giveName(join(replaced, name), kept)
  }
  for (const { name, kind } of entries) {
    if (kind === 'file' && own(name)) await rm(join(replaced, name), { force: true })
  }
  for (const { name, kind } of entries.reverse()) {
    if (kind === 'folder') await rmdir(join(replaced, name))
  }
  // The record last: as long as there is anything, it says what it is.
  await rm(join(replaced, recordName), { force: true })
  await rmdir(replaced)
}

/**
 * Ends what a run that was killed in the middle of publishing had begun: what it had moved aside
 * comes back where no output arrived, and is removed where one did.
 * @returns what was done, in sentences
 */
export async function recover(staging: Staging): Promise<string[]> {
  const { out, path, single } = staging
  const replaced = replacedBy(out)
  try {
    const [now, before] = [await statsOf(out), await statsOf(replaced)]
    if (single) return await recoverFile(staging)
    if (before === undefined || !before.isDirectory()) return []
    const record = await recordAt(join(replaced, recordName))
    const empty = (await listTree(replaced)).length === 0
    if (record === undefined && !empty) return []
    if (now === undefined) {
      // While it is moved aside, the new one waits in the staging directory.
      if ((await readJournal(path).catch(() => undefined)) === undefined) return []
      await giveName(replaced, out)
      return [`${out} had been moved aside by a run that was killed, and is back`]
    }
    // Not ours, where the output is none of ours.
    if ((await recordAt(join(out, recordName))) === undefined) return []
    if (!empty) await examineFolder(replaced)
    await removeReplaced(staging)
    return []
  } catch (error) {
    if (error instanceof OpenLlamaError && error.code === 'usage') {
      return [`${replaced} was left by a run that was killed, and is kept: ${error.message}`]
    }
    throw fromSystemError(error, path, 'write there')
  }
}

async function recoverFile(staging: Staging): Promise<string[]> {
  const { out, path } = staging
  const replaced = replacedBy(out)
  const [beside, kept] = [recordBeside(out), recordBeside(replaced)]
  const [now, before] = [await statsOf(out), await statsOf(replaced)]
  const file = basename(out)
  const isRecord = async (at: string) => (await recordAt(at))?.files.has(file) === true
  const journal = await readJournal(path).catch(() => undefined)
  if (now === undefined && before?.isFile()) {
    const moved = (await statsOf(kept)) !== undefined
    if (!(await isRecord(moved ? kept : beside))) return []
    // The new record had come already, and the new file had not.
    if (moved && (await statsOf(beside))) {
      if (!(await isRecord(beside))) return []
      await mkdir(path, { recursive: true })
      await giveName(beside, join(path, recordName))
    }
    if (moved) await giveName(kept, beside)
    await giveName(replaced, out)
    return [`${out} had been moved aside by a run that was killed, and is back`]
  }
  if (now === undefined && before === undefined && journal !== undefined) {
    // A first output, whose record had come and whose file had not.
    const waits = await statsOf(join(path, file))
    if (waits && !(await statsOf(join(path, recordName))) && (await isRecord(beside))) {
      await giveName(beside, join(path, recordName))
    }
    return []
  }
  if (now === undefined || !(await isRecord(beside))) return []
  if (await isRecord(kept)) await removeReplaced(staging)
  const left = journal?.head.files.includes(file) && (await listTree(path)).map(outputName)
  // It had arrived, and only its staging directory had not been removed.
  if (left && left.length === 1 && left[0] === journalName) await discard(staging, [])
  return []
}
