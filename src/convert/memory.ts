import { availableParallelism } from 'node:os'
import { isRemote } from '../io/store.js'
import { digestBuffer } from './digest.js'
import type { Plan } from './plan.js'
import { largestPrefetch } from './prefetch.js'

/**
 * Bytes that the program takes beside its buffers, measured on Linux: Node with the code and the
 * headers, and for each worker a thread with its own heap and kernels.
 */
export function programMemory(workers: number): number {
  return 90e6 + 15e6 * workers
}

/** How a plan is carried out within what memory there is. */
export interface Allotment {
  workers: number
  /** Bytes of a tile's buffers, in each worker. */
  budget: number
  /** Bytes of a prefetch at most, where the source is elsewhere. */
  prefetch?: number
  /** Bytes of all of it. */
  memory: number
}

/** Below this a worker's tiles would be so small that seeking outweighs everything. */
export const minMemory = 16 * 1024 * 1024

/**
 * Buffers of one tile at most. Larger ones save nothing: reads and writes are
 * long enough, and the caches are smaller anyhow.
 */
const maxTile = 48 * 1024 * 1024

/**
 * The same for tiles of a prefetch, which decides how long their writes are: smaller tiles cost
 * nothing, and leave several workers something to do in one prefetch.
 */
const maxPrefetchTile = 4 * 1024 * 1024

/**
 * Bytes of a prefetch at most. Of a transposed matrix each is some columns, written a row at a
 * time: at this size such a write has some 150 to 1000 bytes, and all of them together take less
 * than fetching. Of what two prefetches hold, a cut loses what was not written.
 */
const mostPrefetch = 12 * 1024 * 1024

/** Prefetches in memory at a time: one is worked on while the other comes. */
export const slots = 2

/**
 * What passes through while prefetches come. Node has a buffer of its own for each 64 KB of a
 * connection, fetch a copy of it, and V8 gathers such garbage whenever there are 32 MB.
 */
const passing = 32 * 1024 * 1024

/** Threads cost some 50 ms to start: not worth it below this many bytes. */
const inlineBelow = 32 * 1024 * 1024

export function defaultThreads(): number {
  return Math.min(8, availableParallelism())
}

/** How a plan is carried out within `maxMemory`, in `threads` workers at most. */
export function allotMemory(
  plan: Plan,
  { threads, maxMemory }: { threads: number; maxMemory: number },
): Allotment {
  const remote = plan.source.files.some(({ path }) => isRemote(path))
  const most = plan.bytes < inlineBelow ? 1 : threads
  return remote ? forPrefetches(plan, most, maxMemory) : forFiles(most, maxMemory)
}

function forFiles(threads: number, maxMemory: number): Allotment {
  const workers = workersWithin(threads, maxMemory, minMemory)
  const budget = Math.min(maxTile, Math.floor(maxMemory / workers) - digestBuffer)
  return { workers, budget, memory: workers * (budget + digestBuffer) }
}

/**
 * Half of what is left beside what passes through is for prefetches, and half for workers. Of more
 * than one worker all of it takes no more than with files of this machine.
 */
function forPrefetches({ moves }: Plan, threads: number, maxMemory: number): Allotment {
  const beside = Math.min(passing, maxMemory / 2)
  const prefetch = Math.min(mostPrefetch, Math.floor((maxMemory - beside) / 2 / slots))
  const forWorkers = (maxMemory - beside) / 2
  const workers = workersWithin(threads, forWorkers, maxPrefetchTile)
  const budget = Math.min(maxPrefetchTile, Math.floor(forWorkers / workers) - digestBuffer)
  // Whole heads and blocks of a wide matrix may need more than a prefetch was to have.
  const prefetches = slots * largestPrefetch(moves, prefetch)
  return {
    workers,
    budget,
    prefetch,
    memory: beside + prefetches + workers * (budget + digestBuffer),
  }
}

function workersWithin(threads: number, memory: number, least: number): number {
  return Math.max(1, Math.min(threads, Math.floor(memory / least)))
}
