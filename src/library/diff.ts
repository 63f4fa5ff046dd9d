import { type Diff, diffCheckpoints } from '../compare/diff.js'
import { type OpenOptions, openCheckpoint } from '../open/open.js'
import { defaultMemory } from './conversion.js'
import type { Attendance } from './progress.js'

export interface DiffOptions extends Pick<OpenOptions, 'config' | 'heads'> {
  /** Bytes of weights in memory at most; by default 512 MB. */
  maxMemory?: number
}

export interface Compared extends Diff {
  /** What was assumed in opening the two. */
  warnings: string[]
}

/** Tells whether two checkpoints, of whatever formats, are the same model: tensor by tensor. */
export async function diff(
  a: string,
  b: string,
  { maxMemory, signal, onProgress, ...options }: DiffOptions & Attendance = {},
): Promise<Compared> {
  const first = await openCheckpoint(a, options)
  const second = await openCheckpoint(b, options)
  const found = await diffCheckpoints(first, second, {
    maxMemory: maxMemory ?? defaultMemory,
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done, total) => onProgress?.({ phase: 'compare', done, total }),
  })
  return { ...found, warnings: [...new Set([...first.notes, ...second.notes])] }
}
