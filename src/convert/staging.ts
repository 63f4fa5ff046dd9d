import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { list } from '../checkpoint/geometry.js'
import type { Tensor } from '../checkpoint/tensor.js'
import type { Target, TargetFile } from '../formats/format.js'
import { fromSystemError, usageError } from '../io/errors.js'
import { noFollow } from '../io/no-follow.js'
import { identityOf, listTree, statsOf } from '../io/tree.js'
import { writeAll } from '../io/whole.js'
import { recordName } from '../record/record.js'
import { type Earlier, journalName, readJournal } from './journal.js'

/**
 * The directory beside the output in which the result is made. It becomes the
 * output by one rename when it is whole; until then nothing is at the output path.
 */
export interface Staging {
  /** The path the result is to have. */
  out: string
  /** Where it is made: `out` with `.partial`. */
  path: string
  /** The result is one file, and not a directory. */
  single: boolean
}

/** An unfinished conversion: all of it made by this program. */
export interface Unfinished {
  /** Undefined where it came to no more than a folder. */
  earlier: Earlier | undefined
}

/**
 * Looks at what is where the staging directory is to be, and changes nothing.
 * @returns undefined where nothing is there
 * @throws usage error for what an earlier run did not make, by its names
 */
export async function examineStaging({ path }: Staging): Promise<Unfinished | undefined> {
  const there = await statsOf(path)
  if (there === undefined) return undefined
  if (!there.isDirectory()) {
    const what = there.isSymbolicLink() ? 'a link' : 'a file'
    throw usageError(`it is ${what}, where the unfinished output is to be made`, {
      path,
      suggestions: ['Choose another `out`, or remove it yourself.'],
    })
  }
  const earlier = await readJournal(path)
  const files = earlier?.head.files ?? []
  const ours = new Set([journalName, ...(earlier ? [recordName, ...files] : [])])
  const folders = foldersOf(files)
  const foreign = (await listTree(path)).filter(({ name, kind, stats }) =>
    // What is known by another name too is somebody else's: writing to it would change that.
    kind === 'file' ? !ours.has(name) || stats.nlink > 1n : !folders.has(name),
  )
  if (foreign.length > 0) {
    const names = foreign.map(({ name, kind }) => (kind === 'folder' ? `${name}/` : name))
    throw usageError(`there is what no conversion made: ${list(names, 5)}`, {
      path,
      suggestions: [
        'Choose another `out`, move it away, or remove the folder yourself. Links are not followed.',
      ],
    })
  }
  return { earlier }
}

function foldersOf(files: readonly string[]): Set<string> {
  const folders = new Set<string>()
  for (const name of files) {
    for (let at = name.lastIndexOf('/'); at > 0; at = name.lastIndexOf('/', at - 1))
      folders.add(name.slice(0, at))
  }
  return folders
}

/** Makes the staging directory, which must not be there: of two that begin at once, one does. */
export async function makeStaging({ out, path }: Staging): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw usageError('another run has just begun there', {
        path,
        suggestions: ['Wait until it has ended, or choose another `out`.'],
      })
    }
    throw fromSystemError(error, out, 'write there')
  }
}

/** The files of an output, open. */
export interface OpenOutputs {
  handles: Map<string, FileHandle>
  /** What each of them is (`identityOf`). */
  identities: Map<string, string>
}

/**
 * Creates the files of a target at their full size, with the bytes that are known beforehand;
 * of an earlier run's, what is neither known nor a tensor's becomes zeros as in new ones.
 */
export async function createFiles(
  staging: string,
  { files, tensors }: Pick<Target, 'files' | 'tensors'>,
): Promise<OpenOutputs> {
  const handles = new Map<string, FileHandle>()
  const identities = new Map<string, string>()
  const taken = extentsOf(tensors)
  for (const file of files) {
    const path = join(staging, file.name)
    try {
      await mkdir(dirname(path), { recursive: true })
      // Created if it is not there, and not emptied if it is: an earlier run's bytes count.
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT | noFollow)
      handles.set(file.name, handle)
      const stats = await handle.stat({ bigint: true })
      if (!stats.isFile() || stats.nlink > 1n) {
        throw usageError('it is no file that this program made', {
          path,
          suggestions: ['Remove it yourself.'],
        })
      }
      identities.set(file.name, identityOf(stats))
      await handle.truncate(file.size)
      for (const { offset, bytes } of file.literals) {
        await writeAll(handle, bytes, offset)
      }
      // A new file is of zeros as it is.
      if (stats.size > 0n) await fillGaps(handle, file, taken.get(file.name) ?? [])
    } catch (error) {
      for (const handle of handles.values()) await handle.close()
      throw fromSystemError(error, path, 'write it')
    }
  }
  return { handles, identities }
}

type Range = [start: number, end: number]

function extentsOf(tensors: Target['tensors']): Map<string, Range[]> {
  const ranges = new Map<string, Range[]>()
  const add = (tensor: Tensor) => {
    for (const { extents } of tensor.parts) {
      for (const { path, offset, length } of extents) {
        const known = ranges.get(path) ?? []
        known.push([offset, offset + length])
        ranges.set(path, known)
      }
    }
  }
  for (const tensor of tensors.values()) add(tensor)
  return ranges
}

/** Bytes of zeros that are written at a time. */
const zeros = new Uint8Array(64 * 1024)

async function fillGaps(
  handle: FileHandle,
  { size, literals }: TargetFile,
  taken: readonly Range[],
): Promise<void> {
  const known = literals.map(({ offset, bytes }): Range => [offset, offset + bytes.length])
  const ranges = [...taken, ...known].sort(([a], [b]) => a - b)
  let at = 0
  for (const [start, end] of [...ranges, [size, size] satisfies Range]) {
    while (at < start) {
      const length = Math.min(zeros.length, start - at)
      await writeAll(handle, zeros.subarray(0, length), at)
      at += length
    }
    at = Math.max(at, end)
  }
}

/** Removes a staging directory as far as this program made it. */
export async function discard(staging: Staging, files: readonly string[]): Promise<void> {
  const { path } = staging
  try {
    for (const name of [...files, recordName]) await rm(join(path, name), { force: true })
    for (const folder of [...foldersOf(files)].sort().reverse()) {
      await rmdir(join(path, folder)).catch(ignoreMissing)
    }
    // The journal last: as long as there is anything, it says whose it is.
    await rm(join(path, journalName), { force: true })
    await rmdir(path).catch(ignoreMissing)
  } catch (error) {
    throw fromSystemError(error, path, 'remove it')
  }
}

function ignoreMissing(error: unknown): void {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
  throw error
}
