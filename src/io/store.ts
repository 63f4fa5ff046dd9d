import { readdir, stat } from 'node:fs/promises'
import { basename, join as joinLocal, posix, resolve } from 'node:path'
import { fromReadError } from './dead-link.js'
import { fromSystemError } from './errors.js'
import { snapshotOf } from './snapshot.js'
import type { ByteSource } from './source.js'
import { statThere } from './there.js'

/**
 * A place other than this machine that has files, behind a scheme: `hf://…`. Paths
 * in it are texts like any others, with `/` between their steps.
 */
export interface Store {
  /** The same path in a version that does not change any more. */
  resolve(path: string): Promise<string>
  /** What is at a resolved path. */
  look(path: string): Promise<Entry | undefined>
  /** The names in a folder. */
  list(folder: string): Promise<string[]>
  open(path: string): Promise<RemoteSource>
  /**
   * Brings files to this machine, and what small files are beside them.
   * @returns where `path`, which they are or are in, is then
   */
  bring(path: string, files: readonly string[]): Promise<string>
  /** Where a resolved path is from, for the record of what is made of it. */
  origin(path: string): Origin
}

export interface Entry {
  kind: 'file' | 'folder'
  /** Bytes of a file. */
  size: number
}

/** A repository in one version. */
export interface Origin {
  repository: string
  commit: string
}

/** A file elsewhere: small reads as of any file, and long ones past all caches. */
export interface RemoteSource extends ByteSource {
  /** What the store says the content is; undefined where it has no SHA-256 of it. */
  readonly sha256: string | undefined
  /** Fills `into` with the bytes from `offset` on. */
  readInto(offset: number, into: Uint8Array, signal?: AbortSignal): Promise<void>
}

const loaders = new Map<string, () => Promise<Store>>()
const stores = new Map<string, Promise<Store>>()

/** @param load called when the first path of the scheme is met: a client takes time to load */
export function registerStore(scheme: string, load: () => Promise<Store>): void {
  loaders.set(scheme, load)
  stores.delete(scheme)
}

// Two letters at least: C:/ is a drive.
const schemePattern = /^([a-z]{2,}):\/\//

export function isRemote(path: string): boolean {
  return loaders.has(schemePattern.exec(path)?.[1] ?? '')
}

/** The store that a path is in; undefined for paths of this machine. */
export async function storeOf(path: string): Promise<Store | undefined> {
  const scheme = schemePattern.exec(path)?.[1] ?? ''
  const load = loaders.get(scheme)
  if (load === undefined) return undefined
  const store = stores.get(scheme) ?? load()
  stores.set(scheme, store)
  return store
}

/** The same path in a version that does not change any more. */
export async function resolvePath(path: string): Promise<string> {
  return (await storeOf(path))?.resolve(path) ?? path
}

/** What is at a path, or undefined; a link to nowhere is nothing. */
export async function kindOf(path: string): Promise<Entry['kind'] | undefined> {
  const store = await storeOf(path)
  if (store !== undefined) return (await store.look(path))?.kind
  const there = await statThere(path)
  if (there?.isDirectory()) return 'folder'
  return there?.isFile() ? 'file' : undefined
}

/** @throws input error where nothing is there */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await look(path)).kind === 'folder'
  } catch (error) {
    throw await fromReadError(error, path)
  }
}

/** @throws what the system says, where nothing is there */
export async function sizeOf(path: string): Promise<number> {
  return (await look(path)).size
}

async function look(path: string): Promise<Entry> {
  const store = await storeOf(path)
  if (store === undefined) {
    const there = await stat(path)
    return { kind: there.isDirectory() ? 'folder' : 'file', size: there.size }
  }
  const found = await store.look(path)
  if (found === undefined) throw Object.assign(new Error('no such entry'), { code: 'ENOENT' })
  return found
}

/**
 * The names in a folder, in no order.
 * @throws what the system says, as an error of ours, where it cannot be listed
 */
export async function listFolder(folder: string): Promise<string[]> {
  const store = await storeOf(folder)
  if (store !== undefined) return store.list(folder)
  try {
    return await readdir(folder)
  } catch (error) {
    throw fromSystemError(error, folder, 'list it')
  }
}

/** Joins a folder and names; node's own would take one of the slashes of `hf://` away. */
export function join(folder: string, ...names: string[]): string {
  const [scheme = ''] = schemePattern.exec(folder) ?? []
  if (scheme === '' || !isRemote(folder)) return joinLocal(folder, ...names)
  return scheme + posix.join(folder.slice(scheme.length), ...names)
}

/** What a file or a folder is called: a repository by its name, in whatever version. */
export function nameOf(path: string): string {
  if (isRemote(path)) return basename(path.replace(/@(refs\/[^/]+\/)?[^/]*/, ''))
  return basename(snapshotOf(path)?.repository ?? resolve(path))
}
