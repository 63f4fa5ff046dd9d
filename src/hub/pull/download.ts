import { createHash, type Hash } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { giveName } from '../../io/atomic.js'
import { chunksOf } from '../../io/chunks.js'
import { fromSystemError } from '../../io/errors.js'
import { statThere } from '../../io/there.js'
import { writeAll } from '../../io/whole.js'
import { blobName, blobPath, hasSize, type RepositoryCache } from '../cache.js'
import { hubError } from '../errors.js'
import type { HubClient } from '../http.js'
import { withLock } from '../lock.js'
import type { HubFile, HubListing } from '../repository.js'
import { openRanges } from '../source/ranges.js'

/**
 * Fetches a content into the cache, where it is not there yet: into a file beside
 * it that the next run goes on from, and that gets its name when its hash is right.
 * @param onBytes told of bytes as they come, and of those that were there
 * @returns bytes that were fetched
 */
export async function downloadBlob(
  client: HubClient,
  listing: HubListing,
  file: HubFile,
  cache: RepositoryCache,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<number> {
  const name = blobName(file, listing.repo)
  const path = blobPath(cache, name)
  if (await hasSize(path, file.size)) {
    onBytes(file.size)
    return 0
  }
  const work = async () => {
    // Another run may have been quicker.
    if (await hasSize(path, file.size)) {
      onBytes(file.size)
      return 0
    }
    const partial = `${path}.openllama.incomplete`
    await mkdir(dirname(path), { recursive: true })
    let fetched = 0
    for (let again = 0; ; again++) {
      const got = await complete(client, listing, file, partial, onBytes, signal)
      fetched += got.fetched
      if (got.hash === name) break
      await rm(partial, { force: true })
      // What an earlier run has left may be at fault, or a moment's damage on the way.
      if (again === 0) {
        onBytes(-file.size)
        continue
      }
      throw hubError(
        `its ${file.sha256 ? 'SHA-256' : 'git blob SHA-1'} is ${got.hash}, the Hub says ${name}`,
        {
          path: `hf://${listing.repo}@${listing.commit}/${file.path}`,
          suggestions: [
            'It was fetched twice, and is damaged at the Hub or by something on the way.',
          ],
        },
      )
    }
    try {
      await giveName(partial, path)
    } catch (error) {
      throw fromSystemError(error, path, 'write it')
    }
    return fetched
  }
  const lock = join(cache.locks, `${name}.openllama.lock`)
  return withLock(lock, signal, work, client.settings.onWait)
}

/** Goes on with a file until it has all its bytes. */
async function complete(
  client: HubClient,
  listing: HubListing,
  file: HubFile,
  partial: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<{ hash: string; fetched: number }> {
  const there = (await statThere(partial))?.size ?? 0
  const kept = there <= file.size ? there : 0
  const hash = startHash(file)
  if (kept > 0) for await (const bytes of chunksOf(partial)) hash.update(bytes)
  onBytes(kept)
  try {
    const handle = await open(partial, kept > 0 ? 'r+' : 'w')
    try {
      let at = kept
      const take = async (bytes: Uint8Array) => {
        await writeAll(handle, bytes, at)
        hash.update(bytes)
        at += bytes.length
        onBytes(bytes.length)
      }
      await openRanges(client, listing, file).read(kept, file.size - kept, take, signal)
      await handle.datasync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw fromSystemError(error, partial, 'write it')
  }
  return { hash: hash.digest('hex'), fetched: file.size - kept }
}

function startHash({ sha256, size }: HubFile): Hash {
  return sha256 === undefined ? createHash('sha1').update(`blob ${size}\0`) : createHash('sha256')
}
