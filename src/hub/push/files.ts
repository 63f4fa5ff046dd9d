import { createHash } from 'node:crypto'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fromSystemError, inputError, usageError } from '../../io/errors.js'
import { formatBytes } from '../../io/units.js'
import { type Choice, selects } from '../globs.js'
import { transferInterrupted } from '../http.js'
import { isSafePath } from '../paths.js'
import { changedFile, type FileStamp, stampOf } from './known-file.js'
import { scanSecrets } from './secret-scan.js'
import { secretFile } from './secrets.js'

/** A file of the folder that is to be published. */
export interface LocalFile {
  /** Its path in the repository: with slashes, on any system. */
  path: string
  /** Where it is on this machine. */
  local: string
  size: number
}

/** The same after its one reading. */
export interface ReadFile extends LocalFile {
  sha256: string
  /** What git would call it; undefined of files that git itself never keeps. */
  gitOid: string | undefined
  /** By which it is seen that something has written to it since. */
  stamp: FileStamp
}

/**
 * Git LFS's transfers at the Hub end here, and so does what clients without Xet can fetch
 * (MAX_HTTP_DOWNLOAD_SIZE of huggingface_hub): larger files are for clients with Xet alone.
 */
const largestFile = 50e9

/** Files of systems and tools that belong to a machine, not to a model. */
const leftOut = /^(\.DS_Store|Thumbs\.db|desktop\.ini|__pycache__|\.ipynb_checkpoints|\.cache)$/

/** Files above this are large files at the Hub, whatever their names; git keeps none of them. */
const largestInGit = 16 * 1024 * 1024

/** Bytes that are read at a time. */
const piece = 1024 * 1024

/**
 * The files of a folder that are chosen, in the order of their paths.
 * @throws usage error for a path that is no folder; input error for names that the Hub
 *   or another system cannot have, for files too large, and for what is there to hold secrets
 */
export async function chosenFiles(folder: string, choice: Choice): Promise<LocalFile[]> {
  const there = await stat(folder).catch((error: unknown) => {
    throw fromSystemError(error, folder, 'read it')
  })
  if (!there.isDirectory()) {
    throw usageError('it is a file; what is pushed is a folder, with a card in it', {
      path: folder,
      suggestions: ['Put it into a folder of its own; `openllama card` writes the card.'],
    })
  }
  const files: LocalFile[] = []
  await walk(folder, '', choice, files)
  if (files.length === 0) {
    throw usageError('there is no file to push', {
      path: folder,
      suggestions: ['Look at `include` and `exclude`.'],
    })
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function walk(
  folder: string,
  prefix: string,
  choice: Choice,
  files: LocalFile[],
): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (leftOut.test(entry.name)) continue
    const path = prefix + entry.name
    const local = join(folder, entry.name)
    // Links to files are followed: snapshots of the Hub's cache are made of them.
    const { size, ...kind } = await kindOf(local).catch((error: unknown) => {
      // A link to nowhere that is left out does no harm.
      if (selects(choice, path)) throw error
      return { size: 0, folder: false }
    })
    const secret = secretFile(path)
    const chosen = kind.folder ? mayHold(choice, path) : selects(choice, path)
    if (!chosen) continue
    if (secret !== undefined) {
      throw inputError(`it is ${secret}, which must not be published`, {
        path: local,
        suggestions: [
          `Remove it, or leave it out: \`exclude\` "${path}${kind.folder ? '/' : ''}".`,
        ],
      })
    }
    if (kind.folder && entry.isSymbolicLink()) {
      throw inputError('it is a link to a folder, which is not followed', {
        path: local,
        suggestions: [`Put the folder in its place, or leave it out: \`exclude\` "${path}/".`],
      })
    }
    if (kind.folder) {
      await walk(local, `${path}/`, choice, files)
      continue
    }
    if (!isSafePath(path)) {
      throw inputError('the Hub, or another system, cannot have a file of this name', {
        path: local,
        suggestions: ['Rename it: letters, digits, "-", "_", "." and spaces are safe.'],
      })
    }
    if (size > largestFile) {
      throw inputError(
        `it has ${formatBytes(size)}, and without Xet the Hub takes files of ${formatBytes(largestFile)} at most`,
        {
          path: local,
          suggestions: [
            'Convert it again with a smaller `maxShardSize`.',
            'Or send it with a client that has Xet (hf upload); who fetches it needs one too.',
          ],
        },
      )
    }
    files.push({ path, local, size })
  }
}

/** A folder is only left alone where all of it is excluded. */
function mayHold({ exclude }: Choice, path: string): boolean {
  return selects({ include: [], exclude }, `${path}/any`)
}

async function kindOf(local: string): Promise<{ size: number; folder: boolean }> {
  try {
    const found = await stat(local)
    if (found.isDirectory()) return { size: 0, folder: true }
    if (found.isFile()) return { size: found.size, folder: false }
  } catch (error) {
    throw fromSystemError(error, local, 'read it')
  }
  throw inputError('it is no file and no folder', { path: local })
}

export interface ReadOptions {
  /** Values that must be in no file. */
  secrets: readonly string[]
  signal?: AbortSignal | undefined
  onBytes(bytes: number): void
}

/**
 * Reads a file once, for all that is to be known of its content.
 * @throws input error for a secret, with its place, and without it
 */
export async function readOnce(file: LocalFile, options: ReadOptions): Promise<ReadFile> {
  try {
    return await readWhole(file, options)
  } catch (error) {
    throw fromSystemError(error, file.local, 'read it')
  }
}

async function readWhole(
  file: LocalFile,
  { secrets, onBytes, signal }: ReadOptions,
): Promise<ReadFile> {
  const { local, size } = file
  const hash = createHash('sha256')
  const inGit = size <= largestInGit
  const git = createHash('sha1').update(`blob ${size}\0`)
  const scan = scanSecrets(secrets)
  const buffer = new Uint8Array(piece)
  const handle = await open(local)
  let stamp: FileStamp
  try {
    stamp = await stampOf(handle)
    let done = 0
    for (;;) {
      if (signal?.aborted) throw transferInterrupted()
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, done)
      if (bytesRead === 0) break
      const bytes = buffer.subarray(0, bytesRead)
      hash.update(bytes)
      if (inGit) git.update(bytes)
      scan.look(bytes)
      done += bytesRead
      onBytes(bytesRead)
    }
    if (done !== size) {
      throw changedFile(local, `it had ${size} bytes and now has ${done}: something writes to it`)
    }
    if ((await stampOf(handle)) !== stamp) {
      throw changedFile(local, 'it changed while it was being read: something writes to it')
    }
  } finally {
    await handle.close()
  }
  refuseSecrets(file, scan.end())
  return {
    ...file,
    sha256: hash.digest('hex'),
    gitOid: inGit ? git.digest('hex') : undefined,
    stamp,
  }
}

function refuseSecrets(
  { local }: LocalFile,
  [first, ...others]: readonly { what: string; place: string }[],
): void {
  if (first === undefined) return
  const more = others.length === 0 ? '' : `, and ${others.length} more`
  throw inputError(`${first.place} has what looks like ${first.what}${more}`, {
    path: local,
    suggestions: [
      'Nothing was sent. Take it out of the file; if others may have seen it, revoke it.',
      'Or leave the file out with `exclude`.',
    ],
  })
}
