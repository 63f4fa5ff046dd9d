import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Checksum } from '../checkpoint/checkpoint.js'
import type { Tile } from '../checkpoint/regions.js'
import { OpenLlamaError } from '../io/errors.js'
import { type Kernels, loadKernels } from '../kernels/kernels.js'
import { crc32Of, digestBuffer, hashFile, holdChecksums } from './digest.js'
import { openFiles } from './files.js'
import type { Move } from './plan.js'
import { type Prefetched, readingFrom } from './prefetch.js'
import { type MadeTile, runTile, sumTile } from './tile.js'
import { joinTurn } from './turn.js'

/** What every worker knows from the start; plain data, it crosses to a thread. */
export interface WorkerSetup {
  moves: Move[]
  /** The directory in which the result is being made. */
  staging: string
  /** What each file of it is (`identityOf`). */
  outputs?: ReadonlyMap<string, string>
  /** Where there are several workers: whose turn it is to write. */
  turn?: SharedArrayBuffer
}

export type Task =
  /** @param prefetch the source's bytes, where they are not in a file of this machine */
  | { kind: 'tile'; move: number; tile: Tile; prefetch?: Prefetched }
  /** Sums up a tile that was written. */
  | { kind: 'sum'; move: number; tile: Tile }
  | { kind: 'hash'; path: string; checksums: Checksum[] }
  /** Holds a file against its own checksums, and no more. */
  | { kind: 'check'; path: string; checksums: Checksum[] }
  /** Of a range of an output, by its name. */
  | { kind: 'crc32'; name: string; offset: number; length: number }

type TaskResult =
  | ({ kind: 'tile' } & MadeTile)
  | { kind: 'sum'; crc32: number }
  | { kind: 'hash'; sha256: string }
  | { kind: 'check' }
  | { kind: 'crc32'; crc32: number }

/** Where tasks are carried out, one at a time: in this thread, or in one of its own. */
export interface ConversionWorker {
  run(task: Task): Promise<TaskResult>
  close(): void
}

/** What a worker answers; errors are taken apart, since only plain data crosses threads. */
export type Reply =
  | { ok: true; result: TaskResult }
  | { ok: false; error: OpenLlamaError['parts'] }
  | { ok: false; bug: Error }

/** A worker in this thread. */
export function startWorker({ moves, staging, outputs, turn }: WorkerSetup): ConversionWorker {
  const files = openFiles(staging, turn && joinTurn(turn), outputs)
  let buffer: Uint8Array | undefined
  let kernels: Kernels | undefined
  return {
    async run(task) {
      if (task.kind === 'hash') {
        return { kind: 'hash', sha256: await hashFile(task.path, task.checksums) }
      }
      if (task.kind === 'check') {
        await holdChecksums(task.path, task.checksums)
        return { kind: 'check' }
      }
      if (task.kind === 'crc32') {
        const { name, offset, length } = task
        return { kind: 'crc32', crc32: await crc32Of(join(staging, name), offset, length) }
      }
      const move = moves[task.move]
      if (move === undefined) throw new Error(`there is no move ${task.move}`)
      // Between tiles the thread looks up: a signal must not wait for the last one.
      await setImmediate()
      if (task.kind === 'sum') {
        buffer ??= new Uint8Array(digestBuffer)
        return { kind: 'sum', crc32: sumTile(files, move, task.tile, buffer) }
      }
      kernels ??= loadKernels()
      const from = task.prefetch ? readingFrom(task.prefetch, move, files) : { move, files }
      return { kind: 'tile', ...runTile(kernels, from.files, from.move, task.tile) }
    },
    close: () => files.close(),
  }
}

/** A worker in a thread of its own. */
export function startThreadWorker(setup: WorkerSetup): ConversionWorker {
  const thread = new Worker(new URL('./worker-thread.js', import.meta.url), { workerData: setup })
  let waiting: { resolve(result: TaskResult): void; reject(error: unknown): void } | undefined
  thread.on('message', (reply: Reply) => {
    if (reply.ok) waiting?.resolve(reply.result)
    else if ('bug' in reply) waiting?.reject(reply.bug)
    else
      waiting?.reject(new OpenLlamaError(reply.error.code, reply.error.what, reply.error.details))
  })
  let ended: unknown
  const end = (error: unknown) => {
    ended ??= error
    waiting?.reject(ended)
  }
  thread.on('error', (error) => end(fromThread(error)))
  // A thread can end without an error, and its task would be waited for without end.
  thread.on('exit', () => end(threadEnded()))
  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) reject(ended)
        waiting = { resolve, reject }
        thread.postMessage(task)
      }),
    close: () => thread.postMessage('close'),
  }
}

function fromThread(error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ERR_WORKER_OUT_OF_MEMORY' || code === 'ERR_WORKER_INIT_FAILED'
    ? threadEnded(error)
    : error
}

function threadEnded(cause?: unknown): OpenLlamaError {
  return new OpenLlamaError('resources', 'one of the threads that convert has ended', {
    suggestions: [
      'The machine may be short of memory: lower `threads` or `maxMemory` with `force`, or go on with `resume`.',
    ],
    cause,
  })
}
