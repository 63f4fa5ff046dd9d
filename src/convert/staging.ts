import {
  constants,
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { TargetFile } from '../formats/format.js'
import { fromSystemError, usageError } from '../io/errors.js'
import { syncDirectory } from '../io/sync.js'

/**
 * The directory beside the output in which the result is made. It becomes the
 * output by one rename when it is whole; until then nothing is at the output path.
 */
export interface Staging {
  /** The path the result is to have. */
  out: string
  /** Where it is made: `out` with `.partial`. */
  path: string
  /** The result is one file, and not a directory. */
  single: boolean
}

/** The record in every output directory: what it was made from, how, and its hashes. */
export const provenanceName = 'openllama.json'

/** The record of an output that is a file, beside it. */
export function provenanceBeside(out: string): string {
  return `${out}.${provenanceName}`
}

/** In the staging directory: what has been done, for --resume. */
export const journalName = '.journal.jsonl'

/**
 * Checks that the output path is free, or that what is there may be replaced.
 * @throws usage error otherwise
 */
export async function checkOutputPath({ out, single }: Staging, force: boolean): Promise<void> {
  const there = await kindOf(out)
  if (there === undefined) return
  if (!force) {
    throw usageError('it exists already', {
      path: out,
      suggestions: ['Choose another --out, or replace it with --force.'],
    })
  }
  if (single) {
    if (there === 'file') return
    throw usageError('it is a directory, a file is to be written there', {
      path: out,
      suggestions: ['Choose another --out.'],
    })
  }
  if (there === 'file') {
    throw usageError('it is a file, and the output is a directory', {
      path: out,
      suggestions: ['Remove it yourself, or choose another --out.'],
    })
  }
  // A slip of the hand must not replace a home directory by a model.
  if (!(await isOurs(out))) {
    throw usageError(
      `it is a directory that was not made by this program (it has no ${provenanceName})`,
      {
        path: out,
        suggestions: ['Remove it yourself, or choose another --out.'],
      },
    )
  }
}

/**
 * Makes the staging directory, or finds the one of an interrupted run.
 * @returns whether there is something to go on from
 */
export async function prepareStaging(
  { out, path }: Staging,
  { resume, force }: { resume: boolean; force: boolean },
): Promise<boolean> {
  const there = await kindOf(path)
  if (there !== undefined && !resume && !force) {
    throw usageError('an unfinished conversion is there', {
      path,
      suggestions: ['Go on from it with --resume, or discard it with --force.'],
    })
  }
  try {
    if (there !== undefined && !resume) await rm(path, { recursive: true })
    await mkdir(path, { recursive: true })
  } catch (error) {
    throw fromSystemError(error, out, 'write there')
  }
  return there !== undefined && resume
}

/** Creates the files of a target at their full size, with the bytes that are known beforehand. */
export async function createFiles(
  staging: string,
  files: readonly TargetFile[],
): Promise<Map<string, FileHandle>> {
  const handles = new Map<string, FileHandle>()
  for (const file of files) {
    const path = join(staging, file.name)
    try {
      await mkdir(dirname(path), { recursive: true })
      // Created if it is not there, and not emptied if it is: an earlier run's bytes count.
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT)
      handles.set(file.name, handle)
      await handle.truncate(file.size)
      for (const { offset, bytes } of file.literals) {
        await handle.write(bytes, 0, bytes.length, offset)
      }
    } catch (error) {
      for (const handle of handles.values()) await handle.close()
      throw fromSystemError(error, path, 'write it')
    }
  }
  return handles
}

/** Gives the finished result its name. Everything in it must have been synced. */
export async function publish(staging: Staging, force: boolean): Promise<void> {
  const { out, path } = staging
  try {
    // Once more: something may have come into being at the path meanwhile.
    await checkOutputPath(staging, force)
    if (staging.single) {
      // The record first: a file is never there without it, and replaces another in one step.
      await rename(join(path, provenanceName), provenanceBeside(out))
      await rename(join(path, basename(out)), out)
      await syncDirectory(dirname(out))
      await rm(path, { recursive: true })
      return
    }
    await rm(join(path, journalName), { force: true })
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) await syncDirectory(join(path, entry.name))
    }
    await syncDirectory(path)
    const replaced =
      (await kindOf(out)) === undefined ? undefined : `${out}.replaced-${process.pid}`
    if (replaced !== undefined) await rename(out, replaced)
    await rename(path, out)
    await syncDirectory(dirname(out))
    if (replaced !== undefined) await rm(replaced, { recursive: true })
  } catch (error) {
    throw fromSystemError(error, out, 'write it')
  }
}

export async function discard({ path }: Staging): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

async function isOurs(directory: string): Promise<boolean> {
  const entries = await readdir(directory)
  return entries.length === 0 || entries.includes(provenanceName)
}

async function kindOf(path: string): Promise<'file' | 'directory' | undefined> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file'
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw fromSystemError(error, path, 'look there')
  }
}
