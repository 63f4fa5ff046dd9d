import { Packr } from 'msgpackr'
import { bytesOf, seeded } from './bytes.js'
import { bf16Bits, f16Bits } from './floats.js'
import { type Expected, easylmShape, type Model, tensorsOf } from './llama.js'

// EasyLM streams, written by msgpackr: independent of the program's own heads.

export type FloatName = 'float64' | 'float32' | 'float16' | 'bfloat16'

const packr = new Packr({ useRecords: false })

/** flax's extension 1, of [shape, dtype name, bytes]. */
export function ndarray(shape: readonly number[], dtype: string, data: Uint8Array): Uint8Array {
  const packed = packr.pack([[...shape], dtype, Buffer.from(data)])
  return Buffer.concat([extensionHead(packed.length), packed])
}

/** A record of a stream: the key, and a binary that holds `value`. */
export function record(key: string, value: Uint8Array): Uint8Array {
  return packr.pack([key.split('/'), Buffer.from(value)])
}

export function packed(value: unknown): Uint8Array {
  return packr.pack(value)
}

/** An array of a stream, and what a test wants otherwise about it. */
export interface NumpyArray {
  key: string
  dtype: string
  shape: readonly number[]
  data: Uint8Array
}

export function arrayRecord({ key, dtype, shape, data }: NumpyArray): Uint8Array {
  return record(key, ndarray(shape, dtype, data))
}

/** The arrays of a model of weights between −1 and 1, the same every time. */
export function arraysOf(model: Model, dtype: FloatName): NumpyArray[] {
  return tensorsOf(model).map((tensor) => ({
    key: tensor.easylm,
    dtype,
    shape: easylmShape(tensor),
    data: encode(weightsOf(tensor), dtype),
  }))
}

export function streamOf(arrays: readonly NumpyArray[]): Uint8Array {
  return Buffer.concat(arrays.map(arrayRecord))
}

/** Weights of a tensor in the order in which EasyLM stores them, f32 values, different for each name. */
export function weightsOf(tensor: Expected): Float32Array {
  let seed = tensor.shape.length
  for (const letter of tensor.easylm) seed = Math.imul(seed, 31) + letter.charCodeAt(0)
  const next = seeded(seed)
  const count = tensor.shape.reduce((product, size) => product * size, 1)
  return Float32Array.from({ length: count }, () => next() / 2 ** 31 - 1)
}

export function encode(values: ArrayLike<number>, dtype: FloatName): Uint8Array {
  if (dtype === 'float64') return bytesOf(Float64Array.from(values))
  if (dtype === 'float32') return bytesOf(Float32Array.from(values))
  const bits = dtype === 'float16' ? f16Bits : bf16Bits
  return bytesOf(Uint16Array.from(values, bits))
}

function extensionHead(length: number): Uint8Array {
  const fixed = [1, 2, 4, 8, 16].indexOf(length)
  if (fixed >= 0) return Uint8Array.of(0xd4 + fixed, 1)
  const head = Buffer.alloc(6)
  head[0] = 0xc9
  head.writeUInt32BE(length, 1)
  head[5] = 1
  if (length > 0xffff) return head
  return length > 0xff
    ? Uint8Array.of(0xc8, length >> 8, length & 0xff, 1)
    : Uint8Array.of(0xc7, length, 1)
}
