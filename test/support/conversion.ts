import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import {
  type Conversion,
  type ConvertOptions,
  prepareConversion,
  type RunOptions,
} from '../../src/convert/convert.js'
import type { ExecuteOptions } from '../../src/convert/execute.js'
import { listFile } from '../../src/formats/hf/safetensors.js'
import { bytesOf, equalBytes, seeded } from './bytes.js'
import { configJson } from './listing.js'
import { easylmShape, hfValues, type Model, small, tensorsOf } from './llama.js'
import { bytesOfArray, decode, inMemory } from './sources.js'
import { arraysOf, encode, type FloatName, type NumpyArray, streamOf } from './stream.js'
import { tempDir } from './temp.js'

/** The source of a conversion and the directory that it and its output are in. */
export interface Made {
  folder: string
  source: string
  out: string
}

/** Writes a model's stream and configuration into a new directory. */
export function makeSource(
  model: Model = small,
  dtype: FloatName = 'float32',
  edit: (array: NumpyArray) => NumpyArray = (array) => array,
): Made {
  const folder = tempDir()
  mkdirSync(join(folder, 'in'))
  const source = join(folder, 'in', 'stream')
  writeFileSync(source, streamOf(arraysOf(model, dtype).map(edit)))
  writeFileSync(join(folder, 'in', 'config.json'), configJson(model))
  return { folder, source, out: join(folder, 'out') }
}

/** The same for a larger model, in bf16, of weights that take no time to make. */
export function makeLargeSource(model: Model): Made {
  const folder = tempDir()
  mkdirSync(join(folder, 'in'))
  const source = join(folder, 'in', 'stream')
  const next = seeded(23)
  // A prime number of values, so that no two rows are equal; all finite.
  const pattern = bytesOf(Uint16Array.from({ length: 65_521 }, () => (next() >>> 16) & 0xbfff))
  const arrays = tensorsOf(model).map((tensor) => {
    const bytes = 2 * tensor.shape.reduce((product, n) => product * n, 1)
    const data = Buffer.alloc(bytes, pattern)
    return { key: tensor.easylm, dtype: 'bfloat16', shape: easylmShape(tensor), data }
  })
  writeFileSync(source, streamOf(arrays))
  writeFileSync(join(folder, 'in', 'config.json'), configJson(model))
  return { folder, source, out: join(folder, 'out') }
}

/** Puts values in the place of an array's first ones, or of those from `at`. */
export function withValues(
  key: string,
  values: number[],
  at = 0,
): (array: NumpyArray) => NumpyArray {
  return (array) => {
    if (array.key !== key) return array
    const bytes = encode(values, array.dtype === 'float32' ? 'float32' : 'bfloat16')
    const data = Uint8Array.from(array.data)
    data.set(bytes, (at * bytes.length) / values.length)
    return { ...array, data }
  }
}

export const convertOptions: ConvertOptions = {
  to: 'safetensors',
  dtype: 'auto',
  // The model that most tests make up has heads that not all formats can say.
  allowLoss: true,
  maxMemory: 512e6,
  threads: 1,
}

export function prepare(
  { source, out }: Made,
  options: Partial<ConvertOptions> = {},
): Promise<Conversion> {
  return prepareConversion(source, { ...convertOptions, out, ...options })
}

export const runOptions: RunOptions = {
  resume: false,
  force: false,
  allowNonFinite: false,
  allowOverflow: false,
  sha256: true,
}

export const executeOptions: ExecuteOptions = {
  maxMemory: 512e6,
  threads: 1,
  resuming: false,
  allowNonFinite: false,
  allowOverflow: false,
  sha256: true,
}

/** What execute keeps for hashing; the rest of its memory is a tile's. */
export const hashBuffer = 128 * 1024

/** Every tensor of a safetensors file is what plain loops make of the model's weights. */
export async function holdsModel(
  path: string,
  model: Model,
  stored: (value: number) => number = (value) => value,
): Promise<void> {
  const file = readFileSync(path)
  const arrays = await listFile(inMemory(file).source)
  assert.is(arrays.length, tensorsOf(model).length)
  const sources = new Map(arraysOf(model, 'float32').map((array) => [array.key, array]))
  for (const tensor of tensorsOf(model)) {
    const array = arrays.find(({ name }) => name === tensor.hf)
    const source = sources.get(tensor.easylm)
    assert.ok(array && source, tensor.hf)
    const expected = hfValues(decode(source.data, 'f32'), tensor, model).map(stored)
    const actual = decode(bytesOfArray(array, file), array.dtype)
    equalBytes(new Uint8Array(actual.buffer), new Uint8Array(expected.buffer), tensor.hf)
  }
}
