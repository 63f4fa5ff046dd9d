import { embeddingName, headName } from '../architectures/roles.js'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { Tile } from '../checkpoint/regions.js'
import { matrixOf, type Tensor, tensorBytes } from '../checkpoint/tensor.js'
import type { Target } from '../formats/format.js'
import type { CastSummary } from '../record/provenance.js'
import { dtypes, isScale } from '../types/dtype.js'
import { type Step, stepsBetween, widestElement } from './steps.js'

/** One tensor's way from the source to the target. */
export interface Move {
  source: Tensor
  target: Tensor
  steps: Step[]
  /** How much each column counts where the tensor is quantized. */
  importance?: Float32Array
}

/** The difference of two descriptions, and what it costs. */
export interface Plan {
  source: Checkpoint
  target: Target
  moves: Move[]
  /** Bytes of all files that are written. */
  bytes: number
}

/**
 * The difference of a checkpoint and a target: for each tensor the steps that
 * make the one's layout and dtype the other's.
 * @param importance of each column, by Hugging Face's names, for tensors that are quantized
 */
export function planConversion(
  source: Checkpoint,
  target: Target,
  importance?: ReadonlyMap<string, Float32Array>,
): Plan {
  const moves = [...target.tensors.values()].map((tensor) => {
    const from = source.tensors.get(tensor.name) ?? tiedHead(source, tensor)
    if (from === undefined) throw new Error(`nothing to make ${tensor.name} from`)
    const weights = importance?.get(tensor.name)
    return {
      source: from,
      target: tensor,
      steps: stepsBetween(from, tensor),
      ...(weights ? { importance: weights } : {}),
    }
  })
  const bytes = target.files.reduce((sum, file) => sum + file.size, 0)
  return { source, target, moves, bytes }
}

/** A format that always has an output head gets the embedding in its place. */
function tiedHead(source: Checkpoint, { name }: Tensor): Tensor | undefined {
  return name === headName && source.config.tie_word_embeddings
    ? source.tensors.get(embeddingName)
    : undefined
}

/**
 * Cuts a tensor into tiles whose buffers fit into `budget` bytes. A tile is as
 * long as possible in the direction in which the target's bytes lie, so that
 * writes are long; whole heads where rotary order changes.
 * @param region that is to be cut, of whole blocks and heads
 */
export function tilesOf(move: Move, budget: number, region = wholeOf(move)): Tile[] {
  const { rows, columns } = region
  const bytesPerElement = bufferBytes(move, 1)
  const rotary = move.steps.find((step) => step.kind === 'rotary')
  const isVector = move.target.shape.length === 1
  const granule = rotary && !isVector ? rotary.headDim : 1
  const room = Math.max(1, Math.floor(budget / bytesPerElement))
  // A block is taken whole or not at all.
  const block = Math.max(
    ...[move.source, move.target].map(({ dtype }) => dtypes[dtype].block),
    rotary && isVector ? rotary.headDim : 1,
  )
  const fittingColumns = Math.floor(room / (move.target.layout.transposed ? rows : granule))
  const tileColumns = clamp(Math.floor(fittingColumns / block) * block, block, columns)
  const fitting = Math.floor(room / tileColumns / granule) * granule
  const tileRows = clamp(fitting, granule, rows)
  const tiles: Tile[] = []
  for (let row = 0; row < rows; row += tileRows) {
    for (let column = 0; column < columns; column += tileColumns) {
      tiles.push({
        row: region.row + row,
        column: region.column + column,
        rows: Math.min(tileRows, rows - row),
        columns: Math.min(tileColumns, columns - column),
      })
    }
  }
  return tiles
}

function wholeOf({ target }: Move): Tile {
  const [rows, columns] = matrixOf(target.shape)
  return { row: 0, column: 0, rows, columns }
}

/** Bytes of the buffers that a tile of `elements` needs: two to work between, or one to copy. */
export function bufferBytes({ source, target, steps }: Move, elements: number): number {
  const widest = elements * widestElement(source.dtype, target.dtype, steps)
  return steps.length === 0 ? widest : 2 * widest
}

/** Bytes that the weights of a plan have before and after. */
export function weightBytes({ moves }: Plan): { read: number; written: number } {
  return {
    read: moves.reduce((sum, { source }) => sum + tensorBytes(source), 0),
    written: moves.reduce((sum, { target }) => sum + tensorBytes(target), 0),
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}

/** The casts of a plan, by their types. */
export function summarizeCasts({ moves }: Plan): CastSummary[] {
  const byTypes = new Map<string, CastSummary>()
  for (const { source, target } of moves) {
    // The levels that they are of are counted.
    if (isScale(target.dtype)) continue
    const [rows, columns] = matrixOf(target.shape)
    const key = `${source.dtype} ${target.dtype}`
    const sum = byTypes.get(key) ?? {
      from: source.dtype,
      to: target.dtype,
      tensors: 0,
      parameters: 0,
    }
    sum.tensors++
    sum.parameters += rows * columns
    byTypes.set(key, sum)
  }
  return [...byTypes.values()]
}
