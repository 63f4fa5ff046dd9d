import { setTimeout as sleep } from 'node:timers/promises'
import { OpenLlamaError } from '../io/errors.js'
import { interrupted } from '../io/interruption.js'
import { hubError, networkError, statusError, Transient } from './errors.js'
import { heedProxies } from './proxy.js'
import { FileSlice } from './push/known-file.js'
import type { HubSettings } from './settings.js'

/** The way to the Hub. */
export interface HubClient {
  readonly settings: HubSettings
  /**
   * As fetch, for the calls of `@huggingface/hub`: what may go better next time
   * is tried again, answers are read whole. The token is added here and nowhere
   * else, and goes to the endpoint alone.
   */
  readonly fetch: typeof fetch
  /** One request without a second try; redirects are the caller's where `redirect` is "manual". */
  send(url: string, init: RequestInit): Promise<Response>
  /** What `@huggingface/hub` wants to know with every call. */
  readonly params: { hubUrl: string; fetch: typeof fetch }
}

/** Tries until a failure is told; with the waits between them some eight seconds. */
export const maxTries = 6

const longestWait = 8000

/** A server that asks for more patience than this is told about instead. */
const longestAsked = 5 * 60 * 1000

const maxRedirects = 5

/**
 * Answers that are no files are read whole: listings come in pages of a thousand, and the largest
 * are the addresses of the parts of a hundred large files.
 */
const largestAnswer = 256 * 1024 * 1024

/** Milliseconds to wait before try number `tries`; some of it by chance, so that many do not come back at once. */
export function backOff(tries: number, { firstWait }: HubSettings): number {
  return Math.min(longestWait, firstWait * 2 ** (tries - 1)) * (0.75 + Math.random() / 2)
}

/** @param mostBytes of an answer that is no file */
export function createClient(settings: HubSettings, mostBytes = largestAnswer): HubClient {
  const hub = new URL(settings.endpoint).origin

  const send = async (address: string, init: RequestInit): Promise<Response> => {
    let url = address
    for (let hops = 0; ; hops++) {
      const response = await sendOnce(url, init, hub, settings)
      const location = response.headers.get('location')
      const redirected = response.status >= 300 && response.status < 400 && location !== null
      if (!redirected || init.redirect === 'manual') return response
      await response.body?.cancel()
      if (hops === maxRedirects) {
        throw statusError(response.status, 'it leads elsewhere again and again', shownUrl(url))
      }
      url = redirectedTo(location, url)
    }
  }

  const fetchWell: typeof fetch = async (input, init = {}) => {
    const url = input instanceof Request ? input.url : String(input)
    return retrying(settings, mayRepeat(url, init), init.signal ?? undefined, async () => {
      const response = await send(url, init)
      if (init.method === 'PUT') return response
      return readWhole(response, url, mostBytes, settings.patience, init.signal ?? undefined)
    })
  }

  return {
    settings,
    fetch: fetchWell,
    send,
    params: { hubUrl: settings.endpoint, fetch: fetchWell },
  }
}

/**
 * Where an answer leads.
 * @throws hub error for what is no address of the web, without what it is
 */
export function redirectedTo(location: string, from: string): string {
  const to = URL.canParse(location, from) ? new URL(location, from) : undefined
  if (to === undefined || !/^https?:$/.test(to.protocol)) {
    throw hubError('it leads to what is no address of the web', { path: shownUrl(from) })
  }
  if (to.username !== '' || to.password !== '') {
    throw hubError('it leads to an address with a name or a password in it', {
      path: shownUrl(from),
    })
  }
  return to.href
}

/** Runs `work` until it ends otherwise than with what may go better next time. */
async function retrying<T>(
  settings: HubSettings,
  may: (error: Transient) => boolean,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Transient)) throw error
      if (tries >= maxTries || !may(error) || (error.wait ?? 0) > longestAsked) throw error.told
      await pause(error.wait ?? backOff(tries, settings), signal)
    }
  }
}

export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal === undefined ? {} : { signal })
  } catch {
    throw transferInterrupted()
  }
}

export function transferInterrupted(): OpenLlamaError {
  return interrupted(['The same command goes on from here.'])
}

async function sendOnce(
  url: string,
  init: RequestInit,
  hub: string,
  { token, patience }: HubSettings,
): Promise<Response> {
  const headers = new Headers(init.headers)
  headers.delete('authorization')
  // Of the next page of a listing, of an upload: what an answer has named.
  if (!URL.canParse(url)) throw hubError('an answer names what is no address of the web')
  if (token !== undefined && new URL(url).origin === hub) {
    headers.set('authorization', `Bearer ${token}`)
  }
  headers.set('user-agent', 'openllama')
  const aborter = new AbortController()
  const stop = () => aborter.abort()
  if (init.signal?.aborted) throw transferInterrupted()
  init.signal?.addEventListener('abort', stop, { once: true })
  let timer = setTimeout(stop, answerTime(init, patience) + bodyTime(init))
  if (init.body instanceof FileSlice) {
    init.body.onTaken = (all) => {
      clearTimeout(timer)
      // What was taken last is not there yet: the system keeps some of it.
      timer = setTimeout(stop, all ? 3 * patience : patience)
    }
  }
  let response: Response
  try {
    await heedProxies(process.env)
    response = await fetch(url, { ...init, headers, redirect: 'manual', signal: aborter.signal })
  } catch (error) {
    if (init.signal?.aborted) throw transferInterrupted()
    // What it was to send is not there any more: the connection is not at fault.
    if (init.body instanceof FileSlice && init.body.failure) throw init.body.failure
    const reason = aborter.signal.aborted
      ? new Error(`no answer within ${Math.round(answerTime(init, patience) / 1000)} s`)
      : error
    throw new Transient(networkError(reason, shownUrl(url)))
  } finally {
    clearTimeout(timer)
    init.signal?.removeEventListener('abort', stop)
  }
  if (response.status === 408 || response.status === 429 || response.status >= 500) {
    const message = await messageOf(response)
    const told = statusError(response.status, message, shownUrl(url))
    throw new Transient(told, retryAfter(response))
  }
  return response
}

/** A commit, or putting parts together, takes the Hub itself some time. */
function answerTime({ method }: RequestInit, patience: number): number {
  return method === 'POST' ? 6 * patience : patience
}

/** What is sent takes its time, at 50 kB/s at least; a file tells itself how it goes. */
function bodyTime({ body }: RequestInit): number {
  return body instanceof Blob && !(body instanceof FileSlice) ? body.size / 50 : 0
}

/**
 * Milliseconds that a server asks to wait: seconds, or a date; or as the Hub says it,
 * `RateLimit: "api";r=0;t=55`, by when so many requests are allowed again.
 */
function retryAfter({ headers }: Response): number | undefined {
  const [, left, reset] = /;\s*r=(\d+)\s*;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? []
  const text = headers.get('retry-after') ?? (Number(left) === 0 ? (reset ?? null) : null)
  if (text === null) return undefined
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined
}

/** What an answer says in words. */
export async function messageOf(response: Response): Promise<string> {
  const told = response.headers.get('x-error-message')
  if (told !== null) {
    await response.body?.cancel().catch(() => {})
    return told
  }
  // Its words are a help; that they do not come is none of the failure that is told.
  const text = await readBodyStart(response, largestMessage, longestMessage).catch(() => '')
  return /^\s*</.test(text) ? '' : text.slice(0, 300)
}

/** The text at the start of a body, which may have no end. */
export async function readBodyStart(
  response: Response,
  most: number,
  patience: number,
): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  const keep = (chunk: Uint8Array) => {
    chunks.push(chunk)
    size += chunk.length
    return size < most
  }
  await readChunks(response, shownUrl(response.url), patience, keep, undefined)
  return new TextDecoder().decode(Buffer.concat(chunks).subarray(0, most))
}

/** Bytes of a message that are read, and milliseconds that are waited for more of it. */
const largestMessage = 64 * 1024
const longestMessage = 5000

/**
 * What happens twice if it is sent twice is only repeated where the server did not begin
 * with it. What is made a second time is answered with 409, which its caller knows.
 */
function mayRepeat(url: string, { method = 'GET' }: RequestInit): (error: Transient) => boolean {
  const once = method === 'POST' && /\/api\/[^?]*\/(commit|discussions)(\/|\?|$)/.test(url)
  return (error) => !once || /answers (429|503)/.test(error.told.message)
}

/** An answer with its body read: a connection that breaks off within it is a failure of the request. */
async function readWhole(
  response: Response,
  url: string,
  mostBytes: number,
  patience: number,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const chunks: Uint8Array[] = []
  let size = 0
  const keep = (chunk: Uint8Array) => {
    size += chunk.length
    if (size > mostBytes) {
      throw hubError(`its answer has more than ${mostBytes} bytes and goes on`, {
        path: shownUrl(url),
        suggestions: [
          'That is no answer of the Hub’s: look at HF_ENDPOINT and the proxy settings.',
        ],
      })
    }
    chunks.push(chunk)
    return true
  }
  await readChunks(response, shownUrl(url), patience, keep, signal)
  const bodiless = [101, 204, 205, 304].includes(response.status)
  const { status, statusText, headers } = response
  const whole = new Response(bodiless ? null : Buffer.concat(chunks), {
    status,
    statusText,
    headers,
  })
  // The client compares where an answer came from.
  return Object.defineProperty(whole, 'url', { value: response.url || url })
}

/**
 * Reads a body as it comes.
 * @param take is given each chunk, and says whether there is to be more
 * @param signal ends it at once, also while nothing comes
 * @throws Transient where the connection ends early, or nothing comes for too long
 */
export async function readChunks(
  { body, headers }: Response,
  path: string,
  patience: number,
  take: (chunk: Uint8Array) => boolean | Promise<boolean>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (body === null) return
  const reader = body.getReader()
  let stalled = false
  const stop = () => void reader.cancel().catch(() => {})
  const timer = setTimeout(() => {
    stalled = true
    stop()
  }, patience)
  signal?.addEventListener('abort', stop, { once: true })
  let received = 0
  try {
    for (;;) {
      if (signal?.aborted) throw transferInterrupted()
      const read = await reader.read()
      timer.refresh()
      if (signal?.aborted) throw transferInterrupted()
      if (stalled) throw new Error(`nothing came for ${Math.round(patience / 1000)} s`)
      if (read.done) break
      const chunk: unknown = read.value
      if (!(chunk instanceof Uint8Array)) throw new TypeError('a body gave no bytes')
      received += chunk.length
      if (!(await take(chunk))) return
    }
    const announced = headers.get('content-length')
    const plain = headers.get('content-encoding') === null
    if (plain && announced !== null && received < Number(announced)) {
      throw new Error(`it broke off after ${received} of ${announced} bytes`)
    }
  } catch (error) {
    if (error instanceof OpenLlamaError) throw error
    throw new Transient(networkError(error, path))
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
    // What was not read must not keep the connection.
    stop()
  }
}

/** An address for people: without what may be a key. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return 'an address that is none'
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}
