import type { HubFile, HubListing } from '../repository.js'
import type { ReadFile } from './files.js'

/** A file of the folder, and how it stands to the remote. */
export interface PushedFile {
  path: string
  bytes: number
  sha256: string
  state: 'new' | 'changed' | 'same'
}

/** What a push would change, and what it leaves. */
export interface Difference {
  files: PushedFile[]
  /** What only the remote has: it stays. */
  remoteOnly: { path: string; bytes: number }[]
  /** Of new and of changed files. */
  bytesToSend: number
}

export function differenceOf(
  files: readonly ReadFile[],
  listing: HubListing | undefined,
): Difference {
  const remote = listing?.files ?? new Map<string, HubFile>()
  const compared = files.map((file): PushedFile => {
    const { path, size, sha256 } = file
    const there = remote.get(path)
    const state = there === undefined ? 'new' : isSame(file, there) ? 'same' : 'changed'
    return { path, bytes: size, sha256, state }
  })
  const ours = new Set(files.map(({ path }) => path))
  return {
    files: compared,
    remoteOnly: [...remote.values()]
      .filter(({ path }) => !ours.has(path))
      .map(({ path, size }) => ({ path, bytes: size })),
    bytesToSend: compared
      .filter(({ state }) => state !== 'same')
      .reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

/** By the hash that the Hub has of it: the SHA-256 of large files, git's name of others. */
export function isSame({ size, sha256, gitOid }: ReadFile, there: HubFile | undefined): boolean {
  if (there === undefined || there.size !== size) return false
  return there.sha256 === undefined ? there.oid === gitOid : there.sha256 === sha256
}
