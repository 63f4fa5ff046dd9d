import type { Tile } from '../checkpoint/regions.js'
import { transferTile } from '../checkpoint/regions.js'
import { type Extent, matrixOf, type Tensor, tensorBytes, wholePart } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import { isRemote } from '../io/store.js'
import { dtypes } from '../types/dtype.js'
import type { Move } from './plan.js'
import { tilesOf } from './plan.js'
import type { Files } from './tile.js'

/**
 * A rectangle of a source tensor that comes from elsewhere in one piece, and the
 * tiles that are made of it. Tiles lie as the target's bytes do, which in the source
 * may be every row's few bytes: fetched one by one, each would cost a request or the
 * whole tensor. A prefetch lies as the source's bytes do, and each byte is in one prefetch.
 */
export interface Prefetch {
  source: Tensor
  region: Tile
  bytes: number
  tiles: { move: number; tile: Tile }[]
}

/** A prefetch's bytes, for whoever makes tiles of them. */
export interface Prefetched {
  region: Tile
  bytes: SharedArrayBuffer
}

/**
 * Cuts all sources of moves into prefetches, in the order of the files' bytes: so a
 * file's content can be summed up as it passes.
 * @param budget bytes of a tile's buffers
 * @param most bytes of a prefetch, as far as blocks and heads can be parted
 */
export function prefetchesOf(moves: readonly Move[], budget: number, most: number): Prefetch[] {
  return bySource(moves).flatMap(({ source, users }) =>
    regionsOf(source, users.map(movedBy), most).map((region) => ({
      source,
      region,
      bytes: regionBytes(source, region),
      tiles: users.flatMap(({ move, index }) =>
        tilesOf(move, budget, region).map((tile) => ({ move: index, tile })),
      ),
    })),
  )
}

/** Bytes of the largest prefetch: whole heads and blocks may be more than `most`. */
export function largestPrefetch(moves: readonly Move[], most: number): number {
  return bySource(moves).reduce((largest, { source, users }) => {
    // The first is as large as any.
    const [region] = regionsOf(source, users.map(movedBy), most)
    return region ? Math.max(largest, regionBytes(source, region)) : largest
  }, 0)
}

interface User {
  move: Move
  index: number
}

/** Sources in the order of their bytes, with the moves that are made of each. */
function bySource(moves: readonly Move[]): { source: Tensor; users: User[] }[] {
  // Levels and scales are made of the same tensor, which must come once.
  const users = new Map<Tensor, User[]>()
  for (const [index, move] of moves.entries()) {
    users.set(move.source, [...(users.get(move.source) ?? []), { move, index }])
  }
  return [...users]
    .map(([source, users]) => ({ source, users, start: source.parts[0]?.extents[0] }))
    .sort((a, b) => compareExtents(a.start, b.start))
}

function compareExtents(a: Extent | undefined, b: Extent | undefined): number {
  if (a === undefined || b === undefined) return Number(b === undefined) - Number(a === undefined)
  return a.path === b.path ? a.offset - b.offset : a.path < b.path ? -1 : 1
}

function movedBy({ move }: User): Move {
  return move
}

function regionBytes(source: Tensor, { rows, columns }: Tile): number {
  return tensorBytes({ ...source, shape: [rows, columns] })
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
  const fitting = Math.floor((most * block) / (across * bytes) / granule) * granule
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

/** A run of bytes of a file, and where in the prefetch they go. */
export interface ByteRun extends Extent {
  position: number
}

/** The runs that a prefetch consists of, in the order of the files' bytes. */
export function runsOf({ source, region }: Pick<Prefetch, 'source' | 'region'>): ByteRun[] {
  const runs: ByteRun[] = []
  transferTile(source, region, (path, offset, position, length) => {
    runs.push({ path, offset, position, length })
  })
  runs.sort(compareExtents)
  const joined: ByteRun[] = []
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

/** A move whose source is a prefetch in memory, and the files with it among them. */
export function readingFrom(
  { region, bytes }: Prefetched,
  move: Move,
  files: Files,
): { move: Move; files: Files } {
  const memory = new Uint8Array(bytes)
  return {
    move: { ...move, source: inMemory(move.source, region, '') },
    files: {
      read: (_, offset, into) => into.set(memory.subarray(offset, offset + into.length)),
      write: files.write,
      reread: files.reread,
    },
  }
}

/** A tensor as far as it is in memory: the bytes of a region under the name `path`. */
export function inMemory(source: Tensor, region: Tile, path: string): Tensor {
  const stored = source.layout.transposed
    ? { row: region.column, column: region.row, rows: region.columns, columns: region.rows }
    : region
  const length = regionBytes(source, region)
  const part = wholePart([stored.rows, stored.columns], [{ path, offset: 0, length }])
  return { ...source, parts: [{ ...part, row: stored.row, column: stored.column }] }
}

/** Whether a tensor's bytes must come from elsewhere before they can be worked on. */
export function isElsewhere({ parts, scales, storedName }: Tensor): boolean {
  const remote = parts.some(({ extents }) => extents.some(({ path }) => isRemote(path)))
  if (remote && scales !== undefined) {
    throw inputError('its levels and scales lie apart, and are read on this machine only', {
      path: parts[0]?.extents[0]?.path,
      tensor: storedName,
      suggestions: ['Pull the repository, and convert the folder.'],
    })
  }
  return remote
}
