import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { matrixOf } from '../checkpoint/tensor.js'
import { openTilePairs, type TilePairs } from '../convert/tile-pairs.js'
import { giveWay } from '../io/interruption.js'
import { areEqual, floats, tensorOf } from './diff.js'

/** A tensor of the artifact that is not what rounding makes of the source's. */
export interface WeightFault {
  /** Hugging Face's name. */
  name: string
  /** Σ (a − s)² / Σ s²; infinite where a value is not finite. */
  distance: number
  /** What the rounding between the two types leaves of it at most. */
  limit: number
  /** How many values are off by more than the limit allows a single one; of blocks none is held to one. */
  outliers: number
  /** The value that is off the most, by that limit or, in blocks, by itself. */
  worst: { row: number; column: number; values: [artifact: number, source: number] }
  /** The artifact's are zeros, all of them. */
  zero: boolean
}

export interface WeightOptions {
  /** Of Σ (a − s)² / Σ s², by tensor. */
  limitOf(artifact: Tensor, source: Tensor): { distance: number; value: number }
  /** Bytes of buffers at most. */
  maxMemory: number
  signal?: AbortSignal
  onProgress?(done: number, total: number): void
}

/**
 * Compares every tensor of an artifact with its source's in Hugging Face's layout, whatever types
 * and formats the two have.
 */
export async function compareWeights(
  artifact: Checkpoint,
  source: Checkpoint,
  { limitOf, maxMemory, signal, onProgress }: WeightOptions,
): Promise<WeightFault[]> {
  const pairs = openTilePairs(Math.floor(maxMemory / 2))
  const faults: WeightFault[] = []
  const names = [...artifact.tensors.keys()]
  try {
    for (const [i, name] of names.entries()) {
      await giveWay(signal)
      const ours = tensorOf(artifact, name)
      const theirs = tensorOf(source, name)
      if (ours === undefined || theirs === undefined) continue
      if (String(ours.shape) !== String(theirs.shape)) continue
      const fault = await compareTensor(pairs, ours, theirs, limitOf(ours, theirs), signal)
      if (fault !== undefined) faults.push(fault)
      onProgress?.(i + 1, names.length)
    }
    return faults
  } finally {
    pairs.close()
  }
}

async function compareTensor(
  { tiles }: TilePairs,
  ours: Tensor,
  theirs: Tensor,
  limit: { distance: number; value: number },
  signal: AbortSignal | undefined,
): Promise<WeightFault | undefined> {
  // What was only copied needs no arithmetic.
  const same = ours.dtype === theirs.dtype
  if (same && (await areEqual(tiles(ours, theirs, ours.dtype), signal))) return undefined
  const sums = { squares: 0, total: 0, ours: 0 }
  // In a block a value depends on its neighbours: the worst is told, and none is held to a limit.
  const single = limit.value !== Infinity
  const allowed = single ? limit.value : 0
  let outliers = 0
  let excess = 0
  let worst: WeightFault['worst'] = { row: 0, column: 0, values: [0, 0] }
  for (const { ours: left, theirs: right, tile } of tiles(ours, theirs, 'f32')) {
    await giveWay(signal)
    const [a, s] = [floats(left), floats(right)]
    let squares = 0
    let total = 0
    let own = 0
    for (let i = 0; i < a.length; i++) {
      const x = a[i] ?? 0
      const y = s[i] ?? 0
      const difference = x - y
      squares += difference * difference
      total += y * y
      own += x * x
      const over = Math.abs(difference) - allowed * Math.abs(y)
      // Written so that NaN is over: it is not below anything.
      if (over <= smallest) continue
      if (Number.isNaN(over) && Number.isNaN(x) && Number.isNaN(y)) continue
      if (single || Number.isNaN(over)) outliers++
      if (Number.isNaN(excess) || over <= excess) continue
      excess = over
      const row = tile.row + Math.floor(i / tile.columns)
      worst = { row, column: tile.column + (i % tile.columns), values: [x, y] }
    }
    sums.squares += squares
    sums.total += total
    sums.ours += own
  }
  const distance = sums.total === 0 ? sums.squares : sums.squares / sums.total
  const finite = Number.isFinite(distance)
  const tooFar = !finite || distance > limit.distance
  if (!tooFar && (outliers === 0 || !single)) return undefined
  return {
    name: ours.name,
    distance: finite ? distance : Infinity,
    limit: limit.distance,
    outliers,
    worst,
    zero: sums.ours === 0 && sums.total > 0,
  }
}

/** Half the step between f16's subnormals: below it a value may have become zero. */
const smallest = 2 ** -25

/** Values of a tensor in Hugging Face's layout, as far as there is room for them. */
export interface LoadedTensor {
  rows: number
  columns: number
  values: Float32Array
}

/** Elements that a hypothesis is tried on; what holds for so many holds for the tensor. */
const mostElements = 4 * 1024 * 1024

/** Reads the first rows of a tensor, whole heads of them; a square matrix only as a whole. */
export function loadTensor(tensor: Tensor, headDim: number): LoadedTensor {
  const [all, columns] = matrixOf(tensor.shape)
  const heads = Math.max(1, Math.floor(mostElements / columns / headDim))
  const rows = all * columns <= mostElements ? all : Math.min(all, heads * headDim)
  const values = new Float32Array(rows * columns)
  const pairs = openTilePairs(16 * 1024 * 1024)
  try {
    for (const { ours, tile } of pairs.tiles(tensor, tensor, 'f32')) {
      const part = floats(ours)
      for (let r = 0; r < tile.rows && tile.row + r < rows; r++) {
        const row = part.subarray(r * tile.columns, (r + 1) * tile.columns)
        values.set(row, (tile.row + r) * columns + tile.column)
      }
      if (tile.row + tile.rows >= rows && tile.column + tile.columns >= columns) break
    }
  } finally {
    pairs.close()
  }
  return { rows, columns, values }
}
