import { dtypes } from '../checkpoint/dtype.js'
import { type Extent, matrixOf, type Tensor, tensorBytes, wholePart } from '../checkpoint/tensor.js'
import { isRemote } from '../io/store.js'
import type { Move, Tile } from './plan.js'
import { tilesOf } from './plan.js'
import { transferTile } from './regions.js'
import type { Files } from './tile.js'

/**
 * A rectangle of a source tensor that comes from elsewhere in one piece, and the
 * tiles that are made of it. Tiles lie as the target's bytes do, which in the source
 * may be every row's few bytes: fetched one by one, each would cost a request or the
 * whole tensor. A band lies as the source's bytes do, and each byte is in one band.
 */
export interface Band {
  source: Tensor
  region: Tile
  bytes: number
  tiles: { move: number; tile: Tile }[]
}

/** A band's bytes, for whoever makes tiles of them. */
export interface BandBytes {
  region: Tile
  bytes: SharedArrayBuffer
}

/** Bands that rows can be cut into anywhere need not be larger: work begins with the first. */
const longBand = 32 * 1024 * 1024

/**
 * Cuts all sources of moves into bands.
 * @param budget bytes of a tile's buffers
 * @param most bytes of a band, as far as blocks and heads can be parted
 */
export function bandsOf(moves: readonly Move[], budget: number, most: number): Band[] {
  // Levels and scales are made of the same tensor, which must come once.
  const bySource = new Map<Tensor, number[]>()
  for (const [i, { source }] of moves.entries()) {
    bySource.set(source, [...(bySource.get(source) ?? []), i])
  }
  return [...bySource].flatMap(([source, users]) =>
    regionsOf(source, users.map((i) => moves[i]).filter(isMove), most).map((region) => ({
      source,
      region,
      bytes: tensorBytes({ ...source, shape: [region.rows, region.columns] }),
      tiles: users.flatMap((i) => {
        const move = moves[i]
        return move ? tilesOf(move, budget, region).map((tile) => ({ move: i, tile })) : []
      }),
    })),
  )
}

function isMove(move: Move | undefined): move is Move {
  return move !== undefined
}

/**
 * Cuts a tensor along the order of its bytes.
 * @param moves that are made of it: whole heads and blocks of theirs stay together
 */
export function regionsOf(source: Tensor, moves: readonly Move[], most: number): Tile[] {
  const [rows, columns] = matrixOf(source.shape)
  const { transposed } = source.layout
  const { block, bytes } = dtypes[source.dtype]
  const heads = moves.flatMap(({ steps }) =>
    steps.flatMap((step) => (step.kind === 'rotary' ? [step.headDim] : [])),
  )
  const blocks = moves.flatMap((move) => [
    dtypes[move.source.dtype].block,
    dtypes[move.target.dtype].block,
  ])
  const granule = transposed ? Math.max(block, ...blocks) : Math.max(1, ...heads)
  const across = transposed ? rows : columns
  const along = transposed ? columns : rows
  const room = transposed ? most : Math.min(most, longBand)
  const fitting = Math.floor((room * block) / (across * bytes) / granule) * granule
  const length = Math.min(along, Math.max(granule, fitting))
  const regions: Tile[] = []
  for (let at = 0; at < along; at += length) {
    const part = Math.min(length, along - at)
    regions.push(
      transposed
        ? { row: 0, column: at, rows, columns: part }
        : { row: at, column: 0, rows: part, columns },
    )
  }
  return regions
}

/** A run of bytes of a file, and where in the band they go. */
export interface Run extends Extent {
  position: number
}

/** The runs that a band consists of, in the order of the files' bytes. */
export function runsOf({ source, region }: Pick<Band, 'source' | 'region'>): Run[] {
  const runs: Run[] = []
  transferTile(source, region, (path, offset, position, length) => {
    runs.push({ path, offset, position, length })
  })
  runs.sort((a, b) => (a.path === b.path ? a.offset - b.offset : a.path < b.path ? -1 : 1))
  const joined: Run[] = []
  for (const run of runs) {
    const last = joined.at(-1)
    const follows =
      last?.path === run.path &&
      last.offset + last.length === run.offset &&
      last.position + last.length === run.position
    if (last && follows) last.length += run.length
    else joined.push({ ...run })
  }
  return joined
}

/** A move whose source is a band in memory, and the files with it among them. */
export function readingFrom(
  { region, bytes }: BandBytes,
  move: Move,
  files: Files,
): { move: Move; files: Files } {
  const memory = new Uint8Array(bytes)
  return {
    move: { ...move, source: inMemory(move.source, region, '') },
    files: {
      read: (_, offset, into) => into.set(memory.subarray(offset, offset + into.length)),
      write: files.write,
    },
  }
}

/** A tensor as far as it is in memory: the bytes of a region under the name `path`. */
export function inMemory(source: Tensor, region: Tile, path: string): Tensor {
  const stored = source.layout.transposed
    ? { row: region.column, column: region.row, rows: region.columns, columns: region.rows }
    : region
  const length = tensorBytes({ ...source, shape: [region.rows, region.columns] })
  const part = wholePart([stored.rows, stored.columns], [{ path, offset: 0, length }])
  return { ...source, parts: [{ ...part, row: stored.row, column: stored.column }] }
}

/** Whether a tensor's bytes must come from elsewhere before they can be worked on. */
export function isElsewhere({ parts }: Tensor): boolean {
  return parts.some(({ extents }) => extents.some(({ path }) => isRemote(path)))
}
