import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { OpenLlamaError } from '../../io/errors.js'
import { statThere } from '../../io/there.js'
import { formatBytes } from '../../io/units.js'
import { blobName, blobPath, hasSize, type RepositoryCache } from '../cache.js'
import type { HubFile } from '../repository.js'

/** Bytes that a folder is to get. */
export interface Need {
  readonly folder: string
  readonly bytes: number
}

/** Bytes of the chosen files that the cache does not have yet. */
export async function missingIn(
  cache: RepositoryCache,
  chosen: readonly HubFile[],
  repo: string,
): Promise<number> {
  let missing = 0
  for (const file of chosen) {
    const path = blobPath(cache, blobName(file, repo))
    if (await hasSize(path, file.size)) continue
    const partial = await statThere(`${path}.openllama.incomplete`)
    missing += file.size - Math.min(file.size, partial?.size ?? 0)
  }
  return missing
}

/** Bytes of the files that are not in `out` yet; one of the same size is taken for the same. */
export async function missingFrom(
  out: string,
  files: readonly Pick<HubFile, 'path' | 'size'>[],
): Promise<number> {
  let missing = 0
  for (const { path, size } of files) {
    if (!(await hasSize(join(out, ...path.split('/')), size))) missing += size
  }
  return missing
}

/**
 * Checks that the cache has room for what is fetched, and `out` for its copies of that.
 * @throws resources error where there is too little
 */
export async function checkDisk(cache: Need, out: Need | undefined): Promise<void> {
  const first = await diskOf(resolve(cache.folder))
  const second = out === undefined ? undefined : await diskOf(resolve(out.folder))
  const isOne = first !== undefined && first.device === second?.device
  if (first !== undefined && cache.bytes > first.free) {
    throw tooLittle(`${formatBytes(cache.bytes)} are to be fetched`, first.free, cache.folder, [
      'Free some space, choose files with `include`, or move the cache (HF_HOME).',
    ])
  }
  if (out === undefined || second === undefined || out.bytes === 0) return
  const needed = isOne ? cache.bytes + out.bytes : out.bytes
  if (needed <= second.free || (isOne && (await sharesBlocks(second.at)))) return
  const what = isOne
    ? `${formatBytes(cache.bytes)} are to be fetched and ${formatBytes(out.bytes)} copied to the same disk`
    : `${formatBytes(out.bytes)} are to be copied`
  throw tooLittle(what, second.free, out.folder, [
    'Free some space, choose files with `include`, or link into the cache with `link`.',
  ])
}

function tooLittle(what: string, free: number, path: string, suggestions: string[]): Error {
  return new OpenLlamaError('resources', `${what}, ${formatBytes(free)} are free`, {
    path,
    suggestions,
  })
}

interface Disk {
  /** A folder on it that is there. */
  at: string
  device: number
  free: number
}

/** The disk that a folder is on, or will be where it is not there yet. */
async function diskOf(folder: string): Promise<Disk | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder)
    return { at: folder, device: (await stat(folder)).dev, free: bavail * bsize }
  } catch {
    return dirname(folder) === folder ? undefined : diskOf(dirname(folder))
  }
}

/** Whether a copy takes no space: some file systems can, and only trying tells. */
async function sharesBlocks(folder: string): Promise<boolean> {
  const original = join(folder, `.openllama-${randomBytes(4).toString('hex')}`)
  const copy = `${original}.copy`
  try {
    await writeFile(original, 'x')
    await copyFile(original, copy, constants.COPYFILE_FICLONE_FORCE)
    return true
  } catch {
    return false
  } finally {
    await rm(original, { force: true })
    await rm(copy, { force: true })
  }
}
