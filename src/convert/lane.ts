import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { type ErrorCode, fromSystemError, OpenLlamaError } from '../io/errors.js'
import { type Kernels, loadKernels } from '../kernels/kernels.js'
import { openFiles } from './files.js'
import type { Move, Tile } from './plan.js'
import { memoryFor, runTile, type TileFacts } from './tile.js'

/** What every lane knows from the start; plain data, it crosses to a thread. */
export interface LaneSetup {
  moves: Move[]
  /** The directory in which the result is being made. */
  staging: string
  /** Bytes of a tile's buffers at most. */
  budget: number
}

export type Task = { kind: 'tile'; move: number; tile: Tile } | { kind: 'hash'; path: string }

export type TaskResult = { kind: 'tile'; facts: TileFacts } | { kind: 'hash'; sha256: string }

/** Where tasks are carried out, one at a time: in this thread, or in one of its own. */
export interface Lane {
  run(task: Task): Promise<TaskResult>
  close(): void
}

/** What a worker answers; errors are taken apart, since only plain data crosses threads. */
export type Reply =
  | { ok: true; result: TaskResult }
  | {
      ok: false
      error: {
        code: ErrorCode
        message: string
        path: string | undefined
        tensor: string | undefined
        suggestions: string[]
      }
    }
  | { ok: false; bug: Error }

/** A lane in this thread. */
export function startLane({ moves, staging, budget }: LaneSetup): Lane {
  const files = openFiles(staging)
  let kernels: Kernels | undefined
  return {
    async run(task) {
      if (task.kind === 'hash') return { kind: 'hash', sha256: await hashFile(task.path) }
      const move = moves[task.move]
      if (move === undefined) throw new Error(`there is no move ${task.move}`)
      // Between tiles the thread looks up: a signal must not wait for the last one.
      await setImmediate()
      kernels ??= loadKernels(memoryFor(budget))
      return { kind: 'tile', facts: runTile(kernels, files, move, task.tile) }
    },
    close: () => files.close(),
  }
}

/** A lane in a thread of its own. */
export function startWorkerLane(setup: LaneSetup): Lane {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: setup })
  let settle: { resolve(result: TaskResult): void; reject(error: unknown): void } | undefined
  worker.on('message', (reply: Reply) => {
    if (reply.ok) settle?.resolve(reply.result)
    else if ('bug' in reply) settle?.reject(reply.bug)
    else settle?.reject(rebuild(reply.error))
  })
  worker.on('error', (error) => settle?.reject(error))
  return {
    run: (task) =>
      new Promise((resolve, reject) => {
        settle = { resolve, reject }
        worker.postMessage(task)
      }),
    close: () => worker.postMessage('close'),
  }
}

/** The message has format, file and tensor in it already. */
function rebuild(error: Extract<Reply, { error: object }>['error']): OpenLlamaError {
  return new OpenLlamaError(error.code, error.message, { suggestions: error.suggestions })
}

/** Bytes that are read and hashed at a time. */
const hashChunk = 4 * 1024 * 1024

async function hashFile(path: string): Promise<string> {
  try {
    const handle = await open(path, 'r')
    try {
      const hash = createHash('sha256')
      const buffer = new Uint8Array(hashChunk)
      for (;;) {
        const { bytesRead } = await handle.read(buffer, 0, hashChunk, null)
        if (bytesRead === 0) return hash.digest('hex')
        hash.update(buffer.subarray(0, bytesRead))
      }
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw fromSystemError(error, path, 'read it')
  }
}
