import { crc32 } from 'node:zlib'
import type { Tile } from '../checkpoint/regions.js'
import { transferTile } from '../checkpoint/regions.js'
import { alignment, type Cast, type Kernels } from '../kernels/kernels.js'
import {
  type BlockType,
  byteLength,
  type DType,
  dtypes,
  isBlock,
  isFloat,
  recordOf,
} from '../types/dtype.js'
import { countOverflowedBlocks, largestInBlocks } from './blocks.js'
import { bufferBytes, type Move } from './plan.js'
import type { Step } from './steps.js'

/** What was seen in the values of a tile. */
export interface TileFacts {
  /** NaN in the source. */
  nan: number
  /** Infinities in the source. */
  infinite: number
  /** Finite values that became infinite. */
  overflowed: number
  /** Values that became zero because the target's type holds none so small. */
  vanished: number
}

type NonFinite = Pick<TileFacts, 'nan' | 'infinite'>

/** Positional reads and writes; each fails unless it moves all bytes. */
export interface Files {
  read(path: string, offset: number, into: Uint8Array): void
  write(path: string, offset: number, from: Uint8Array): void
  /** Reads what was written. */
  reread(path: string, offset: number, into: Uint8Array): void
}

/** A tile that is written. */
export interface MadeTile {
  facts: TileFacts
  /** Of its bytes, in the order in which they were written. */
  crc32: number
}

/** Reads a tile, carries out its steps in the kernels' memory, and writes it. */
export function runTile(kernels: Kernels, files: Files, move: Move, tile: Tile): MadeTile {
  const { output, facts } = loadTile(kernels, files, move, tile)
  let sum = 0
  transferTile(move.target, tile, (path, offset, position, length) => {
    const bytes = output.subarray(position, position + length)
    files.write(path, offset, bytes)
    sum = crc32(bytes, sum)
  })
  return { facts, crc32: sum }
}

/**
 * The CRC-32 that a tile's bytes have as they lie in the output.
 * @param buffer to read them through
 */
export function sumTile(
  files: Pick<Files, 'reread'>,
  move: Move,
  tile: Tile,
  buffer: Uint8Array,
): number {
  let sum = 0
  transferTile(move.target, tile, (path, offset, _, length) => {
    for (let done = 0; done < length; ) {
      const piece = buffer.subarray(0, Math.min(buffer.length, length - done))
      files.reread(path, offset + done, piece)
      sum = crc32(piece, sum)
      done += piece.length
    }
  })
  return sum
}

/**
 * Reads a tile and carries out its steps.
 * @returns its bytes as the target has them, in the kernels' memory until the next tile
 */
export function loadTile(
  kernels: Kernels,
  files: Pick<Files, 'read'>,
  move: Move,
  tile: Tile,
): { output: Uint8Array; facts: TileFacts } {
  const elements = tile.rows * tile.columns
  const half = Math.ceil(bufferBytes(move, elements) / (move.steps.length === 0 ? 1 : 2))
  let from = kernels.base
  let to = kernels.base + aligned(half)
  // Only what tiles need: the memory of small models is small.
  kernels.reserve(to - kernels.base + half + alignment + 4 * (move.importance ? tile.columns : 0))
  const weights = placeImportance(kernels, move, tile, to + half)

  const input = kernels.bytes(from, byteLength(move.source.dtype, elements))
  transferTile(move.source, tile, (path, offset, position, length) =>
    files.read(path, offset, input.subarray(position, position + length)),
  )
  const { scales } = move.source
  const behindLevels = from + aligned(input.length)
  if (scales !== undefined) {
    const bytes = kernels.bytes(behindLevels, byteLength(scales.dtype, elements))
    transferTile({ ...move.source, ...scales }, tile, (path, offset, position, length) =>
      files.read(path, offset, bytes.subarray(position, position + length)),
    )
  }
  let dtype = move.source.dtype
  let transposed = move.source.layout.transposed
  let vanished = 0
  let source: NonFinite | undefined
  let overflowed: number | undefined
  for (const step of move.steps) {
    if (step.kind === 'swap') {
      swapOf(kernels, dtype)(from, elements)
      continue
    }
    // Values can be looked at once they are numbers in this machine's byte order.
    const isNumbers = step.kind !== 'dequantize' && step.kind !== 'decode'
    if (isNumbers) source ??= countNonFinite(kernels, from, elements, dtype)
    if (step.kind === 'add') {
      add(kernels.bytes(from, 4 * elements), step.value)
      continue
    }
    if (step.kind === 'decode')
      kernels[dtypes[step.scales].decode](from, behindLevels, to, elements)
    else vanished += runStep(kernels, step, { from, to, weights }, tile, dtype, transposed)
    if (step.kind === 'cast' || step.kind === 'quantize') dtype = step.to
    if (step.kind === 'dequantize' || step.kind === 'decode') dtype = 'f32'
    if (step.kind === 'transpose') transposed = !transposed
    if (step.kind === 'quantize' && isBlock(step.to)) {
      overflowed = overflowedBlocks(kernels, { from, to }, elements, step.to)
    }
    const next = from
    from = to
    to = next
  }
  source ??= countNonFinite(kernels, from, elements, dtype)
  const output = kernels.bytes(from, byteLength(dtype, elements))
  return {
    output,
    facts: {
      ...source,
      overflowed: overflowed ?? overflowedIn(kernels, from, elements, move, source),
      vanished,
    },
  }
}

function aligned(length: number): number {
  return Math.ceil(length / alignment) * alignment
}

/** Blocks at `to`, made from the f32 at `from`, whose values were too large for them. */
function overflowedBlocks(
  kernels: Kernels,
  { from, to }: { from: number; to: number },
  elements: number,
  dtype: BlockType,
): number {
  const blocks = kernels.bytes(to, byteLength(dtype, elements))
  // One more look at the values takes 2 % of what these types take, and of simple ones a third.
  const mayLose = recordOf(dtype).loses === true
  if (!mayLose || kernels.countAbove32(from, elements, limitBits) === 0) {
    return countOverflowedBlocks(blocks, dtype)
  }
  const { buffer, byteOffset } = kernels.bytes(from, 4 * elements)
  return countOverflowedBlocks(blocks, dtype, new Float32Array(buffer, byteOffset, elements))
}

const limitBits = new DataView(Float32Array.of(largestInBlocks).buffer).getUint32(0, true)

/** Finite values that are not so any more; of scales that are stored apart, those that are not. */
function overflowedIn(
  kernels: Kernels,
  address: number,
  elements: number,
  { steps, target }: Move,
  source: NonFinite,
): number {
  if (steps.some(({ kind }) => kind === 'quantize')) {
    if (target.dtype === 'q4_scales_f16') {
      const blocks = elements / dtypes.q4_scales_f16.block
      return kernels.countNonFinite16(address, blocks, dtypes.f16.exponent)
    }
    return 0
  }
  if (!steps.some(({ kind }) => kind === 'cast')) return 0
  const after = countNonFinite(kernels, address, elements, target.dtype)
  return after.nan + after.infinite - source.nan - source.infinite
}

/** @returns the address of the tile's columns' importance, or 0 where there is none */
function placeImportance(
  kernels: Kernels,
  { importance }: Move,
  tile: Tile,
  behind: number,
): number {
  if (importance === undefined) return 0
  const address = Math.ceil(behind / alignment) * alignment
  const columns = importance.subarray(tile.column, tile.column + tile.columns)
  const bytes = new Uint8Array(columns.buffer, columns.byteOffset, columns.byteLength)
  kernels.bytes(address, bytes.length).set(bytes)
  return address
}

/** @returns how many values became zero */
function runStep(
  kernels: Kernels,
  step: Exclude<Step, { kind: 'swap' | 'add' | 'decode' }>,
  { from, to, weights }: { from: number; to: number; weights: number },
  tile: Tile,
  dtype: DType,
  transposed: boolean,
): number {
  switch (step.kind) {
    case 'dequantize':
      kernels[dtypes[step.from].dequantize](from, to, tile.rows * tile.columns)
      return 0
    case 'quantize':
      kernels[dtypes[step.to].quantize](from, to, tile.rows, tile.columns, weights)
      return 0
    case 'cast':
      return castOf(kernels, step.from, step.to)(from, to, tile.rows * tile.columns) ?? 0
    case 'transpose': {
      if (!isFloat(dtype)) throw new Error(`no transposition for ${dtype}`)
      const transpose = {
        2: kernels.transpose16,
        4: kernels.transpose32,
        8: kernels.transpose64,
      }[dtypes[dtype].bytes]
      if (transposed) transpose(from, to, tile.columns, tile.rows)
      else transpose(from, to, tile.rows, tile.columns)
      return 0
    }
    case 'rotary': {
      const permute = step.to === 'half' ? kernels.rotaryToHalf : kernels.rotaryToInterleaved
      // What turns the rows of a matrix turns the elements of its bias, a row by itself.
      if (tile.rows === 1) permute(from, to, tile.columns, step.headDim, byteLength(dtype, 1))
      else permute(from, to, tile.rows, step.headDim, byteLength(dtype, tile.columns))
      return 0
    }
  }
}

/** To vectors alone, which are small: plain code will do. */
function add({ buffer, byteOffset, length }: Uint8Array, value: number): void {
  const values = new Float32Array(buffer, byteOffset, length / 4)
  for (let i = 0; i < values.length; i++) values[i] = (values[i] ?? 0) + value
}

/** Swaps in place: nothing else may be done to values before. */
function swapOf(kernels: Kernels, dtype: DType): (address: number, n: number) => void {
  if (!isFloat(dtype)) throw new Error(`no byte order for ${dtype}`)
  return { 2: kernels.swap16, 4: kernels.swap32, 8: kernels.swap64 }[dtypes[dtype].bytes]
}

function castOf(kernels: Kernels, from: DType, to: DType): Cast {
  const casts: Record<string, Cast> = {
    'f32 f16': kernels.castF32ToF16,
    'f32 bf16': kernels.castF32ToBf16,
    'f16 f32': kernels.castF16ToF32,
    'f16 bf16': kernels.castF16ToBf16,
    'bf16 f32': kernels.castBf16ToF32,
    'bf16 f16': kernels.castBf16ToF16,
    'f64 f32': kernels.castF64ToF32,
    'f64 f16': kernels.castF64ToF16,
    'f64 bf16': kernels.castF64ToBf16,
  }
  const cast = casts[`${from} ${to}`]
  if (cast === undefined) throw new Error(`no cast from ${from} to ${to}`)
  return cast
}

function countNonFinite(kernels: Kernels, address: number, n: number, dtype: DType): NonFinite {
  // Block types are only copied: what is in them was looked at when they were made.
  if (!isFloat(dtype)) return { nan: 0, infinite: 0 }
  if (dtype === 'f64') return countNonFinite64(kernels.bytes(address, n * 8))
  const { exponent } = dtypes[dtype]
  const all =
    dtype === 'f32'
      ? kernels.countNonFinite32(address, n, exponent)
      : kernels.countNonFinite16(address, n, exponent)
  if (all === 0) return { nan: 0, infinite: 0 }
  const infinite =
    dtype === 'f32'
      ? kernels.countInfinite32(address, n, exponent)
      : kernels.countInfinite16(address, n, exponent)
  return { nan: all - infinite, infinite }
}

/** f64 is rare in checkpoints: plain code will do. */
function countNonFinite64(bytes: Uint8Array): NonFinite {
  const values = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.length / 8)
  let nan = 0
  let infinite = 0
  for (const value of values) {
    if (Number.isNaN(value)) nan++
    else if (!Number.isFinite(value)) infinite++
  }
  return { nan, infinite }
}
