import type { BigIntStats } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fromSystemError, usageError } from './errors.js'

/** What is in a folder or below it; links are not followed. */
export interface TreeEntry {
  /** From the folder on, with `/` between its steps. */
  name: string
  kind: 'file' | 'folder' | 'other'
  stats: BigIntStats
}

/** Entries of a folder at most: an output has some thousand, a home directory is no output. */
const mostEntries = 100_000

/**
 * All that is in a folder, folders before what is in them.
 * @throws usage error for a folder of more than anybody would want an output to be
 */
export async function listTree(folder: string): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = []
  const waiting = ['']
  for (let at = waiting.shift(); at !== undefined; at = waiting.shift()) {
    for (const each of (await namesIn(join(folder, at))).sort()) {
      const name = at === '' ? each : `${at}/${each}`
      const stats = await statsOf(join(folder, name))
      if (stats === undefined) continue
      const kind = stats.isDirectory() ? 'folder' : stats.isFile() ? 'file' : 'other'
      entries.push({ name, kind, stats })
      if (entries.length > mostEntries) {
        throw usageError(`there are more than ${mostEntries} files and folders in it`, {
          path: folder,
          suggestions: ['Choose another `out`.'],
        })
      }
      if (kind === 'folder') waiting.push(name)
    }
  }
  return entries
}

/** What is at a path, not following a link there; undefined where nothing is. */
export async function statsOf(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw fromSystemError(error, path, 'look there')
  }
}

/** Whether a file is still what it was: its bytes have been neither changed nor exchanged. */
export function stateOf({ size, mtimeNs, dev, ino }: BigIntStats): string {
  return [size, mtimeNs, dev, ino].join(' ')
}

/** Which file a path leads to, whatever it is called. */
export function identityOf({ dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): string {
  return `${dev}:${ino}`
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    throw fromSystemError(error, folder, 'list it')
  }
}
