import { openFile } from '../io/source.js'
import { type RemoteSource, storeOf } from '../io/store.js'
import { slots } from './memory.js'
import { type ByteRun, type Prefetch, runsOf } from './prefetch.js'
import type { Verifier } from './verifier.js'

/**
 * Brings prefetches from elsewhere while the tiles of those before are worked on: as
 * many as there are slots are in memory at a time.
 */
export interface Prefetcher {
  /** The bytes of a prefetch, once they are there. */
  get(prefetch: number): Promise<SharedArrayBuffer>
  /** A tile of a prefetch is done; with the last one its slot is free. */
  release(prefetch: number): void
  /** Nothing more is wanted: whoever waits is told why. */
  abort(error: unknown): void
}

/** Gaps in a file that are fetched along: a request costs more than so many bytes. */
const widestGap = 4 * 1024

/** Bytes that are fetched before they are put in their places, where these are apart. */
const scatterBuffer = 4 * 1024 * 1024

/**
 * @param wanted tiles of each prefetch that are to be made, in the order in which they will be
 * @param verifier sees each prefetch before it is worked on
 */
export function openPrefetcher(
  prefetches: readonly Prefetch[],
  wanted: ReadonlyMap<number, number>,
  verifier: Verifier,
  signal: AbortSignal | undefined,
): Prefetcher {
  const aborter = new AbortController()
  const all = signal ? AbortSignal.any([signal, aborter.signal]) : aborter.signal
  const order = [...wanted.keys()]
  const remaining = new Map(wanted)
  const size = Math.max(0, ...order.map((i) => prefetches[i]?.bytes ?? 0))
  const free = Array.from(
    { length: Math.min(slots, order.length) },
    () => new SharedArrayBuffer(size),
  )
  const held = new Map<number, SharedArrayBuffer>()
  const awaited = new Map(order.map((i) => [i, deferred<SharedArrayBuffer>()]))
  let next = 0
  let verified = Promise.resolve()

  const abort = (error: unknown): void => {
    aborter.abort()
    for (const { reject } of awaited.values()) reject(error)
  }
  const start = (): void => {
    while (next < order.length) {
      const slot = free.pop()
      if (slot === undefined) return
      const i = order[next++] ?? 0
      const prefetch = prefetches[i]
      if (prefetch === undefined) continue
      held.set(i, slot)
      const bytes = new Uint8Array(slot, 0, prefetch.bytes)
      // Two may come at once, and the second first.
      const before = verified
      verified = fetchRegion(prefetch, bytes, all)
        .then(() => before)
        .then(() => verifier.add(prefetch, bytes))
      verified.then(() => awaited.get(i)?.resolve(slot), abort)
    }
  }
  start()
  return {
    get(prefetch) {
      const waiting = awaited.get(prefetch)
      if (waiting === undefined) throw new Error(`prefetch ${prefetch} was not wanted`)
      return waiting.promise
    },
    release(prefetch) {
      const left = (remaining.get(prefetch) ?? 0) - 1
      remaining.set(prefetch, left)
      const slot = held.get(prefetch)
      if (left > 0 || slot === undefined) return
      held.delete(prefetch)
      free.push(slot)
      start()
    },
    abort,
  }
}

/** Fetches the bytes of a region of a tensor. */
export async function fetchRegion(
  prefetch: Pick<Prefetch, 'source' | 'region'>,
  into: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  for (const span of spansOf(runsOf(prefetch))) {
    const [first] = span
    const last = span.at(-1)
    if (first === undefined || last === undefined) continue
    const source = await openRemote(first.path)
    if (span.length === 1) {
      await source.readInto(
        first.offset,
        into.subarray(first.position, first.position + first.length),
        signal,
      )
      continue
    }
    const bytes = new Uint8Array(last.offset + last.length - first.offset)
    await source.readInto(first.offset, bytes, signal)
    for (const { offset, position, length } of span) {
      into.set(bytes.subarray(offset - first.offset, offset - first.offset + length), position)
    }
  }
}

/** Runs that one request serves: long ones alone, short ones near each other together. */
function spansOf(runs: readonly ByteRun[]): ByteRun[][] {
  const spans: ByteRun[][] = []
  for (const run of runs) {
    const span = spans.at(-1)
    const first = span?.[0]
    const last = span?.at(-1)
    const near =
      first !== undefined &&
      last?.path === run.path &&
      run.offset >= last.offset + last.length &&
      run.offset - last.offset - last.length <= widestGap &&
      run.offset + run.length - first.offset <= scatterBuffer
    if (span && near) span.push(run)
    else spans.push([run])
  }
  return spans
}

async function openRemote(path: string): Promise<RemoteSource> {
  const store = await storeOf(path)
  if (store !== undefined) return store.open(path)
  // A checkpoint whose parts are in several places: this one is on the machine.
  const source = await openFile(path)
  return {
    ...source,
    sha256: undefined,
    readInto: async (offset, into) => into.set(await source.read(offset, into.length)),
  }
}

interface Deferred<T> {
  promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<T>((...both) => {
    ;[resolve, reject] = both
  })
  // Nobody may be waiting when it fails.
  promise.catch(() => {})
  return { promise, resolve, reject }
}
