import { isDeepStrictEqual } from 'node:util'
import { embeddingName, headName } from '../architectures/roles.js'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { effectiveWindow, type ModelConfig } from '../checkpoint/config.js'
import type { Tile } from '../checkpoint/regions.js'
import { rotaryOf, sameRotary } from '../checkpoint/rotary.js'
import { type Tensor, tensorBytes } from '../checkpoint/tensor.js'
import { openTilePairs, type TilePair } from '../convert/tile-pairs.js'
import { OpenLlamaError } from '../io/errors.js'
import { giveWay } from '../io/interruption.js'
import { tokenizerDifferences } from '../tokenizer/vocabulary.js'
import { type DType, isFloat, isLevels } from '../types/dtype.js'

/** How a tensor of one checkpoint stands to that of the same name in another. */
export type TensorDifference = { name: string } & (
  | { status: 'equal'; dtypes: [DType, DType] }
  /** Equal once both are of type `cast`, which one of them had to be rounded to. */
  | { status: 'cast'; dtypes: [DType, DType]; cast: DType }
  | ({ status: 'different'; dtypes: [DType, DType] } & ValueDifference)
  | { status: 'shape'; shapes: [readonly number[], readonly number[]] }
  /** Only the second checkpoint has it. */
  | { status: 'missing' }
  /** Only the first checkpoint has it. */
  | { status: 'extra' }
)

interface ValueDifference {
  /** Values that differ, of so many. */
  count: number
  elements: number
  /** The largest difference; infinite where one side is not finite. */
  largest: Measured
  /** Row and column of the first in Hugging Face's layout, and both values. */
  first: { row: number; column: number; values: [Measured, Measured] }
}

/**
 * A number of a model's weights, which JSON has as null where it is not finite.
 * @nullable
 */
type Measured = number

export interface ConfigDifference {
  field: string
  values: [unknown, unknown]
  /** Whether the model computes something else for it. */
  computes: boolean
}

export interface Diff {
  /** Whether both are the same model, as far as their types can tell. */
  same: boolean
  tensors: TensorDifference[]
  config: ConfigDifference[]
  /** Where their tokenizers differ, in sentences. */
  tokenizer: string[]
  /** What could not be compared. */
  notes: string[]
}

export interface DiffOptions {
  /** Bytes of buffers at most. */
  maxMemory: number
  signal?: AbortSignal
  /** Bytes of the first checkpoint compared, of all. */
  onProgress?(done: number, total: number): void
}

/**
 * Compares two checkpoints tensor by tensor in Hugging Face's layout, whatever
 * formats they are in, in bounded memory.
 */
export async function diffCheckpoints(
  a: Checkpoint,
  b: Checkpoint,
  options: DiffOptions,
): Promise<Diff> {
  const comparer = openComparer(Math.floor(options.maxMemory / 2))
  const tensors: TensorDifference[] = []
  const names = [...new Set([...a.tensors.keys(), ...b.tensors.keys()])]
  const total = [...a.tensors.values()].reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  let done = 0
  try {
    for (const name of names) {
      await giveWay(options.signal)
      const ours = tensorOf(a, name)
      const theirs = tensorOf(b, name)
      if (ours === undefined) tensors.push({ name, status: 'missing' })
      else if (theirs === undefined) tensors.push({ name, status: 'extra' })
      else tensors.push({ name, ...(await comparer.compare(ours, theirs, options.signal)) })
      done += ours === undefined ? 0 : tensorBytes(ours)
      options.onProgress?.(Math.min(done, total), total)
    }
  } finally {
    comparer.close()
  }
  const config = configDifferences(a.config, b.config)
  const { tokenizer, notes } = await tokenizersOf(a, b)
  const same =
    tokenizer.length === 0 &&
    tensors.every(({ status }) => status === 'equal' || status === 'cast') &&
    !config.some(({ computes }) => computes)
  return { same, tensors, config, tokenizer, notes }
}

/** A tokenizer that cannot be read is no reason not to compare the weights. */
async function tokenizersOf(
  a: Checkpoint,
  b: Checkpoint,
): Promise<Pick<Diff, 'tokenizer' | 'notes'>> {
  try {
    return { tokenizer: await tokenizerDifferences(a, b), notes: [] }
  } catch (error) {
    if (!(error instanceof OpenLlamaError) || error.code !== 'input') throw error
    return { tokenizer: [], notes: [`the tokenizers are not compared: ${error.message}`] }
  }
}

/** A tied embedding serves as the output head that the other checkpoint spells out. */
export function tensorOf({ tensors, config }: Checkpoint, name: string): Tensor | undefined {
  const found = tensors.get(name)
  if (found !== undefined || name !== headName || !config.tie_word_embeddings) return found
  return tensors.get(embeddingName)
}

type Comparison =
  | { status: 'equal'; dtypes: [DType, DType] }
  | { status: 'cast'; dtypes: [DType, DType]; cast: DType }
  | ({ status: 'different'; dtypes: [DType, DType] } & ValueDifference)
  | { status: 'shape'; shapes: [readonly number[], readonly number[]] }

function openComparer(budget: number): {
  compare(a: Tensor, b: Tensor, signal?: AbortSignal): Promise<Comparison>
  close(): void
} {
  const { tiles, pieces, close } = openTilePairs(budget)
  return {
    async compare(a, b, signal) {
      if (String(a.shape) !== String(b.shape)) {
        return { status: 'shape', shapes: [a.shape, b.shape] }
      }
      const pair: [DType, DType] = [a.dtype, b.dtype]
      const { exact, rounding } = comparableTypes(...pair)
      const difference = startDifference()
      let equal = true
      let casts = rounding
      for await (const piece of pieces(a, b, signal)) {
        const equalIn = (dtype: DType) =>
          areEqual(tiles(piece.a, piece.b, dtype, piece.region), signal)
        if (await equalIn(exact)) {
          const { rows, columns } = piece.region ?? { rows: 0, columns: 0 }
          difference.elements += rows * columns
          continue
        }
        equal = false
        const explaining: DType[] = []
        for (const cast of casts) if (await equalIn(cast)) explaining.push(cast)
        casts = explaining
        // Where it is the only piece, a cast that explains all of it ends the matter.
        if (piece.region === undefined && casts.length > 0) continue
        for (const { ours, theirs, tile } of tiles(piece.a, piece.b, 'f32', piece.region)) {
          await giveWay(signal)
          countDifferences(difference, floats(ours), floats(theirs), tile)
        }
      }
      if (equal) return { status: 'equal', dtypes: pair }
      const [cast] = casts
      if (cast !== undefined) return { status: 'cast', dtypes: pair, cast }
      const { first, ...rest } = difference
      // Equal as numbers and not as bits: zeros of other sign, NaN of other payload, or below f32.
      if (first === undefined) return { status: 'cast', dtypes: pair, cast: 'f32' }
      return { status: 'different', dtypes: pair, ...rest, first }
    },
    close,
  }
}

/** Whether both sides of all tiles have the same bytes. */
export async function areEqual(
  tiles: Iterable<TilePair>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  for (const { ours, theirs } of tiles) {
    await giveWay(signal)
    if (Buffer.compare(ours, theirs) !== 0) return false
  }
  return true
}

/**
 * The types to compare two tensors in: one that holds the values of both (or
 * comes nearest), and those that one side may have been rounded to.
 */
function comparableTypes(a: DType, b: DType): { exact: DType; rounding: DType[] } {
  if (a === b && !isLevels(a)) return { exact: a, rounding: [] }
  const narrower = [a, b].filter((dtype) => dtype === 'f16' || dtype === 'bf16')
  return { exact: 'f32', rounding: isFloat(a) && isFloat(b) ? narrower : [] }
}

type OpenDifference = Omit<ValueDifference, 'first'> & {
  first: ValueDifference['first'] | undefined
}

function startDifference(): OpenDifference {
  return { count: 0, elements: 0, largest: 0, first: undefined }
}

function countDifferences(
  sum: OpenDifference,
  ours: Float32Array,
  theirs: Float32Array,
  tile: Tile,
): void {
  sum.elements += ours.length
  for (let i = 0; i < ours.length; i++) {
    const x = ours[i] ?? 0
    const y = theirs[i] ?? 0
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) continue
    sum.count++
    const distance = Math.abs(x - y)
    sum.largest = Math.max(sum.largest, Number.isNaN(distance) ? Infinity : distance)
    const row = tile.row + Math.floor(i / tile.columns)
    const column = tile.column + (i % tile.columns)
    const before = sum.first
    if (!before || row < before.row || (row === before.row && column < before.column)) {
      sum.first = { row, column, values: [x, y] }
    }
  }
}

/** Bytes of f32 as numbers. */
export function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
}

/** Fields that only describe how a model is used, or that the shapes settle. */
const uses = new Set<keyof ModelConfig>([
  'model_type',
  'max_position_embeddings',
  'bos_token_id',
  'eos_token_id',
  'pad_token_id',
  'initializer_range',
  'tie_word_embeddings',
])

/** Fields in which two configurations differ, and whether the model computes otherwise for it. */
export function configDifferences(a: ModelConfig, b: ModelConfig): ConfigDifference[] {
  const differences: ConfigDifference[] = []
  let field: keyof ModelConfig
  for (field in a) {
    if (field === 'other' || isDeepStrictEqual(canonical(a[field]), canonical(b[field]))) continue
    if (field === 'rope_scaling' && turnAlike(a, b)) continue
    if (field === 'sliding_window' && effectiveWindow(a) === effectiveWindow(b)) continue
    differences.push({ field, values: [a[field], b[field]], computes: !uses.has(field) })
  }
  return differences
}

/** Whether two scalings come to the same, said in other words or with others of what is scaled alike. */
function turnAlike(a: ModelConfig, b: ModelConfig): boolean {
  try {
    return sameRotary(rotaryOf(a, ''), rotaryOf({ ...b, rope_theta: a.rope_theta }, ''))
  } catch (error) {
    // One that is not known, or not whole, is like none.
    if (error instanceof OpenLlamaError) return false
    throw error
  }
}

/**
 * A field's value as formats agree on it: numbers as f32, which some files keep them as, and a
 * scaling's type by its newer name. The order of fields says nothing.
 */
function canonical(value: unknown): unknown {
  if (typeof value === 'number') return Math.fround(value)
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  const fields = Object.entries(value).map(([key, each]) => [key, canonical(each)] as const)
  const { type, ...others } = Object.fromEntries(fields)
  return type === undefined ? others : { rope_type: type, ...others }
}
