import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { isJsonObject, type Json, type JsonObject } from '../../../src/io/json.js'
import type { Content } from './content.js'
import { type Fault, type Kind, type Ledger, type Recorded, takeFault } from './faults.js'

/** One request, its answer, and what is to go wrong with it. */
export interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  url: URL
  record: Recorded
  fault: Fault | undefined
}

/** An answer that ends the handling of a request. */
export class Refusal extends Error {
  readonly status: number
  readonly headers: Record<string, string>
  constructor(status: number, message: string, code?: string) {
    super(message)
    this.status = status
    this.headers = {
      'X-Error-Message': message,
      ...(code === undefined ? {} : { 'X-Error-Code': code }),
    }
  }
}

/** The connection was cut on purpose: there is no answer to give. */
export class Cut extends Error {}

/** Takes down a request, and carries out a fault that needs nothing of its answer. */
export async function openExchange(
  ledger: Ledger,
  kind: Kind,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<Exchange> {
  const fault = takeFault(ledger, kind, url.pathname)
  const record: Recorded = {
    kind,
    method: request.method ?? '',
    url: `${url.pathname}${url.search}`,
    authorization: request.headers.authorization,
    range: request.headers.range,
    status: 0,
    sent: 0,
    received: 0,
  }
  ledger.requests.push(record)
  response.on('close', () => {
    // Of a request that got no answer it stays 0.
    if (response.headersSent) record.status = response.statusCode
  })
  const exchange = { request, response, url, record, fault }
  if (fault === undefined) return exchange
  if ('delay' in fault) await setTimeout(fault.delay)
  if ('redirect' in fault) {
    response.writeHead(302, { Location: fault.redirect }).end()
    throw new Cut()
  }
  if ('status' in fault) {
    // A client that still sends must not wait for its bytes to be taken.
    request.resume()
    response.writeHead(fault.status, { 'Content-Type': 'text/plain', ...fault.headers })
    response.end(fault.body ?? '')
    throw new Cut()
  }
  return exchange
}

/** The whole body of a request; cut where a fault says so. */
export async function readBody({ request, record, fault }: Exchange): Promise<Buffer> {
  const cut = fault && 'cutAfter' in fault ? fault.cutAfter : Infinity
  const stall = fault && 'stallAfter' in fault ? fault.stallAfter : Infinity
  const chunks: Buffer[] = []
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue
    const room = Math.min(chunk.length, cut - record.received)
    record.received += room
    if (record.received >= cut) {
      request.socket.destroy()
      throw new Cut()
    }
    chunks.push(chunk)
    if (record.received < stall) continue
    // Nothing more is taken, and nothing is said, until the client goes away.
    await once(request.socket, 'close')
    throw new Cut()
  }
  const whole = Buffer.concat(chunks)
  const isFile = record.kind === 'upload' || record.kind === 'part'
  return isFile ? Buffer.from(spoil(whole, fault, 0)) : whole
}

/** The JSON object that a request has as its body. */
export async function jsonBody(exchange: Exchange): Promise<JsonObject> {
  const text = (await readBody(exchange)).toString()
  if (text === '') return {}
  const value: Json = JSON.parse(text)
  if (!isJsonObject(value)) throw new Refusal(400, 'a JSON object is expected')
  return value
}

export function sendJson(
  exchange: Exchange,
  value: unknown,
  headers: Record<string, string> = {},
  status = 200,
): Promise<void> {
  const body = Buffer.from(JSON.stringify(value))
  return sendBody(
    exchange,
    status,
    { 'Content-Type': 'application/json', ...headers },
    body.length,
    [async () => body],
  )
}

/** Pieces that a large file is read and sent in. */
const piece = 256 * 1024

/** Sends a file or the range of it that was asked for. */
export async function sendContent(
  exchange: Exchange,
  content: Content,
  headers: Record<string, string>,
): Promise<void> {
  const { request, fault } = exchange
  const wanted = fault && 'ignoreRange' in fault ? undefined : request.headers.range
  const etag = fault && 'etag' in fault ? fault.etag : headers.ETag
  const all = {
    'Accept-Ranges': 'bytes',
    ...headers,
    ...(etag === undefined ? {} : { ETag: etag }),
  }
  const match = request.headers['if-match']
  if (match !== undefined && match !== etag) throw new Refusal(412, 'it has another ETag')
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(wanted ?? '') ?? []
  if (first === undefined) {
    await sendPieces(exchange, 200, all, content, 0, content.size)
    return
  }
  const suffix = first === ''
  let start = suffix ? Math.max(0, content.size - Number(last)) : Number(first)
  let end = suffix || last === '' ? content.size : Math.min(content.size, Number(last) + 1)
  if (start >= content.size) {
    exchange.response.setHeader('Content-Range', `bytes */${content.size}`)
    throw new Refusal(416, 'no such range')
  }
  if (fault && 'shorten' in fault) end = Math.max(start + 1, end - fault.shorten)
  if (fault && 'shift' in fault) {
    start = Math.min(content.size - 1, start + fault.shift)
    end = Math.min(content.size, end + fault.shift)
  }
  const range = `bytes ${start}-${end - 1}/${content.size}`
  await sendPieces(exchange, 206, { ...all, 'Content-Range': range }, content, start, end)
}

function sendPieces(
  exchange: Exchange,
  status: number,
  headers: Record<string, string>,
  content: Content,
  start: number,
  end: number,
): Promise<void> {
  const pieces: (() => Promise<Uint8Array>)[] = []
  for (let at = start; at < end; at += piece) {
    pieces.push(() => content.read(at, Math.min(end, at + piece)))
  }
  return sendBody(exchange, status, headers, end - start, pieces)
}

async function sendBody(
  { request, response, record, fault }: Exchange,
  status: number,
  headers: Record<string, string>,
  length: number,
  pieces: readonly (() => Promise<Uint8Array>)[],
): Promise<void> {
  if (fault && 'cutAnswer' in fault) {
    request.socket.destroy()
    return
  }
  response.writeHead(status, { ...headers, 'Content-Length': String(length) })
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const cut = fault && 'cutAfter' in fault ? fault.cutAfter : Infinity
  const stall = fault && 'stallAfter' in fault ? fault.stallAfter : Infinity
  const limit = Math.min(cut, stall)
  for (const read of pieces) {
    const bytes = spoil(await read(), fault, record.sent)
    const part = bytes.subarray(0, Math.max(0, limit - record.sent))
    if (!(await write(response, part))) return
    record.sent += part.length
    if (record.sent < limit) continue
    if (limit === cut) request.socket.destroy()
    // A stalled connection stays until the client or the end of the test closes it.
    return
  }
  response.end()
}

/** A copy with one other byte, of the first piece. */
function spoil(bytes: Uint8Array, fault: Fault | undefined, sent: number): Uint8Array {
  if (!fault || !('corrupt' in fault) || sent > 0 || bytes.length === 0) return bytes
  const other = Uint8Array.from(bytes)
  const middle = Math.floor(other.length / 2)
  other[middle] = (other[middle] ?? 0) ^ 1
  return other
}

/** Writes when the client has taken what was written before; false once it has gone away. */
function write(response: ServerResponse, bytes: Uint8Array): Promise<boolean> {
  if (response.destroyed) return Promise.resolve(false)
  return new Promise((resolve) => {
    const gone = () => resolve(false)
    response.once('close', gone)
    response.write(bytes, (error) => {
      response.off('close', gone)
      resolve(!error)
    })
  })
}
