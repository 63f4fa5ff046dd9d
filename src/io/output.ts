import { randomBytes } from 'node:crypto'
import { link, mkdir, rm } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { createSynced, giveName, partialOf } from './atomic.js'
import { fromSystemError, OpenLlamaError, usageError } from './errors.js'
import { syncDirectory } from './sync.js'
import { removedAtExit } from './temporary.js'
import { statsOf } from './tree.js'

/** A small file that is to be written. */
export interface OutputFile {
  path: string
  bytes: Uint8Array
}

/**
 * Writes small files that belong together. Each appears by a rename when all of
 * them are whole and synced; where one cannot, those before it are taken back.
 * @param force replace files that are there already
 * @throws usage error, before anything is written, where one is there and may not be replaced
 */
export async function writeOutputs(files: readonly OutputFile[], force: boolean): Promise<void> {
  for (const { path } of files) {
    const there = await statsOf(path)
    if (there?.isDirectory()) {
      throw usageError('it is a directory, a file is to be written there', {
        path,
        suggestions: ['Choose another `out`.'],
      })
    }
    if (there !== undefined && !force) throw exists(path)
  }
  const tag = randomBytes(4).toString('hex')
  const partial = (path: string) => partialOf(path, tag)
  const before = (path: string) => `${path}.${tag}.before`
  const placed: string[] = []
  const temporary = files.flatMap(({ path }) => [partial(path), before(path)])
  const removed = temporary.map(removedAtExit)
  const left: [path: string, error: unknown][] = []
  try {
    for (const { path, bytes } of files) {
      await attempt(path, async () => {
        await mkdir(dirname(path), { recursive: true })
        await createSynced(partial(path), bytes)
      })
    }
    for (const { path } of files) {
      // A single file needs no way back.
      if (files.length > 1) await link(path, before(path)).catch(() => {})
      await attempt(path, () => (force ? giveName(partial(path), path) : add(partial(path), path)))
      placed.push(path)
    }
  } catch (error) {
    for (const path of placed.reverse()) {
      const back = await giveName(before(path), path).then(
        () => true,
        () => false,
      )
      if (!back && !force) await rm(path, { force: true })
    }
    throw error
  } finally {
    // What stopped it is what is told.
    for (const [i, path] of temporary.entries()) {
      await rm(path, { force: true }).then(removed[i], (error: unknown) => left.push([path, error]))
    }
  }
  const kept: typeof left = []
  for (const each of left) if (await isPerhapsThere(each[0])) kept.push(each)
  const [first] = kept
  if (first !== undefined) {
    const names = kept.map(([path]) => basename(path)).join(', ')
    throw wholeBut(...first, 'remove it', `Remove what nothing needs any more: ${names}`)
  }
  for (const folder of new Set(files.map(({ path }) => dirname(path)))) {
    await confirm(folder)
  }
}

/** A disk that does not answer may have it. */
async function isPerhapsThere(path: string): Promise<boolean> {
  return statsOf(path).then(
    (stats) => stats !== undefined,
    () => true,
  )
}

/** Gives a file its name, unless something came there meanwhile. */
async function add(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw exists(to)
    // Some file systems have no hard links.
    await giveName(from, to)
  }
}

function exists(path: string): OpenLlamaError {
  return usageError('it exists already', {
    path,
    suggestions: ['Choose another `out`, or replace it with `force`.'],
  })
}

/** @throws resources error that says that all is there */
async function confirm(folder: string): Promise<void> {
  try {
    await syncDirectory(folder)
  } catch (error) {
    throw wholeBut(folder, error, 'bring it to disk', 'Look at it again when the disk is well.')
  }
}

/** What went wrong when all was where it was to be. */
function wholeBut(path: string, error: unknown, doing: string, advice: string): OpenLlamaError {
  const told = fromSystemError(error, path, doing)
  const why = told instanceof OpenLlamaError ? told.what : String(told)
  return new OpenLlamaError('resources', `all files are whole at their paths, but ${why}`, {
    path,
    suggestions: [advice],
    cause: error,
  })
}

async function attempt(path: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw fromSystemError(error, path, 'write it')
  }
}
