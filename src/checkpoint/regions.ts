import { dtypes } from '../types/dtype.js'
import type { Extent, Part, Tensor } from './tensor.js'

/** A rectangle of the canonical matrix. */
export interface Tile {
  row: number
  column: number
  rows: number
  columns: number
}

/** Moves `length` bytes between a file at `offset` and the buffer at `position`. */
export type Transfer = (path: string, offset: number, position: number, length: number) => void

/**
 * Breaks the transfer of a tile into runs of bytes: the tile's rectangle, in
 * the orientation in which the tensor is stored, lies row after row in the
 * buffer; each part of the tensor holds a rectangle of the stored matrix.
 */
export function transferTile(tensor: Tensor, tile: Tile, transfer: Transfer): void {
  const region = tensor.layout.transposed
    ? { row: tile.column, column: tile.row, rows: tile.columns, columns: tile.rows }
    : tile
  for (const part of tensor.parts) transferPart(tensor, part, region, transfer)
}

function transferPart(tensor: Tensor, part: Part, region: Tile, transfer: Transfer): void {
  const row = Math.max(part.row, region.row)
  const rowEnd = Math.min(part.row + part.rows, region.row + region.rows)
  const column = Math.max(part.column, region.column)
  const columnEnd = Math.min(part.column + part.columns, region.column + region.columns)
  if (row >= rowEnd || column >= columnEnd) return
  const { block, bytes } = dtypes[tensor.dtype]
  const toBytes = (elements: number) => (elements / block) * bytes
  const width = columnEnd - column
  // Rows that are whole on both sides lie one behind the other: one run moves them all.
  const joined = width === part.pitch && width === region.columns
  const runs = joined ? 1 : rowEnd - row
  const length = toBytes(joined ? width * (rowEnd - row) : width)
  for (let run = 0; run < runs; run++) {
    const at = toBytes((row - part.row + run) * part.pitch + (column - part.column))
    const position = toBytes((row - region.row + run) * region.columns + (column - region.column))
    transferExtents(part.extents, at, position, length, transfer)
  }
}

/** A run within bytes that several extents make up. */
function transferExtents(
  extents: readonly Extent[],
  at: number,
  position: number,
  length: number,
  transfer: Transfer,
): void {
  let start = 0
  for (const extent of extents) {
    const from = Math.max(at, start)
    const to = Math.min(at + length, start + extent.length)
    if (from < to) {
      transfer(extent.path, extent.offset + from - start, position + from - at, to - from)
    }
    start += extent.length
    if (start >= at + length) return
  }
  throw new Error(`bytes ${at} to ${at + length} are beyond the ${start} that the extents hold`)
}
