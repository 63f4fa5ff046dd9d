import type { OpenLlamaError } from '../../io/errors.js'
import { isJsonObject, type JsonObject, parseJson } from '../../io/json.js'
import { hubError, statusError } from '../errors.js'
import { type HubClient, messageOf, transferInterrupted } from '../http.js'
import { type Hashes, hashesOf } from '../stand-ins.js'
import { FileSlice, KnownFile, type OnBytes } from './known-file.js'
import { type BegunUpload, textsOf, type UploadJournal } from './upload-journal.js'

/** Files and parts on their way at a time: more do not make a line faster, and all take memory. */
const parallel = 4

/** The way of one commit's files to the Hub, as the client's `fetch`. */
export interface UploadFetch {
  readonly fetch: typeof fetch
  /** Bytes of files that arrived in this run. */
  readonly arrived: () => number
  /** Waits until what was on its way has ended, and what arrived is noted down. */
  settle(): Promise<void>
  /** Whether a commit was sent of which no answer has come: it may have happened. */
  readonly uncertain: () => boolean
}

/**
 * Where a file was to be sent is not valid any more: ask for another place, and go on
 * there. `told` is what to say where that does not help.
 */
export class StaleUpload extends Error {
  readonly told: OpenLlamaError
  /** Its time was over; else the storage does not take what it was given. */
  readonly isExpired: boolean
  constructor(told: OpenLlamaError, isExpired: boolean) {
    super(told.message, { cause: told })
    this.told = told
    this.isExpired = isExpired
  }
}

/** Answers to a link that has expired, or to an upload that was given up. */
const stale = [403, 404, 410]

/** A part of an upload that goes in parts. */
interface Part {
  sha256: string
  number: string
  upload: BegunUpload
}

/**
 * What the client lacks, around it: known hashes in the place of stand-ins, each content
 * once, few transfers at a time, and parts that have arrived not a second time.
 */
export function uploadFetch(
  { fetch: send }: HubClient,
  files: readonly KnownFile[],
  journal: UploadJournal,
  { signal, onBytes }: { signal?: AbortSignal | undefined; onBytes: OnBytes },
): UploadFetch {
  const hashes = hashesOf(files.map(({ sha256 }) => sha256))
  const parts = new Map<string, Part>()
  const completions = new Map<string, string>()
  const turn = limiter(parallel)
  const onTheWay = new Set<Promise<unknown>>()
  let arrived = 0
  let uncertain = false

  const batch = async (url: string, init: RequestInit): Promise<Response> => {
    const response = await send(url, { ...init, body: askedOnce(textOf(init), hashes) })
    if (!response.ok) return response
    const answer = parseJson(await response.text())
    const objects = isJsonObject(answer) && Array.isArray(answer.objects) ? answer.objects : []
    for (const object of objects) {
      if (!isJsonObject(object) || typeof object.oid !== 'string') continue
      const sha256 = object.oid
      object.oid = hashes.standIn(sha256)
      const upload = beginning(object)
      if (upload === undefined) {
        // There is no need of what an earlier run has noted down.
        await journal.forget(sha256)
        continue
      }
      const begun = (await journal.load(sha256, upload.size)) ?? upload
      const { href, header } = begun
      object.actions = { upload: { href, header: { ...header } } }
      completions.set(href, sha256)
      for (const number of Object.keys(header)) {
        const address = header[number]
        if (!/^\d+$/.test(number) || address === undefined) continue
        parts.set(address, { sha256, number, upload: begun })
      }
    }
    return answered(response, url, JSON.stringify(answer))
  }

  /** The storage takes no empty file, whatever its name: it goes into the commit itself. */
  const preupload = async (url: string, init: RequestInit): Promise<Response> => {
    const response = await send(url, init)
    const empty = emptyFiles(textOf(init))
    if (!response.ok || empty.size === 0) return response
    const answer = parseJson(await response.text())
    const modes = isJsonObject(answer) && Array.isArray(answer.files) ? answer.files : []
    for (const mode of modes) {
      if (!isJsonObject(mode) || typeof mode.path !== 'string') continue
      if (empty.has(mode.path)) mode.uploadMode = 'regular'
    }
    return answered(response, url, JSON.stringify(answer))
  }

  const put = (
    url: string,
    init: RequestInit,
    slice: FileSlice,
    before?: AbortSignal,
  ): Promise<Response> =>
    turn(async () => {
      let ok = false
      if (before?.aborted) throw transferInterrupted()
      try {
        const response = await send(url, { ...init, body: slice })
        ok = response.ok
        // Nothing is to be read of it, and it may have no end.
        if (ok) await response.body?.cancel().catch(() => {})
        return response
      } finally {
        if (ok) arrived += slice.size
        await slice.end(ok)
      }
    })

  const sendWhole = async (url: string, init: RequestInit, file: KnownFile): Promise<Response> =>
    sorted(await put(url, init, file.slice()), file.sha256, stale)

  const sendPart = async (url: string, init: RequestInit, part: Part): Promise<Response> => {
    const { sha256, number, upload } = part
    if (!(init.body instanceof FileSlice)) throw new Error('a part is no part of a file')
    const known = upload.etags[number]
    if (known !== undefined) {
      onBytes(init.body.size)
      return new Response(null, { headers: { ETag: known } })
    }
    // Where another part fails, this one is not for nothing: only the user's signal ends it.
    const { signal: _, ...rest } = init
    const lasting = signal === undefined ? rest : { ...rest, signal }
    const answer = put(url, lasting, init.body, init.signal ?? undefined)
    const response = await sorted(await answer, sha256, [400, ...stale])
    const etag = response.headers.get('etag')
    if (etag !== null) {
      upload.etags[number] = etag
      await journal.save(sha256, upload)
    }
    return response
  }

  /** An answer of the storage; links that it does not take any more are forgotten. */
  const sorted = async (
    response: Response,
    sha256: string,
    statuses: readonly number[],
  ): Promise<Response> => {
    if (response.ok) return response
    await journal.forget(sha256)
    const path = files.find((file) => file.sha256 === sha256)?.path ?? sha256
    const told = statusError(response.status, await messageOf(response), path)
    throw statuses.includes(response.status)
      ? new StaleUpload(told, stale.includes(response.status))
      : told
  }

  const complete = async (url: string, init: RequestInit, sha256: string): Promise<Response> => {
    const body = textOf(init).replace(hashes.standIn(sha256), sha256)
    // 400: parts of it are others than the storage has, or it was completed before.
    const answer = await send(url, { ...init, body })
    const response = await sorted(answer, sha256, [400, ...stale])
    await journal.forget(sha256)
    return response
  }

  const commit = async (url: string, init: RequestInit): Promise<Response> => {
    const body = textOf(init).replace(/\b[0-9a-f]{64}\b/g, hashes.real)
    uncertain = true
    const response = await send(url, { ...init, body })
    uncertain = false
    if (response.ok) {
      const small = files.filter(({ inCommit }) => inCommit)
      const bytes = small.reduce((sum, { size }) => sum + size, 0)
      arrived += bytes
      onBytes(bytes)
    }
    return response
  }

  const route = (url: string, init: RequestInit): Promise<Response> => {
    // An address that the Hub has made up is told where it would be sent to.
    const pathname = URL.canParse(url) ? new URL(url).pathname : ''
    const { body } = init
    const part = parts.get(url)
    if (part !== undefined) return sendPart(url, init, part)
    const completed = completions.get(url)
    if (completed !== undefined && init.method === 'POST') return complete(url, init, completed)
    if (body instanceof KnownFile) return sendWhole(url, init, body)
    if (pathname.endsWith('/info/lfs/objects/batch')) return batch(url, init)
    const [, action] = /\/api\/models\/[^/]+\/[^/]+\/(commit|preupload)\//.exec(pathname) ?? []
    if (action === 'commit') return commit(url, init)
    if (action === 'preupload') return preupload(url, init)
    return send(url, init)
  }

  return {
    arrived: () => arrived,
    uncertain: () => uncertain,
    async settle() {
      await Promise.allSettled(onTheWay)
    },
    fetch: (input, init = {}) => {
      const answer = route(input instanceof Request ? input.url : String(input), init)
      onTheWay.add(answer)
      const ended = () => onTheWay.delete(answer)
      answer.then(ended, ended)
      return answer
    },
  }
}

/** The request for a batch with the real hashes, each once however many files have it. */
function askedOnce(text: string, hashes: Hashes): string {
  const request = parseJson(text)
  if (!isJsonObject(request) || !Array.isArray(request.objects)) {
    throw hubError('the Hub’s client asks for something unknown')
  }
  const asked = new Set<string>()
  request.objects = request.objects.filter((object) => {
    if (!isJsonObject(object) || typeof object.oid !== 'string') return false
    object.oid = hashes.real(object.oid)
    if (asked.has(object.oid)) return false
    asked.add(object.oid)
    return true
  })
  return JSON.stringify(request)
}

/** The body of a request that the client makes as text. */
function textOf({ body }: RequestInit): string {
  if (typeof body !== 'string') throw hubError('the Hub’s client asks for something unknown')
  return body
}

/** The paths of files without content that a request for ways to upload is about. */
function emptyFiles(text: string): Set<string> {
  const request = parseJson(text)
  const files = isJsonObject(request) && Array.isArray(request.files) ? request.files : []
  const empty = files.filter(isJsonObject).filter(({ size }) => size === 0)
  return new Set(empty.flatMap(({ path }) => (typeof path === 'string' ? [path] : [])))
}

/** An upload in parts as the Hub offers it; undefined where it goes in one piece, or is there. */
function beginning({ size, actions }: JsonObject): BegunUpload | undefined {
  const upload = isJsonObject(actions) ? actions.upload : undefined
  if (!isJsonObject(upload) || !isJsonObject(upload.header)) return undefined
  const { href, header } = upload
  if (typeof href !== 'string' || typeof size !== 'number' || !header.chunk_size) return undefined
  return { size, href, header: textsOf(header), etags: {} }
}

/** The same answer with another body. */
function answered({ status, headers }: Response, url: string, body: string): Response {
  const kept = new Headers(headers)
  kept.delete('content-length')
  kept.delete('content-encoding')
  const other = new Response(body, { status, headers: kept })
  return Object.defineProperty(other, 'url', { value: url })
}

/** Lets so many run at a time; the others wait for their turn. */
function limiter(most: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
