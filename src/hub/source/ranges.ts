import type { OpenLlamaError } from '../../io/errors.js'
import { hubError, statusError, Transient } from '../errors.js'
import {
  backOff,
  type HubClient,
  maxTries,
  messageOf,
  pause,
  readChunks,
  redirectedTo,
} from '../http.js'
import { formatHubPath } from '../paths.js'
import type { HubFile } from '../repository.js'

/** Reads ranges of one file at one commit. */
export interface RangeReader {
  /**
   * Gives `take` the bytes of a range in order, each once, whatever happens to
   * connections on the way.
   */
  read(
    offset: number,
    length: number,
    take: (bytes: Uint8Array) => void | Promise<void>,
    signal?: AbortSignal,
  ): Promise<void>
}

/** A server that ignores ranges sends what was not asked for first: so much of it is borne with. */
const mostSkipped = 16 * 1024 * 1024

/**
 * The Hub's storage serves at most 50 GB to one request: huggingface_hub refuses more than that
 * without its own transfer. Well below it, and one more request in 16 GB costs nothing.
 */
const longestRange = 16e9

export function openRanges(
  client: HubClient,
  { repo, commit }: { repo: string; commit: string },
  file: HubFile,
  longest = longestRange,
): RangeReader {
  const { settings } = client
  const { endpoint, patience } = settings
  const shown = formatHubPath(repo, commit, file.path)
  const steps = file.path.split('/').map(encodeURIComponent).join('/')
  const address = `${endpoint}/${repo}/resolve/${commit}/${steps}`
  /** What the file's own ETag must be: git's name of it, or the hash of its content. */
  const identity = file.sha256 ?? file.oid
  // Large files are elsewhere, at an address that is valid for some hours.
  let storage: string | undefined
  let storageTag: string | undefined

  const request = async (
    offset: number,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<Response> => {
    const init: RequestInit = {
      headers: {
        range: `bytes=${offset}-${offset + length - 1}`,
        // Compressed, a range would be one of other bytes.
        'accept-encoding': 'identity',
      },
      redirect: 'manual',
      ...(signal === undefined ? {} : { signal }),
    }
    for (let hops = 0; hops < 5; hops++) {
      const at: string = storage ?? address
      const response = await client.send(at, init)
      const location = response.headers.get('location')
      if (response.status >= 300 && response.status < 400 && location !== null) {
        await response.body?.cancel()
        checkIdentity(response)
        storage = redirectedTo(location, at)
        continue
      }
      if (response.status >= 400) {
        const message = await messageOf(response)
        const told = statusError(response.status, message, shown)
        // The signed address has expired; the Hub gives another.
        if (storage !== undefined) {
          storage = undefined
          throw new Transient(told)
        }
        throw told
      }
      if (storage === undefined) checkIdentity(response)
      else await checkStorageTag(response)
      return response
    }
    throw hubError('it leads elsewhere again and again', { path: shown })
  }

  /** The Hub's own answer says which content it is about. */
  const checkIdentity = ({ headers }: Response): void => {
    const tag = headers.get('x-linked-etag') ?? headers.get('etag')
    const size = headers.get('x-linked-size')
    const found = bare(tag)
    // An answer that leads within the Hub may leave both to the next one.
    if (found !== undefined && identity !== '' && found !== identity && isHash(found)) {
      throw changed(`its ETag is ${found}, ${identity} is expected`)
    }
    if (size !== null && Number(size) !== file.size) {
      throw changed(`it has ${size} bytes, ${file.size} are expected`)
    }
  }

  /** The storage has tags of its own: they must stay what the first was. */
  const checkStorageTag = async (response: Response): Promise<void> => {
    const tag = response.headers.get('etag') ?? undefined
    storageTag ??= tag
    if (tag === storageTag) return
    await response.body?.cancel()
    storage = undefined
    throw new Transient(changed(`its ETag is ${tag}, ${storageTag} is expected`))
  }

  const changed = (what: string): OpenLlamaError =>
    hubError(`${what}: it is another file than the listing says`, {
      path: shown,
      suggestions: [
        'It changed while it was read, or a proxy answers in the Hub’s place; try again.',
      ],
    })

  /** Checks that an answer is the range asked for, or begins with it. @returns bytes to skip */
  const beginning = async (response: Response, offset: number): Promise<number> => {
    const range = response.headers.get('content-range')
    if (response.status === 206) {
      const [, first, , total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range ?? '') ?? []
      if (total !== undefined && total !== '*' && Number(total) !== file.size) {
        throw changed(`it has ${total} bytes, ${file.size} are expected`)
      }
      if (Number(first) === offset) return 0
      await response.body?.cancel()
      throw new Transient(
        hubError(`the answer to a request from byte ${offset} on is "${range}"`, { path: shown }),
      )
    }
    const length = response.headers.get('content-length')
    if (length !== null && Number(length) !== file.size) {
      throw changed(`it has ${length} bytes, ${file.size} are expected`)
    }
    if (offset <= mostSkipped) return offset
    await response.body?.cancel()
    throw new Transient(
      hubError(`bytes from ${offset} on were asked for, and the whole file came`, {
        path: shown,
        suggestions: [
          `A proxy on the way ignores ranges. Fetch it whole with \`openllama pull ${repo}\`.`,
        ],
      }),
    )
  }

  return {
    async read(offset, length, take, signal) {
      let done = 0
      let failures = 0
      while (done < length) {
        const before = done
        try {
          const asked = Math.min(length - done, longest)
          const response = await request(offset + done, asked, signal)
          let skip = await beginning(response, offset + done)
          const place = async (chunk: Uint8Array) => {
            const from = Math.min(skip, chunk.length)
            skip -= from
            const bytes = chunk.subarray(from, from + length - done)
            if (bytes.length > 0) await take(bytes)
            done += bytes.length
            return done < length
          }
          await readChunks(response, shown, patience, place, signal)
          // A range that is shorter than was asked for is gone on from.
          if (done === before && length > 0) {
            throw new Transient(hubError('an empty answer came', { path: shown }))
          }
          failures = 0
        } catch (error) {
          if (!(error instanceof Transient)) throw error
          failures = done > before ? 1 : failures + 1
          if (failures >= maxTries) throw error.told
          await pause(error.wait ?? backOff(failures, settings), signal)
        }
      }
    },
  }
}

function isHash(text: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
}

/** `W/"abc"` → `abc` */
function bare(tag: string | null): string | undefined {
  return tag?.replace(/^W\//, '').replace(/^"|"$/g, '')
}
