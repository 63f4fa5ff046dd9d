import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fromSystemError } from './errors.js'
import { syncDirectory } from './sync.js'
import { removedAtExit } from './temporary.js'

/** How files appear: written and synced under a name of their own, then renamed. */

/** A name beside a file that no other run has: two at once do not write into each other's file. */
export function partialOf(path: string, tag = randomBytes(4).toString('hex')): string {
  return `${path}.${tag}.partial`
}

/**
 * Writes a small file that must not be there yet, and brings its bytes to disk. Where that fails,
 * nothing is left of it.
 * @param mode who may read it; by default as the system has it
 */
export async function createSynced(path: string, bytes: Uint8Array, mode?: number): Promise<void> {
  const handle = await open(path, 'wx', mode)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } catch (error) {
    await rm(path, { force: true }).catch(() => {})
    throw error
  } finally {
    await handle.close()
  }
}

/** Gives what is whole and synced its name, in the place of what has that. */
export async function giveName(from: string, to: string): Promise<void> {
  await rename(from, to)
}

/** A file that is on disk and waits for its name: a full disk is met before anything is touched. */
export interface ReadyFile {
  /** Gives it its name, and brings that to disk. */
  place(): Promise<void>
  /** Removes it, unless it has its name. */
  discard(): Promise<void>
}

/** @throws what the disk says, as of `path` */
export async function prepareFile(
  path: string,
  bytes: Uint8Array,
  mode?: number,
): Promise<ReadyFile> {
  const partial = partialOf(path)
  const removed = removedAtExit(partial)
  try {
    await createSynced(partial, bytes, mode)
  } catch (error) {
    removed()
    throw fromSystemError(error, path, 'write it')
  }
  return {
    async place() {
      await giveName(partial, path)
      removed()
      await syncDirectory(dirname(path))
    },
    async discard() {
      await rm(partial, { force: true }).catch(() => {})
      removed()
    },
  }
}

/**
 * Writes a small file, in the place of what is there: whatever ends this, the old one or the new one
 * is there whole.
 */
export async function replaceFile(path: string, bytes: Uint8Array, mode?: number): Promise<void> {
  const ready = await prepareFile(path, bytes, mode)
  try {
    await ready.place()
  } catch (error) {
    throw fromSystemError(error, path, 'write it')
  } finally {
    await ready.discard()
  }
}
