import { randomBytes } from 'node:crypto'
import { mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromSystemError, usageError } from './errors.js'
import { syncDirectory } from './sync.js'

/** A small file that is to be written. */
export interface OutputFile {
  path: string
  bytes: Uint8Array
}

/**
 * Writes small files that belong together. Each appears by a rename when all of
 * them are whole and synced.
 * @param force replace files that are there already
 * @throws usage error, before anything is written, where one is there and may not be replaced
 */
export async function writeOutputs(files: readonly OutputFile[], force: boolean): Promise<void> {
  for (const { path } of files) {
    const there = await stat(path).catch(() => undefined)
    if (there?.isDirectory()) {
      throw usageError('it is a directory, a file is to be written there', {
        path,
        suggestions: ['Choose another --out.'],
      })
    }
    if (there !== undefined && !force) {
      throw usageError('it exists already', {
        path,
        suggestions: ['Choose another --out, or replace it with --force.'],
      })
    }
  }
  // A name of its own: two runs at once do not write into each other's file.
  const tag = randomBytes(4).toString('hex')
  const partial = (path: string) => `${path}.${tag}.partial`
  try {
    for (const { path, bytes } of files) {
      await attempt(path, async () => {
        await mkdir(dirname(path), { recursive: true })
        const handle = await open(partial(path), 'wx')
        try {
          await handle.writeFile(bytes)
          await handle.sync()
        } finally {
          await handle.close()
        }
      })
    }
    for (const { path } of files) await attempt(path, () => rename(partial(path), path))
    for (const folder of new Set(files.map(({ path }) => dirname(path)))) {
      await attempt(folder, () => syncDirectory(folder))
    }
  } finally {
    for (const { path } of files) await rm(partial(path), { force: true })
  }
}

async function attempt(path: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    throw fromSystemError(error, path, 'write it')
  }
}
