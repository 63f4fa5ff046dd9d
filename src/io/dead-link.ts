import { lstat, readlink } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { fromSystemError, inputError } from './errors.js'
import { snapshotOf } from './snapshot.js'

/**
 * What the system says of a path that cannot be read. A link of which nothing is at the other
 * end is there, and looks like a file: of a cache, it is a download that was interrupted or a
 * content that was cleaned away.
 */
export async function fromReadError(error: unknown, path: string): Promise<unknown> {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'ENOENT') {
    return fromSystemError(error, path, 'read it')
  }
  const isLink = (await lstat(path).catch(() => undefined))?.isSymbolicLink()
  if (!isLink) return fromSystemError(error, path, 'read it')
  const target = await readlink(path).catch(() => '')
  const isBlob = basename(dirname(resolve(dirname(path), target))) === 'blobs'
  const repository = snapshotOf(dirname(path))?.repository ?? 'OWNER/REPO'
  return inputError(`it is a link to ${target}, where nothing is`, {
    path,
    suggestions: [
      isBlob
        ? `The download was interrupted, or its content was cleaned from the cache: pull it again (openllama pull ${repository}).`
        : 'Bring back what it leads to, or name the file itself.',
    ],
    cause: error,
  })
}
