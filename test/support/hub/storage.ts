import { createHash } from 'node:crypto'
import { isJsonObject } from '../../../src/io/json.js'
import { memoryContent } from './content.js'
import { type Exchange, jsonBody, Refusal, readBody, sendContent, sendJson } from './exchange.js'
import type { Kind } from './faults.js'
import { findRepository, type HubState, signedLink } from './state.js'

// Large files: Git LFS's batch at the Hub, the bytes at another host.

/** Says where to send large files that are not there yet. */
export async function lfsBatch(
  state: HubState,
  exchange: Exchange,
  type: string,
  name: string,
): Promise<void> {
  findRepository(state, exchange, type, name, 'write')
  const { objects, transfers } = await jsonBody(exchange)
  if (!Array.isArray(objects)) throw new Refusal(422, '"objects" must be an array')
  const inParts = Array.isArray(transfers) && transfers.includes('multipart')
  const verify = `${state.url}/${name}.git/info/lfs/objects/verify`
  return sendJson(
    exchange,
    {
      transfer: inParts ? 'multipart' : 'basic',
      objects: objects.filter(isJsonObject).map(({ oid, size }) => {
        const sha256 = String(oid)
        const there = state.objects.get(sha256)
        if (there?.size === size) return { oid, size, authenticated: true }
        const parts = inParts && Number(size) > state.multipartAbove
        const upload = parts ? multipart(state, sha256, Number(size)) : basic(state, sha256)
        const actions = { upload, verify: { href: verify, header: {} } }
        return { oid, size, authenticated: true, actions }
      }),
    },
    { 'Content-Type': 'application/vnd.git-lfs+json' },
  )
}

function basic(state: HubState, sha256: string): object {
  return { href: signedLink(state, 'upload', sha256), header: {} }
}

function multipart(state: HubState, sha256: string, size: number): object {
  const header: Record<string, string> = { chunk_size: String(state.partSize) }
  // As in S3: parts of another upload of the same file are none of this one.
  const upload = `&upload=${++state.uploads}`
  for (let part = 1; part <= Math.ceil(size / state.partSize); part++) {
    const number = String(part).padStart(5, '0')
    header[number] = signedLink(state, 'part', sha256, `${upload}&part=${part}`)
  }
  return { href: signedLink(state, 'complete', sha256, upload), header }
}

export async function lfsVerify({ objects }: HubState, exchange: Exchange): Promise<void> {
  const { oid, size } = await jsonBody(exchange)
  const there = objects.get(String(oid))
  if (there === undefined || there.size !== size) throw new Refusal(404, 'Object not found')
  return sendJson(exchange, {})
}

const kinds: Record<string, Kind> = {
  file: 'download',
  upload: 'upload',
  part: 'part',
  complete: 'complete',
}

export function storageKind(path: readonly string[]): Kind {
  return kinds[path[0] ?? ''] ?? 'other'
}

/** Parts that have arrived, by upload and number. */
type Parts = Map<string, Map<number, Buffer>>

/** What the other host answers; links that are no longer valid are refused as S3 does. */
export function openStorage(
  state: HubState,
): (exchange: Exchange, path: readonly string[]) => Promise<void> {
  const parts: Parts = new Map()
  return async (exchange, [what, sha256 = '']) => {
    const { url, request } = exchange
    if (url.searchParams.get('signature') !== String(state.linkGeneration)) {
      request.resume()
      throw new Refusal(403, 'Request has expired')
    }
    if (what === 'file') {
      const content = state.objects.get(sha256)
      if (content === undefined) throw new Refusal(404, 'NoSuchKey')
      // Not the hash of the file: the storage has tags of its own.
      return sendContent(exchange, content, { ETag: `"${tagOf(sha256)}"` })
    }
    if (request.headers['content-length'] === undefined) {
      request.resume()
      throw new Refusal(411, 'MissingContentLength')
    }
    const body = await readBody(exchange)
    // As S3 does for the Hub.
    if (body.length === 0) throw new Refusal(501, 'NotImplemented')
    if (what === 'upload') return keep(state, exchange, sha256, body)
    const upload = url.searchParams.get('upload') ?? ''
    if (what === 'part') {
      const arrived = parts.get(upload) ?? new Map<number, Buffer>()
      parts.set(upload, arrived.set(Number(url.searchParams.get('part')), body))
      return sendJson(exchange, {}, { ETag: `"${tagOf(body)}"` })
    }
    const request_: unknown = JSON.parse(body.toString())
    return complete(state, exchange, sha256, upload, parts, request_)
  }
}

function complete(
  state: HubState,
  exchange: Exchange,
  sha256: string,
  upload: string,
  parts: Parts,
  wanted: unknown,
): Promise<void> {
  const arrived = parts.get(upload) ?? new Map<number, Buffer>()
  const list = JSON.stringify(wanted)
  const bytes = [...arrived].sort(([a], [b]) => a - b)
  for (const [number, part] of bytes) {
    // Every part must be named with the tag that it was answered with.
    if (!list.includes(JSON.stringify({ partNumber: number, etag: `"${tagOf(part)}"` }))) {
      throw new Refusal(400, `part ${number} is missing, or its ETag is another`)
    }
  }
  parts.delete(upload)
  return keep(state, exchange, sha256, Buffer.concat(bytes.map(([, part]) => part)))
}

function keep(
  { objects }: HubState,
  exchange: Exchange,
  sha256: string,
  bytes: Buffer,
): Promise<void> {
  const content = memoryContent(bytes)
  if (content.sha256 !== sha256) throw new Refusal(400, 'the content has another SHA-256')
  objects.set(sha256, content)
  return sendJson(exchange, {}, { ETag: `"${tagOf(sha256)}"` })
}

function tagOf(of: string | Uint8Array): string {
  return createHash('md5').update(of).digest('hex')
}
