import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, open, readdir, rm, stat, symlink } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { giveName, partialOf } from '../../io/atomic.js'
import { chunksOf } from '../../io/chunks.js'
import { fromSystemError, OpenLlamaError, usageError } from '../../io/errors.js'
import { lstatThere } from '../../io/there.js'
import {
  addPointer,
  blobName,
  blobPath,
  findSnapshot,
  hasSize,
  isWithoutLinks,
  makeParents,
  type RepositoryCache,
  repositoryCache,
  snapshotPath,
  writeRef,
} from '../cache.js'
import { hubError } from '../errors.js'
import { selects } from '../globs.js'
import { createClient, type HubClient } from '../http.js'
import { parseHubPath, refuseUnsafe } from '../paths.js'
import { type HubFile, type HubListing, listRepository, resolveCommit } from '../repository.js'
import type { HubSettings } from '../settings.js'
import { checkDisk, missingFrom, missingIn, type Need } from './disk.js'
import { downloadBlob } from './download.js'

export interface PullOptions {
  /** A folder that gets the files too. */
  out?: string
  /** Links into the cache in the place of files of its own. */
  link: boolean
  /** Replace other files in `out`. */
  force: boolean
  include: readonly string[]
  exclude: readonly string[]
  signal?: AbortSignal
  onProgress?(done: number, total: number): void
}

export interface Pulled {
  repository: string
  revision: string
  commit: string
  /** Where the files are: `out`, or the snapshot in the cache. */
  path: string
  files: { path: string; bytes: number; sha256: string | null }[]
  /** Bytes that came over the network; the others were there. */
  fetched: number
}

/** Files that are fetched at a time. */
const parallel = 4

/**
 * Brings the files of a repository into the cache that huggingface_hub keeps, and
 * on to `out`. What is there already is not fetched again.
 */
export async function pull(
  source: string,
  settings: HubSettings,
  options: PullOptions,
): Promise<Pulled> {
  const { repo, revision = 'main', path } = parseHubPath(source)
  if (path !== '') {
    throw usageError(`"${source}" names a part of a repository`, {
      suggestions: [`Pull ${repo} with \`include\` "${path}*".`],
    })
  }
  if (options.out !== undefined) await refuseFile(options.out)
  if (settings.offline) return pullOffline(repo, revision, settings, options)
  const client = createClient(settings)
  const commit = await resolveCommit(client, repo, revision)
  const listing = await listRepository(client, repo, commit)
  const chosen = [...listing.files.values()].filter((file) => selects(options, file.path))
  for (const file of chosen) refuseUnsafe(file.path, repo)
  if (chosen.length === 0) throw nothingChosen(repo, [...listing.files.keys()])
  const cache = repositoryCache(settings.cache, repo)
  await checkDisk(
    { folder: settings.cache, bytes: await missingIn(cache, chosen, repo) },
    await copiesOf(chosen, options),
  )
  const fetched = await fetchAll(client, listing, chosen, cache, options)
  await writeRef(cache, revision, commit)
  const { out } = options
  if (out !== undefined) {
    for (const file of chosen) {
      await deliver(blobPath(cache, blobName(file, repo)), out, file, options)
    }
  }
  return {
    repository: repo,
    revision,
    commit,
    path: out === undefined ? snapshotPath(cache, commit) : resolve(out),
    files: chosen.map((file) => ({
      path: file.path,
      bytes: file.size,
      sha256: file.sha256 ?? null,
    })),
    fetched,
  }
}

/** @throws usage error for an --out that is a file, or lies in one */
async function refuseFile(out: string): Promise<void> {
  for (let path = resolve(out); ; path = dirname(path)) {
    const there = await stat(path).catch(() => undefined)
    if (there?.isDirectory()) return
    if (there !== undefined) {
      throw usageError('it is a file, and `out` is the folder that gets the files', {
        path,
        suggestions: ['Name a folder, which need not be there yet.'],
      })
    }
    if (dirname(path) === path) return
  }
}

/** Brings chosen files of a listing into the cache. @returns the snapshot that they are in */
export async function pullFiles(
  client: HubClient,
  listing: HubListing,
  chosen: readonly HubFile[],
): Promise<string> {
  const { repo, commit } = listing
  for (const file of chosen) refuseUnsafe(file.path, repo)
  const cache = repositoryCache(client.settings.cache, repo)
  const bytes = await missingIn(cache, chosen, repo)
  await checkDisk({ folder: client.settings.cache, bytes }, undefined)
  await fetchAll(client, listing, chosen, cache, {})
  return snapshotPath(cache, commit)
}

async function fetchAll(
  client: HubClient,
  listing: HubListing,
  chosen: readonly HubFile[],
  cache: RepositoryCache,
  { signal, onProgress }: Pick<PullOptions, 'signal' | 'onProgress'>,
): Promise<number> {
  const total = chosen.reduce((sum, { size }) => sum + size, 0)
  const aborter = new AbortController()
  const all = signal ? AbortSignal.any([signal, aborter.signal]) : aborter.signal
  let done = 0
  let fetched = 0
  let next = 0
  const onBytes = (bytes: number) => {
    done += bytes
    onProgress?.(done, total)
  }
  const work = async () => {
    while (next < chosen.length) {
      const file = chosen[next++]
      if (file === undefined) return
      const came = await downloadBlob(client, listing, file, cache, onBytes, all)
      fetched += came
      await addPointer(cache, listing.commit, file.path, blobName(file, listing.repo))
    }
  }
  // The first failure ends the others; each keeps what it has.
  const ended = await Promise.allSettled(
    Array.from({ length: parallel }, () =>
      work().catch((error: unknown) => {
        aborter.abort()
        throw error
      }),
    ),
  )
  const failures = ended.flatMap((end): unknown[] =>
    end.status === 'rejected' ? [end.reason] : [],
  )
  const own = failures.find((error) => !isInterruption(error))
  if (failures.length > 0 && !signal?.aborted) throw own ?? failures[0]
  if (failures.length > 0) throw failures.find(isInterruption) ?? failures[0]
  return fetched
}

function isInterruption(error: unknown): boolean {
  return error instanceof OpenLlamaError && error.code === 'interrupted'
}

/** What `out` is to get: nothing where there are links. */
async function copiesOf(
  files: readonly Pick<HubFile, 'path' | 'size'>[],
  { out, link }: PullOptions,
): Promise<Need | undefined> {
  if (out === undefined || link) return undefined
  return { folder: out, bytes: await missingFrom(out, files) }
}

/** Puts a file of the cache into `out`: blocks are shared where the file system can. */
async function deliver(
  content: string,
  out: string,
  { path, size }: Pick<HubFile, 'path' | 'size'>,
  { link, force }: PullOptions,
): Promise<void> {
  const target = join(out, ...path.split('/'))
  const partial = partialOf(target)
  try {
    await makeParents(out, path)
    const there = await lstatThere(target)
    if (there?.isFile() && !link && (await isSame(target, content, size))) return
    if (there !== undefined && !there.isSymbolicLink() && !force) {
      throw usageError('another file is there already', {
        path: target,
        suggestions: ['Choose another `out`, or replace it with `force`.'],
      })
    }
    if (link) await symlink(resolve(content), partial).catch(refuseLink(target))
    else {
      await copyFile(content, partial, constants.COPYFILE_FICLONE)
      await syncFile(partial)
    }
    await giveName(partial, target)
  } catch (error) {
    throw fromSystemError(error, target, 'write it')
  } finally {
    await rm(partial, { force: true })
  }
}

/** A name must not come to disk before what it is of. */
async function syncFile(path: string): Promise<void> {
  // Windows flushes only what is open for writing, and the file may be read-only.
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.datasync()
  } finally {
    await handle.close()
  }
}

/** Where links cannot be had, other permissions would not help. */
export function refuseLink(path: string): (error: unknown) => never {
  return (error) => {
    if (!isWithoutLinks(error)) throw error
    throw new OpenLlamaError('resources', 'there can be no links here', {
      path,
      suggestions: ['Leave out `link`: the files are copied then.'],
      cause: error,
    })
  }
}

async function isSame(path: string, content: string, size: number): Promise<boolean> {
  return (await hasSize(path, size)) && (await hashOf(path)) === (await hashOf(content))
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const bytes of chunksOf(path)) hash.update(bytes)
  return hash.digest('hex')
}

function nothingChosen(repo: string, paths: readonly string[]): Error {
  return hubError('none of its files is chosen', {
    path: `hf://${repo}`,
    suggestions: [`It has ${paths.slice(0, 20).join(', ') || 'none'}.`],
  })
}

/** What an earlier pull has left, without asking whether there is more. */
async function pullOffline(
  repo: string,
  revision: string,
  { cache }: HubSettings,
  options: PullOptions,
): Promise<Pulled> {
  const { commit, path } = await findSnapshot(cache, repo, revision)
  const names = await readdir(path, { recursive: true, withFileTypes: true })
  const paths = names
    .filter((entry) => !entry.isDirectory())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(path.length + 1)
        .replaceAll('\\', '/'),
    )
    .filter((each) => selects(options, each))
    .sort()
  if (paths.length === 0) throw nothingChosen(repo, [])
  const files: Pulled['files'] = []
  for (const each of paths) {
    const content = join(path, ...each.split('/'))
    const { size } = await stat(content)
    files.push({ path: each, bytes: size, sha256: null })
  }
  if (options.out !== undefined) {
    const wanted = files.map(({ path, bytes }) => ({ path, size: bytes }))
    await checkDisk({ folder: cache, bytes: 0 }, await copiesOf(wanted, options))
    for (const file of wanted) {
      await deliver(join(path, ...file.path.split('/')), options.out, file, options)
    }
  }
  const at = options.out === undefined ? path : resolve(options.out)
  return { repository: repo, revision, commit, path: at, files, fetched: 0 }
}
