import { basename, dirname } from 'node:path'
import { list } from '../checkpoint/geometry.js'
import type { Format } from '../formats/format.js'
import { formatOfLoader, formats, loaders } from '../formats/index.js'
import { isBesideWeights } from '../formats/torch/pytorch.js'
import { inputError, usageError } from '../io/errors.js'
import { type FileCache, openFileCache } from '../io/file-cache.js'
import { openFile, readStart } from '../io/source.js'
import { refuseStandIns } from '../io/stand-ins.js'
import { isFolder, join, kindOf, listFolder, resolvePath } from '../io/store.js'
import { refuseOtherBytes, refuseOtherName } from './other-files.js'
import { adapterAlone, hasAdapter, isAdapterFile, noCheckpoint } from './other-folders.js'

/** What a source's text says: EasyLM's load strings (`params::path`) have a load type before the path. */
export interface SourceText {
  loader?: string
  path: string
}

export function parseSource(source: string): SourceText {
  const [, loader, path = source] = /^([a-z_]+)::(.*)$/s.exec(source) ?? []
  return { path, ...(loader === undefined ? {} : { loader }) }
}

/** The text of a source that is at another path. */
export function sourceAt(path: string, { loader }: SourceText): string {
  return loader === undefined ? path : `${loader}::${path}`
}

/** @throws usage error for a load type that EasyLM has not */
export function formatOfLoadType(loader: string): Format {
  const format = formatOfLoader(loader)
  if (format !== undefined) return format
  throw usageError(`"${loader}::" is no load type of EasyLM's`, {
    suggestions: [`There are ${loaders.map((name) => `${name}::`).join(', ')}.`],
  })
}

/** A checkpoint that was found: what it is and where, before its headers are read. */
export interface Source {
  /** As the user named it. */
  given: string
  /** The same in a version that does not change any more. */
  resolved: string
  format: Format
  loader?: string
  /** What is opened; of a folder the file in it. */
  path: string
  /** The folder that a configuration and a tokenizer are looked for in. */
  folder: string
  /** What is read of its files. */
  cache: FileCache
}

/** Finds out what a source is, by its name and its first bytes. */
export async function findSource(given: string): Promise<Source> {
  const text = parseSource(given)
  const resolved = await resolvePath(text.path)
  const { loader } = text
  const cache = openFileCache()
  const found = await cache.within(() =>
    loader === undefined ? locate(resolved) : locateLoaded(loader, resolved),
  )
  const folder = found.format.homeOf?.(found.path) ?? (await folderOf(found.path))
  return {
    given,
    resolved: sourceAt(resolved, text),
    ...found,
    folder,
    cache,
    ...(loader === undefined ? {} : { loader }),
  }
}

/** A path that is a folder, or the one that it is in. */
export async function folderOf(path: string): Promise<string> {
  return (await isFolder(path)) ? path : dirname(path)
}

type Location = Pick<Source, 'format' | 'path'>

async function locateLoaded(loader: string, path: string): Promise<Location> {
  const format = formatOfLoadType(loader)
  await refuseOthers(path)
  return { format, path }
}

async function locate(path: string): Promise<Location> {
  if (await isFolder(path)) return locateInDirectory(path)
  return { format: formatOf(path, await refuseOthers(path)), path }
}

async function locateInDirectory(folder: string): Promise<Location> {
  const all = (await listFolder(folder)).sort()
  const entries = all.filter((name) => !isBesideWeights(name) && !isAdapterFile(name))
  for (const format of formats) {
    const entry = format.detectDirectory?.(entries)
    if (entry !== undefined) {
      const path = join(folder, entry)
      if (!entry.endsWith('.json') && !(await isFolder(path))) await refuseOthers(path)
      return { format, path }
    }
  }
  const found: Location[] = []
  const others: string[] = []
  for (const entry of entries) {
    const path = join(folder, entry)
    if (!(await isFile(path))) continue
    const head = await headOf(path)
    const format = formats.find(({ detect }) => detect?.(head, entry))
    if (format !== undefined) found.push({ format, path })
    else if (head.length > 0) others.push(path)
  }
  const [only] = found
  if (only === undefined) {
    for (const path of others) await refuseOthers(path)
    if (hasAdapter(all)) throw await adapterAlone(folder)
    throw await noCheckpoint(
      folder,
      all,
      formats.map(({ title }) => title),
    )
  }
  if (found.length > 1) {
    throw inputError(
      `${found.length} checkpoints are in this directory: ${list(found.map(({ path }) => basename(path)))}`,
      { path: folder, suggestions: ['Name one of them.'] },
    )
  }
  return only
}

/**
 * Calls what is no checkpoint by its name.
 * @returns the first bytes of the file
 * @throws input error for stand-ins, and for models in formats that are not read
 */
export async function refuseOthers(path: string): Promise<Uint8Array> {
  const source = await openFile(path)
  try {
    const head = await readStart(source, 512)
    refuseStandIns(path, head)
    refuseOtherBytes(path, head, source.size)
    return head
  } finally {
    await source.close()
  }
}

function formatOf(path: string, head: Uint8Array): Format {
  if (path.endsWith('.index.json')) {
    const format = formats.find(
      (each) => each.detectDirectory?.([basename(path)]) === basename(path),
    )
    if (format !== undefined) return format
  }
  const format = formats.find(({ detect }) => detect?.(head, basename(path)))
  if (format === undefined) {
    refuseOtherName(path)
    throw inputError('it is in none of the known formats', {
      path,
      suggestions: [`Known are ${formats.map(({ title }) => title).join(', ')}.`],
    })
  }
  return format
}

export async function headOf(path: string): Promise<Uint8Array> {
  const source = await openFile(path)
  try {
    return await readStart(source, 512)
  } finally {
    await source.close()
  }
}

export async function isFile(path: string): Promise<boolean> {
  return (await kindOf(path)) === 'file'
}
