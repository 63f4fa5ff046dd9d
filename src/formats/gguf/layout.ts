import type { MetadataEntry } from '../../checkpoint/metadata.js'
import type { DType } from '../../types/dtype.js'
import { magic } from './header.js'
import { tensorTypeNumber } from './type.js'
import { encodeValue, textBytes } from './value.js'

/** A tensor that is to be written. */
export interface PlannedTensor {
  name: string
  dtype: DType
  /** Row-major. */
  shape: readonly number[]
  bytes: number
}

/** A file that is to be written: its header with the padding, and where each tensor begins. */
export interface GgufLayout {
  header: Uint8Array
  begins: number[]
  size: number
}

const version = 3

/** Lays out a file: version 3, little-endian, every tensor at a multiple of `alignment`. */
export function layOutGguf(
  entries: readonly MetadataEntry[],
  tensors: readonly PlannedTensor[],
  alignment: number,
): GgufLayout {
  const aligned = (position: number) => Math.ceil(position / alignment) * alignment
  const offsets: number[] = []
  let bytes = 0
  for (const tensor of tensors) {
    offsets.push(bytes)
    bytes += aligned(tensor.bytes)
  }
  const header = joinBytes(
    [
      headBytes(version, tensors.length, entries.length),
      ...entries.flatMap(entryBytes),
      ...tensors.flatMap((tensor, i) => infoBytes(tensor, offsets[i] ?? 0)),
    ],
    alignment,
  )
  return {
    header,
    begins: offsets.map((offset) => header.length + offset),
    size: header.length + bytes,
  }
}

/** What a file begins with, before its entries. */
export function headBytes(version: number, tensors: number, entries: number): Uint8Array {
  const head = new Uint8Array(24)
  const view = new DataView(head.buffer)
  head.set(magic)
  view.setUint32(4, version, true)
  view.setBigUint64(8, BigInt(tensors), true)
  view.setBigUint64(16, BigInt(entries), true)
  return head
}

export function entryBytes(entry: MetadataEntry): Uint8Array[] {
  return [textBytes(entry.key), ...encodeValue(entry, entry.key)]
}

function infoBytes({ name, dtype, shape }: PlannedTensor, offset: number): Uint8Array[] {
  const bytes = new Uint8Array(4 + 8 * shape.length + 12)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, shape.length, true)
  shape.toReversed().forEach((size, axis) => {
    view.setBigUint64(4 + 8 * axis, BigInt(size), true)
  })
  view.setUint32(4 + 8 * shape.length, tensorTypeNumber(dtype), true)
  view.setBigUint64(8 + 8 * shape.length, BigInt(offset), true)
  return [textBytes(name), bytes]
}

/** Pieces behind one another, and zeros up to a multiple of `alignment`. */
export function joinBytes(pieces: readonly Uint8Array[], alignment: number): Uint8Array {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const joined = new Uint8Array(Math.ceil(length / alignment) * alignment)
  let position = 0
  for (const piece of pieces) {
    joined.set(piece, position)
    position += piece.length
  }
  return joined
}
