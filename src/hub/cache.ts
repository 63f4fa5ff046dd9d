import { copyFile, link, mkdir, readlink, rm, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { replaceFile } from '../io/atomic.js'
import { fromSystemError } from '../io/errors.js'
import { lstatThere, readThere, statThere } from '../io/there.js'
import { hubError } from './errors.js'
import { isCommit, isSafePath } from './paths.js'
import type { HubFile } from './repository.js'

/**
 * The cache of huggingface_hub, as far as one repository goes: contents by their
 * hashes in blobs/, and in snapshots/COMMIT/ links to them by their names.
 */
export interface RepositoryCache {
  /** models--owner--repo */
  folder: string
  locks: string
}

export function repositoryCache(cache: string, repo: string): RepositoryCache {
  const name = `models--${repo.replaceAll('/', '--')}`
  return { folder: join(cache, name), locks: join(cache, '.locks', name) }
}

/** What a content is called in blobs/: the ETag that the Hub gives it. */
export function blobName({ sha256, oid, path }: HubFile, repo: string): string {
  const name = sha256 ?? oid
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name)) return name
  throw hubError('the Hub gives no hash of its content', { path: `hf://${repo}/${path}` })
}

export function blobPath({ folder }: RepositoryCache, blob: string): string {
  return join(folder, 'blobs', blob)
}

export function snapshotPath({ folder }: RepositoryCache, commit: string): string {
  return join(folder, 'snapshots', commit)
}

/** Whether a file of `size` bytes is at a path, itself or through links. */
export async function hasSize(path: string, size: number): Promise<boolean> {
  const there = await statThere(path)
  return there?.isFile() === true && there.size === size
}

/**
 * Makes the folders above a file.
 * @param root that all of them are in
 * @throws hub error where one of them is a link, which may lead anywhere
 */
export async function makeParents(root: string, path: string): Promise<void> {
  await mkdir(root, { recursive: true })
  let at = root
  for (const step of path.split('/').slice(0, -1)) {
    at = join(at, step)
    const there = await lstatThere(at)
    if (there === undefined) await mkdir(at, { recursive: true })
    else if (!there.isDirectory()) {
      throw hubError('it is a link or a file where a folder is to be', {
        path: at,
        suggestions: ['Remove it, or choose another place with `out`.'],
      })
    }
  }
}

/** How systems say that they have no links, or none for this user. */
const withoutLinks = new Set(['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'])

/** Whether an error says that there are no links here. */
export function isWithoutLinks(error: unknown): boolean {
  return error instanceof Error && 'code' in error && withoutLinks.has(String(error.code))
}

/** Gives a content its name in a snapshot: a relative link, or a file where there are no links. */
export async function addPointer(
  cache: RepositoryCache,
  commit: string,
  path: string,
  blob: string,
): Promise<void> {
  const snapshot = snapshotPath(cache, commit)
  const pointer = join(snapshot, ...path.split('/'))
  const content = blobPath(cache, blob)
  const target = relative(dirname(pointer), content)
  await makeParents(snapshot, path)
  if ((await readlink(pointer).catch(() => undefined)) === target) return
  await rm(pointer, { force: true })
  try {
    await symlink(target, pointer, 'file')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    // Another process was as quick.
    if (code === 'EEXIST') return
    if (!isWithoutLinks(error)) throw fromSystemError(error, pointer, 'write it')
    await link(content, pointer).catch(() => copyFile(content, pointer))
  }
}

/** Notes which commit a branch or a tag is. */
export async function writeRef(
  { folder }: RepositoryCache,
  revision: string,
  commit: string,
): Promise<void> {
  if (revision === commit || !isSafePath(revision)) return
  const refs = join(folder, 'refs')
  await makeParents(refs, revision)
  await replaceFile(join(refs, ...revision.split('/')), new TextEncoder().encode(commit))
}

/** The commit that a revision was when it was last asked for. */
async function readRef(folder: string, revision: string): Promise<string | undefined> {
  if (!isSafePath(revision)) return undefined
  const text = await readThere(join(folder, 'refs', ...revision.split('/')))
  return isCommit(text.trim()) ? text.trim() : undefined
}

/**
 * The commit and the local path of what was pulled of a repository.
 * @throws hub error where it is not there: nothing can be asked without a network
 */
export async function findSnapshot(
  cache: string,
  repo: string,
  revision = 'main',
  path = '',
): Promise<{ commit: string; path: string }> {
  const { folder } = repositoryCache(cache, repo)
  const commit = isCommit(revision) ? revision : await readRef(folder, revision)
  if (commit !== undefined) {
    const local = join(folder, 'snapshots', commit, path)
    if (await statThere(local)) return { commit, path: local }
  }
  throw hubError('it is not in the cache, and HF_HUB_OFFLINE keeps from asking the Hub', {
    path: `hf://${repo}@${revision}${path === '' ? '' : `/${path}`}`,
    suggestions: [
      `Pull it while there is a network (openllama pull ${repo}), or unset HF_HUB_OFFLINE.`,
    ],
  })
}
