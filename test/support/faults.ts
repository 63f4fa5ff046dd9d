import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type FixtureName, fixtureValues } from './fixtures.js'
import { fixtures, tensorsOf } from './llama.js'
import { fixture } from './paths.js'
import { tempDir } from './temp.js'
import { modelPath } from './tokenizers.js'

/** A model's values by Hugging Face's names, to be spoiled. */
export type Values = Map<string, Float32Array>

export interface Spoiled {
  change?(values: Values): void
  config?: Record<string, unknown>
  tokenizer?: FixtureName
  /** Tensors stored as bf16, rounded down; the others are f32. */
  bf16?: RegExp
}

/** A fixture as a folder of f32 safetensors, with a fault. */
export async function spoiled(name: FixtureName, { change, config, tokenizer, bf16 }: Spoiled) {
  const folder = join(tempDir(), 'spoiled')
  mkdirSync(folder)
  const values: Values = new Map()
  for (const [key, array] of await fixtureValues(name)) values.set(key, array.slice())
  change?.(values)
  const header: Record<string, object> = {}
  const parts: Uint8Array[] = []
  let offset = 0
  for (const { hf, shape } of tensorsOf(fixtures[name])) {
    const array = values.get(hf)
    if (array === undefined) throw new Error(hf)
    const half = bf16?.test(hf) ?? false
    const bytes = half ? highHalves(array) : new Uint8Array(array.buffer)
    const end = offset + bytes.byteLength
    header[hf] = { dtype: half ? 'BF16' : 'F32', shape, data_offsets: [offset, end] }
    parts.push(bytes)
    offset = end
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, json, ...parts]))
  const given = JSON.parse(readFileSync(fixture(name, 'config.json'), 'utf8'))
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...given, ...config }))
  copyFileSync(modelPath(tokenizer ?? name), join(folder, 'tokenizer.model'))
  return folder
}

/** The upper halves of f32's bits: bf16, exact where the values have no more. */
function highHalves(array: Float32Array): Uint8Array {
  const bits = new Uint32Array(array.buffer)
  return new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer)
}

/** Rows of each head from first halves, then second, to pair by pair; or the other way. */
export function reorder(array: Float32Array, rows: number, headDim: number, toPairs: boolean) {
  const columns = array.length / rows
  const result = new Float32Array(array.length)
  for (let row = 0; row < rows; row++) {
    const head = row - (row % headDim)
    const i = row % headDim
    const half = headDim / 2
    const from = toPairs ? (i % 2) * half + (i >> 1) : (i % half) * 2 + (i >= half ? 1 : 0)
    result.set(array.subarray((head + from) * columns, (head + from + 1) * columns), row * columns)
  }
  return result
}
