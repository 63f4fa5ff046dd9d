import type { Tile } from '../checkpoint/regions.js'
import { type Tensor, tensorBytes } from '../checkpoint/tensor.js'
import { alignment, loadKernels } from '../kernels/kernels.js'
import type { DType } from '../types/dtype.js'
import { openFiles } from './files.js'
import { type Move, tilesOf } from './plan.js'
import { inMemory, isElsewhere, regionsOf } from './prefetch.js'
import { fetchRegion } from './prefetcher.js'
import { stepsBetween } from './steps.js'
import { type Files, loadTile } from './tile.js'

/** Bytes of one side's buffers at most: larger ones save nothing. */
const maxSide = 48 * 1024 * 1024

/** Two tensors side by side, tile by tile, in Hugging Face's layout. */
export interface TilePairs {
  /** Both sides of each tile in `dtype`; their bytes are there until the next. */
  tiles(a: Tensor, b: Tensor, dtype: DType, region?: Tile): Generator<TilePair>
  /**
   * Two tensors piece by piece, as far as their bytes are not on this machine: what
   * is yielded can be read until the next.
   */
  pieces(a: Tensor, b: Tensor, signal?: AbortSignal): AsyncGenerator<Piece>
  close(): void
}

export interface TilePair {
  ours: Uint8Array
  theirs: Uint8Array
  tile: Tile
}

/** A region of two tensors whose bytes are at hand; all of them where no region is named. */
interface Piece {
  a: Tensor
  b: Tensor
  region?: Tile
}

/** @param budget bytes of one side's buffers at most */
export function openTilePairs(budget: number): TilePairs {
  const room = Math.min(maxSide, budget) - 3 * alignment
  const sides = [loadKernels(), loadKernels()] as const
  const local = openFiles('')
  const held = new Map<string, Uint8Array>()
  const files: Pick<Files, 'read'> = {
    read(path, offset, into) {
      const bytes = held.get(path)
      if (bytes === undefined) local.read(path, offset, into)
      else into.set(bytes.subarray(offset, offset + into.length))
    },
  }
  /** A tensor as it can be read: where it is elsewhere, the bytes of a region of it. */
  const bring = async (source: Tensor, region: Tile, name: string, signal?: AbortSignal) => {
    if (!isElsewhere(source)) return source
    const bytes = new Uint8Array(tensorBytes({ ...source, shape: [region.rows, region.columns] }))
    await fetchRegion({ source, region }, bytes, signal)
    held.set(name, bytes)
    return inMemory(source, region, name)
  }
  return {
    *tiles(a, b, dtype, region) {
      const ours = canonicalMove(a, dtype)
      const theirs = canonicalMove(b, dtype)
      const [first, second] = [tilesOf(ours, room, region), tilesOf(theirs, room, region)]
      for (const tile of first.length >= second.length ? first : second) {
        yield {
          ours: loadTile(sides[0], files, ours, tile).output,
          theirs: loadTile(sides[1], files, theirs, tile).output,
          tile,
        }
      }
    },
    async *pieces(a, b, signal) {
      const cut = [a, b].find(isElsewhere)
      if (cut === undefined) {
        yield { a, b }
        return
      }
      const moves = [canonicalMove(a, 'f32'), canonicalMove(b, 'f32')]
      for (const region of regionsOf(cut, moves, Math.max(budget, room))) {
        yield {
          a: await bring(a, region, 'a', signal),
          b: await bring(b, region, 'b', signal),
          region,
        }
      }
    },
    close: () => local.close(),
  }
}

/** The way to Hugging Face's layout in `dtype`, for reading values alone. */
function canonicalMove(source: Tensor, dtype: DType): Move {
  const { rotary } = source.layout
  const target: Tensor = {
    ...source,
    dtype,
    layout: {
      transposed: false,
      ...(rotary ? { rotary: { order: 'half', headDim: rotary.headDim } } : {}),
    },
    parts: [],
  }
  return { source, target, steps: stepsBetween(source, target) }
}
