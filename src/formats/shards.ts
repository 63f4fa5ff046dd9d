import { dirname } from 'node:path'
import type { StoredArray } from '../checkpoint/checkpoint.js'
import { list } from '../checkpoint/geometry.js'
import { type Tensor, tensorBytes } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import { isJsonObject, parseJsonObject } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { join } from '../io/store.js'
import type { TargetFile } from './format.js'
import { jsonFile } from './hf-folder.js'

/** Bytes of weights in one file, as transformers and the Hub's guides have it. */
export const defaultShard = 5e9

/** An index of 10,000 tensors has some 1 MB. */
const maxIndex = 64 * 1024 * 1024

/**
 * Splits tensors, in order, into shards of at most `most` bytes. A tensor that
 * is larger than that has a shard of its own; no shard is empty.
 */
export function splitShards<T>(
  tensors: readonly T[],
  bytesOf: (tensor: T) => number,
  most: number,
): T[][] {
  const shards: T[][] = [[]]
  let bytes = 0
  for (const tensor of tensors) {
    const length = bytesOf(tensor)
    if (bytes > 0 && bytes + length > most) {
      shards.push([])
      bytes = 0
    }
    shards.at(-1)?.push(tensor)
    bytes += length
  }
  return shards
}

/** transformers' names: model.safetensors, or model-00001-of-00005.safetensors. */
export function shardName(stem: string, extension: string, index: number, count: number): string {
  if (count === 1) return `${stem}.${extension}`
  const digits = (n: number) => String(n).padStart(5, '0')
  return `${stem}-${digits(index + 1)}-of-${digits(count)}.${extension}`
}

/** The index that says which tensor is in which shard. */
export function shardIndex(name: string, tensors: readonly Tensor[]): TargetFile {
  const total = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  const entries = tensors.map(
    ({ name, parts }) => [name, parts[0]?.extents[0]?.path ?? ''] as const,
  )
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return jsonFile(name, {
    metadata: { total_size: total },
    weight_map: Object.fromEntries(entries),
  })
}

/** The files that an index names, and a check that they hold what it says. */
export async function joinShards(
  indexPath: string,
  format: string,
): Promise<{ files: string[]; check(arrays: readonly StoredArray[]): void }> {
  const where = { format, path: indexPath }
  const index = parseJsonObject(await readSmallFile(indexPath, maxIndex), indexPath)
  if (!isJsonObject(index.weight_map)) throw inputError('it has no weight_map', where)
  const folder = dirname(indexPath)
  const fileOf = new Map<string, string>()
  for (const [tensor, file] of Object.entries(index.weight_map)) {
    if (typeof file !== 'string' || !isPlainName(file)) {
      throw inputError(
        `it is said to be in ${JSON.stringify(file)}, which is no file of this folder`,
        { ...where, tensor },
      )
    }
    fileOf.set(tensor, join(folder, file))
  }
  return {
    files: [...new Set(fileOf.values())].sort(),
    check(arrays) {
      const found = new Set<string>()
      for (const { name, parts } of arrays) {
        if (found.has(name)) throw inputError('it is in two shards', { ...where, tensor: name })
        found.add(name)
        const at = parts[0]?.extents[0]?.path
        const expected = fileOf.get(name)
        if (expected === undefined)
          throw inputError(`it is in ${at}, and not in the index`, { ...where, tensor: name })
        if (at !== undefined && at !== expected) {
          throw inputError(`the index has it in ${expected}, it is in ${at}`, {
            ...where,
            tensor: name,
          })
        }
      }
      const missing = [...fileOf.keys()].filter((name) => !found.has(name))
      if (missing.length > 0) {
        throw inputError(`the index names tensors that no shard has: ${list(missing)}`, where)
      }
    },
  }
}

/** A name within one folder: nothing in an index may point elsewhere. */
function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\\0:]/.test(name)
}
