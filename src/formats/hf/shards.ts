import { basename, dirname } from 'node:path'
import type { PlannedArray } from '../../checkpoint/bindings.js'
import type { OtherArray, StoredArray } from '../../checkpoint/checkpoint.js'
import { list } from '../../checkpoint/geometry.js'
import { inputError } from '../../io/errors.js'
import { isJsonObject, readJsonObject } from '../../io/json.js'
import { snapshotOf } from '../../io/snapshot.js'
import { join, kindOf, listFolder } from '../../io/store.js'
import type { TargetFile } from '../format.js'
import { jsonFile } from './folder.js'

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

/** The index that says which array is in which shard. */
export function shardIndex(
  name: string,
  shards: readonly { file: string; arrays: readonly PlannedArray[] }[],
): TargetFile {
  const all = shards.flatMap(({ arrays }) => arrays)
  const total = all.reduce((sum, { bytes }) => sum + bytes, 0)
  const entries = shards.flatMap(({ file, arrays }) =>
    arrays.map(({ name }) => [name, file] as const),
  )
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return jsonFile(name, {
    metadata: { total_size: total },
    weight_map: Object.fromEntries(entries),
  })
}

/** The index among a folder's entries, where there is one alone. */
export function onlyIndex(entries: readonly string[], pattern: RegExp): string | undefined {
  const indexes = entries.filter((name) => pattern.test(name))
  return indexes.length === 1 ? indexes[0] : undefined
}

/** A shard's name: the stem, its number, the number of all, the extension. */
const shardPattern = /^(.+)-(\d{5})-of-(\d{5})\.([a-z]+)$/

/** The first shard among a folder's entries, where all shards there are of one checkpoint. */
export function shardsOf(entries: readonly string[], extensions: string): string | undefined {
  const shards = entries.filter((name) =>
    extensions.split('|').includes(shardPattern.exec(name)?.[4] ?? ''),
  )
  const [first] = shards
  const kinds = new Set(shards.map((name) => name.replace(shardPattern, '$1 $3 $4')))
  return kinds.size === 1 ? first : undefined
}

/**
 * All shards of the checkpoint that a file is one of, by their names, where there is no index.
 * @throws input error that says which of them are not there
 */
export async function shardSiblings(path: string, format: string): Promise<string[]> {
  const match = shardPattern.exec(basename(path))
  if (match === null) return [path]
  const [, stem, number, last = '', extension] = match
  const count = Number(last)
  if (Number(number) > count || Number(number) === 0) {
    throw inputError(`it would be shard ${Number(number)} of ${count}`, { format, path })
  }
  const digits = (n: number) => String(n).padStart(5, '0')
  const names = Array.from(
    { length: count },
    (_, i) => `${stem}-${digits(i + 1)}-of-${last}.${extension}`,
  )
  await checkThere(names, `${count} shards by the name of ${basename(path)}`, { format, path })
  return names.map((name) => join(dirname(path), name))
}

/**
 * Checks that files are in the folder of `where.path`.
 * @param what they are, after "of the "
 * @throws input error that says how many and which are missing, and what is there in their place
 */
async function checkThere(
  names: readonly string[],
  what: string,
  where: { format: string; path: string },
): Promise<void> {
  const folder = dirname(where.path)
  const entries = await listFolder(folder)
  const listed = new Set(entries)
  const dead: string[] = []
  for (const name of names) {
    if (listed.has(name) && (await kindOf(join(folder, name))) === undefined) dead.push(name)
  }
  const missing = names.filter((name) => !listed.has(name) || dead.includes(name))
  if (missing.length === 0) return
  const known = new Set(names)
  const [, , , extension] = shardPattern.exec(missing[0] ?? '')?.slice(1) ?? []
  const others = entries.filter(
    (name) =>
      !known.has(name) && extension !== undefined && shardPattern.exec(name)?.[4] === extension,
  )
  const said = [
    `of the ${what} ${missing.length} ${missing.length === 1 ? 'is' : 'are'} missing: ${list(missing.toSorted())}`,
    ...(dead.length === 0
      ? []
      : [
          `${dead.length === missing.length ? 'there are' : `of ${dead.length} there are`} only links to nowhere`,
        ]),
    ...(others.length === 0
      ? []
      : [
          `there ${others.length === 1 ? 'is' : 'are'} ${list(others.toSorted())}, which ${others.length === 1 ? 'is none' : 'are none'} of them`,
        ]),
  ]
  const again = `pull the repository again (openllama pull ${snapshotOf(folder)?.repository ?? 'OWNER/REPO'})`
  throw inputError(said.join('; '), {
    ...where,
    suggestions: [
      others.length === 0
        ? `The download was interrupted, or is not whole: ${again}.`
        : `The index and the shards are of two versions: ${again}, or take the index away to read the shards by their names.`,
    ],
  })
}

/** @throws input error for a tensor that is in two files */
export function checkOnce(arrays: readonly StoredArray[], format: string): void {
  const paths = new Map<string, string | undefined>()
  for (const { name, parts } of arrays) {
    const path = parts[0]?.extents[0]?.path
    if (paths.has(name)) {
      throw inputError(`it is in ${paths.get(name)} too`, { format, path, tensor: name })
    }
    paths.set(name, path)
  }
}

/** The files that an index names, and a check that they hold what it says. */
export async function joinShards(
  indexPath: string,
  format: string,
): Promise<{
  files: string[]
  check(arrays: readonly StoredArray[], others: readonly OtherArray[]): void
}> {
  const where = { format, path: indexPath }
  const index = await readJsonObject(indexPath, maxIndex, {
    uniqueKeys: true,
  })
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
    fileOf.set(tensor, file)
  }
  const names = [...new Set(fileOf.values())].sort()
  await checkThere(names, `${names.length} files that it names`, where)
  return {
    files: names.map((name) => join(folder, name)),
    check(arrays, others) {
      const found = new Set<string>()
      const placed = [
        ...arrays.map(({ name, parts }) => ({ name, at: parts[0]?.extents[0]?.path })),
        ...others.map(({ name, path }) => ({ name, at: path })),
      ]
      for (const { name, at } of placed) {
        if (found.has(name)) throw inputError('it is in two shards', { ...where, tensor: name })
        found.add(name)
        const file = fileOf.get(name)
        if (file === undefined)
          throw inputError(`it is in ${at}, and not in the index`, { ...where, tensor: name })
        if (at !== undefined && at !== join(folder, file)) {
          throw inputError(`the index has it in ${file}, it is in ${at}`, {
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
