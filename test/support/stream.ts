import { addExtension, Packr, unpack } from 'msgpackr'
import { bytesOf, seeded } from './bytes.js'
import { bf16Bits, f16Bits } from './floats.js'
import { type Expected, easylmShape, type Model, tensorsOf } from './llama.js'

// EasyLM streams, written by msgpackr: independent of the program's own heads.

export type FloatName = 'float64' | 'float32' | 'float16' | 'bfloat16'

/** flax's extension 1, of [shape, dtype name, bytes]. */
export class Ndarray {
  readonly body: Buffer
  constructor(shape: readonly number[], dtype: string, data: Uint8Array) {
    this.body = packr.pack([[...shape], dtype, Buffer.from(data)])
  }
}

const packr = new Packr({ useRecords: false, variableMapSize: true })
addExtension({
  Class: Ndarray,
  type: 1,
  pack: ({ body }: Ndarray) => body,
  unpack: (body: Buffer) => unpack(body),
})

export function ndarray(shape: readonly number[], dtype: string, data: Uint8Array): Uint8Array {
  return packr.pack(new Ndarray(shape, dtype, data))
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

/** The same as flax's one-message file: a tree of maps. */
export function treeOf(
  arrays: readonly NumpyArray[],
  root: readonly string[] = ['params'],
): Uint8Array {
  const tree: Tree = {}
  for (const { key, dtype, shape, data } of arrays) {
    const path = [...root, ...key.split('/')]
    const leaf = path.pop() ?? ''
    let branch = tree
    for (const name of path) branch = grow(branch, name)
    branch[leaf] = new Ndarray(shape, dtype, data)
  }
  return packr.pack(tree)
}

interface Tree {
  [name: string]: Tree | Ndarray
}

function grow(tree: Tree, name: string): Tree {
  const there = tree[name]
  if (there !== undefined && !(there instanceof Ndarray)) return there
  const branch: Tree = {}
  tree[name] = branch
  return branch
}

export function streamOf(arrays: readonly NumpyArray[]): Uint8Array {
  return Buffer.concat(arrays.map(arrayRecord))
}

/** Weights of a tensor in the order in which EasyLM stores them, f32 values, different for each name. */
function weightsOf(tensor: Expected): Float32Array {
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
