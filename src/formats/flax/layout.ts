import { pack } from 'msgpackr'
import { inputError } from '../../io/errors.js'
import { type DType, dtypes, recordOf } from '../../types/dtype.js'

/**
 * What an array consists of in a flax file: bytes that are known, and runs of
 * its own bytes, in the order in which they come.
 */
export type Segment = Uint8Array | { payload: number }

/** flax splits arrays that are larger, in bytes. */
const maxChunk = 2 ** 30

/** msgpack counts bytes in 32 bits. */
const maxBinary = 2 ** 32 - 1

/**
 * One record of an EasyLM stream: [key, binary of a flax array].
 * @param name as a path: transformer/wte/embedding
 * @throws input error for an array that no msgpack binary can hold
 */
export function layOutRecord(name: string, dtype: DType, shape: readonly number[]): Segment[] {
  const array = layOutArray(dtype, shape)
  const length = segmentBytes(array)
  if (length > maxBinary) {
    throw inputError(`it takes ${length} bytes, an EasyLM record holds ${maxBinary} at most`, {
      format: 'easylm',
      tensor: name,
      suggestions: ['Choose `dtype` bf16 or f16, or `to` flax.'],
    })
  }
  return [Uint8Array.of(0x92), pack(name.split('/')), binaryHead(length), ...array]
}

/** An array as flax.serialization writes it: whole, or over 1 GiB as a map of flat chunks. */
export function layOutArray(dtype: DType, shape: readonly number[]): Segment[] {
  const elements = shape.reduce((product, size) => product * size, 1)
  const { bytes } = dtypes[dtype]
  if (elements * bytes <= maxChunk) return layOutNdarray(dtype, shape, elements * bytes)
  const perChunk = Math.floor(maxChunk / bytes)
  const chunks: Segment[] = []
  let count = 0
  for (let start = 0; start < elements; start += perChunk) {
    const size = Math.min(perChunk, elements - start)
    chunks.push(pack(String(count++)), ...layOutNdarray(dtype, [size], size * bytes))
  }
  return [
    mapHead(3),
    pack('__msgpack_chunked_array__'),
    pack(true),
    pack('shape'),
    mapHead(shape.length),
    ...shape.flatMap((size, axis) => [pack(String(axis)), pack(size)]),
    pack('chunks'),
    mapHead(count),
    ...chunks,
  ]
}

function segmentBytes(segments: readonly Segment[]): number {
  return segments.reduce(
    (sum, segment) => sum + ('payload' in segment ? segment.payload : segment.length),
    0,
  )
}

/** The head of a map of so many pairs. */
export function mapHead(pairs: number): Uint8Array {
  return pairs < 16 ? Uint8Array.of(0x80 | pairs) : Uint8Array.of(0xde, pairs >> 8, pairs & 0xff)
}

/** Extension 1 of [shape, dtype name, binary]. */
function layOutNdarray(dtype: DType, shape: readonly number[], length: number): Segment[] {
  const fields = Buffer.concat([
    Uint8Array.of(0x93),
    pack([...shape]),
    pack(recordOf(dtype).numpy),
    binaryHead(length),
  ])
  return [extensionHead(fields.length + length, 1), fields, { payload: length }]
}

function binaryHead(length: number): Uint8Array {
  return withLength(length, [0xc4, 0xc5, 0xc6])
}

/** Sizes of 1, 2, 4, 8 and 16 bytes have heads of their own. */
function extensionHead(length: number, code: number): Uint8Array {
  const fixed = [1, 2, 4, 8, 16].indexOf(length)
  if (fixed >= 0) return Uint8Array.of(0xd4 + fixed, code)
  return Buffer.concat([withLength(length, [0xc7, 0xc8, 0xc9]), Uint8Array.of(code)])
}

/** A type byte and the length in as few bytes as hold it. */
function withLength(length: number, [one, two, four]: [number, number, number]): Uint8Array {
  if (length < 0x100) return Uint8Array.of(one, length)
  const head = Buffer.alloc(length < 0x10000 ? 3 : 5)
  if (length < 0x10000) {
    head[0] = two
    head.writeUInt16BE(length, 1)
  } else {
    head[0] = four
    head.writeUInt32BE(length, 1)
  }
  return head
}
