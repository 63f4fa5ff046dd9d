import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { fromSystemError, usageError } from '../io/errors.js'
import { isRemote } from '../io/store.js'
import { exactStatThere } from '../io/there.js'
import { identityOf } from '../io/tree.js'
import { parseSource } from '../open/source.js'
import type { Staging } from './staging.js'

/** A path that the run writes to, moves, or removes. */
interface Place {
  path: string
  what: string
}

/**
 * Whatever writes to its own source destroys it: the two may be neither in one another nor one
 * and the same, by whatever links, hard links, cases or `..` they are named.
 * @param others more files that are read: a configuration, a tokenizer
 * @throws usage error that names both
 */
export async function refuseOverlap(
  { path: named, files }: Pick<Checkpoint, 'path' | 'files'>,
  others: readonly string[],
  { out, path: partial, single }: Staging,
  replaced: readonly string[],
): Promise<void> {
  const source = parseSource(named).path
  const read = [source, ...files.map(({ path }) => path)]
  // What is no file, such as a preset, is not read from here.
  for (const path of others) if (await identityAt(path)) read.push(path)
  const places: Place[] = [
    { path: out, what: 'the output' },
    { path: partial, what: 'the unfinished output' },
    ...replaced.map((path) => ({
      path,
      what: single ? 'what belongs to the output' : 'the output',
    })),
  ]
  const sources = new Set<string>()
  /** Folders above what is read, and what is read itself. */
  const above = new Map<string, string>()
  for (const path of read) {
    if (isRemote(path)) continue
    const chain = await chainOf(path)
    const [self] = chain
    if (self !== undefined) sources.add(self)
    // A link is in one folder, and what it leads to in another.
    for (const each of [...chain, ...(await chainOf(dirname(path)))]) {
      if (!above.has(each)) above.set(each, path)
    }
  }
  const folder = await identityIfFolder(source)
  for (const { path, what } of places) {
    const chain = await chainOf(path)
    const self = await identityAt(path)
    if (self !== undefined && above.has(self)) {
      const reads = above.get(self) ?? source
      const how = sources.has(self) ? 'is the source' : 'contains the source'
      throw overlap(path, `${what} ${how} ${reads}`)
    }
    if (folder !== undefined && chain.includes(folder)) {
      throw overlap(path, `${what} would lie in the source ${source}`)
    }
  }
}

function overlap(path: string, what: string): Error {
  return usageError(what, {
    path,
    suggestions: ['Choose an `out` beside the source: nothing is written into what is read.'],
  })
}

/** What a path and the folders above it are, as far as they exist, links followed. */
async function chainOf(path: string): Promise<string[]> {
  const chain: string[] = []
  let at = await realest(path)
  for (;;) {
    const identity = await identityAt(at)
    if (identity !== undefined) chain.push(identity)
    if (dirname(at) === at) return chain
    at = dirname(at)
  }
}

/** The real path, also of what does not exist yet. */
async function realest(path: string): Promise<string> {
  const absolute = resolve(path)
  try {
    return await realpath(absolute)
  } catch {
    if (dirname(absolute) === absolute) return absolute
    return join(await realest(dirname(absolute)), basename(absolute))
  }
}

async function identityAt(path: string): Promise<string | undefined> {
  try {
    return identityOf(await stat(path, { bigint: true }))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw fromSystemError(error, path, 'look there')
  }
}

async function identityIfFolder(path: string): Promise<string | undefined> {
  if (isRemote(path)) return undefined
  const there = await exactStatThere(path)
  return there?.isDirectory() ? identityOf(there) : undefined
}
