import { dirname } from 'node:path'
import { namings } from '../../architectures/architecture.js'
import { type PlannedArray, placeIn } from '../../checkpoint/bindings.js'
import type { Checkpoint, OtherArray, StoredArray } from '../../checkpoint/checkpoint.js'
import { checkArrayBytes } from '../../checkpoint/checkpoint.js'
import { shown } from '../../checkpoint/geometry.js'
import { type Tensor, wholePart } from '../../checkpoint/tensor.js'
import { stateNames } from '../../checkpoint/wrapped.js'
import { append } from '../../io/append.js'
import { inputError } from '../../io/errors.js'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../io/json.js'
import { type ByteSource, openFile } from '../../io/source.js'
import { dtypes, elementCount, isFloat, typesBy } from '../../types/dtype.js'
import type { Format, Target, TargetFile, TargetOptions } from '../format.js'
import { paramsBeside } from '../torch/meta-params.js'
import { boundInHf, hfFiles } from './folder.js'
import {
  checkOnce,
  defaultShard,
  joinShards,
  onlyIndex,
  shardIndex,
  shardName,
  shardSiblings,
  shardsOf,
  splitShards,
} from './shards.js'

/** Hugging Face's safetensors: a JSON header of names, dtypes, shapes and offsets, then the bytes. */
export const safetensors = {
  name: 'safetensors',
  title: 'Hugging Face safetensors',
  traits: {
    short: 'safetensors',
    engine: 'onnxruntime',
    graph: false,
    loading: 'from_pretrained',
    standalone: false,
    tokenizer: 'beside',
    metadata: false,
    library: 'transformers',
    tags: ['safetensors'],
    rank: 1,
    tagRank: 7,
  },
  options: ['maxShardSize', 'keepTokenizer'],

  // A u64 header length below the cap, then the header's opening brace.
  detect(head) {
    if (head.length < 9) return false
    const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true)
    return length <= BigInt(maxHeader) && head[8] === 0x7b
  },

  detectDirectory(entries) {
    const files = entries.filter((name) => name.endsWith('.safetensors'))
    return (
      [indexName, 'model.safetensors'].find((name) => entries.includes(name)) ??
      onlyIndex(entries, /\.safetensors\.index\.json$/) ??
      (files.length === 1 ? files[0] : shardsOf(entries, 'safetensors'))
    )
  },

  async open(path) {
    const arrays: StoredArray[] = []
    const others: OtherArray[] = []
    const aliases: StoredArray[] = []
    const files = []
    const index = path.endsWith('.index.json') ? await joinShards(path, 'safetensors') : undefined
    for (const file of index?.files ?? (await shardSiblings(path, 'safetensors'))) {
      const source = await openFile(file)
      try {
        const listed = await listEntries(source)
        append(arrays, listed.arrays)
        append(others, listed.others)
        append(aliases, listed.aliases)
        files.push({ path: file, size: source.size })
      } finally {
        await source.close()
      }
    }
    if (index) index.check(arrays, others)
    else checkOnce(arrays, 'safetensors')
    const there = new Set(arrays.map(({ name }) => name))
    arrays.push(...aliases.filter(({ name }) => !there.has(name)))
    const { notes, ...named } = stateNames(arrays, others, { format: 'safetensors', path })
    // Mistral's own layout, and Meta's, in this container.
    const told =
      named.naming === namings.meta ? await paramsBeside(dirname(path), named.arrays) : undefined
    return {
      format: 'safetensors',
      path,
      files,
      ...named,
      ...(told ? { config: told.config } : {}),
      notes: [...notes, ...(told?.notes ?? [])],
    }
  },

  describe,
} satisfies Format

const indexName = 'model.safetensors.index.json'

/** The format's own cap on the header, in bytes. */
const maxHeader = 100_000_000

/**
 * Of 200,000 tensors, an object, two lists and four keys each, and of the metadata: the largest
 * models have some 50,000, with each expert by itself.
 */
const maxParts = 7 * 200_000 + 100_000

const types = typesBy(({ safetensors }) => safetensors)

/** The format's other types, and the bits of an element: buffers, and levels of quantizations. */
const otherBits: ReadonlyMap<string, number> = new Map([
  ...['BOOL', 'U8', 'I8', 'F8_E5M2', 'F8_E4M3', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'].map(
    (name) => [name, 8] as const,
  ),
  ...['U16', 'I16'].map((name) => [name, 16] as const),
  ...['U32', 'I32'].map((name) => [name, 32] as const),
  ...['U64', 'I64', 'C64'].map((name) => [name, 64] as const),
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
])

/** What one file holds. */
interface Entries {
  arrays: StoredArray[]
  /** Tensors that the metadata say are others of the file under a second name. */
  aliases: StoredArray[]
  others: OtherArray[]
}

/** The tensors of one file whose elements are floats. */
export async function listFile(source: ByteSource): Promise<StoredArray[]> {
  return (await listEntries(source)).arrays
}

/**
 * Lists the tensors of one file and holds the header to the format's rules:
 * offsets in order without gap or overlap, sizes that fit, no byte left over.
 */
async function listEntries(source: ByteSource): Promise<Entries> {
  const { path, size } = source
  const where = { format: 'safetensors', path }
  if (size < 8)
    throw inputError(`the file has ${size} bytes, its header's length alone takes 8`, where)
  const start = await source.read(0, 8)
  const claimed = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true)
  if (claimed > BigInt(maxHeader)) {
    throw inputError(
      `its header would have ${claimed} bytes, at most ${maxHeader} are allowed`,
      where,
    )
  }
  const length = Number(claimed)
  if (8 + length > size) {
    throw inputError(`its header ends at byte ${8 + length}, the file has ${size}`, {
      ...where,
      suggestions: ['It is truncated; download it again.'],
    })
  }
  const header = parseJsonObject(await source.read(8, length), path, {
    uniqueKeys: true,
    maxParts,
  })
  return parseHeader(header, 8 + length, source)
}

/** What the header says of a tensor, and where its bytes lie after it. */
interface Entry {
  name: string
  begin: number
  end: number
  /** Undefined where its elements are no floats. */
  array?: StoredArray
  type: string
}

function parseHeader(header: JsonObject, start: number, { path, size }: ByteSource): Entries {
  const entries: Entry[] = []
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const where = { format: 'safetensors' as const, path, tensor: name }
    if (!isJsonObject(value)) throw inputError('its entry is no object', where)
    const shape = numbers(value.shape)
    const offsets = numbers(value.data_offsets)
    const [begin, end] = offsets ?? []
    if (shape === undefined || begin === undefined || end === undefined || offsets?.length !== 2) {
      throw inputError('its shape or its data_offsets are no whole numbers', where)
    }
    if (end < begin) throw inputError(`it ends at byte ${end}, before it begins at ${begin}`, where)
    if (start + end > size) {
      throw inputError(`it ends at byte ${start + end}, the file has ${size}`, {
        ...where,
        suggestions: ['It is truncated; download it again.'],
      })
    }
    const type = typeof value.dtype === 'string' ? value.dtype : ''
    const dtype = types.get(type)
    const entry = { name, begin, end, type }
    if (dtype === undefined) {
      checkOther(value.dtype, shape, end - begin, where)
      entries.push(entry)
      continue
    }
    checkArrayBytes(dtype, shape, end - begin, where)
    const extent = { path, offset: start + begin, length: end - begin }
    entries.push({ ...entry, array: { name, dtype, shape, parts: [wholePart(shape, [extent])] } })
  }
  checkPlaces(entries, start, { path, size })
  return {
    arrays: entries.flatMap(({ array }) => array ?? []),
    aliases: aliasesIn(header, entries),
    others: entries.flatMap(({ name, type, array }) => (array ? [] : { name, type, path })),
  }
}

/** Checks an array of a type that weights never have. */
function checkOther(
  dtype: unknown,
  shape: number[],
  bytes: number,
  where: { format: 'safetensors'; path: string; tensor: string },
): void {
  const bits = typeof dtype === 'string' ? otherBits.get(dtype) : undefined
  if (bits === undefined) {
    throw inputError(`its dtype is ${JSON.stringify(dtype)?.slice(0, 80)}, which is not known`, {
      ...where,
      suggestions: [`Supported are ${[...types.keys()].join(', ')}.`],
    })
  }
  const elements = elementCount(shape)
  if (elements === undefined || elements * bits !== bytes * 8) {
    throw inputError(
      `${shown(shape)} of ${dtype} does not take the ${bytes} bytes that it has`,
      where,
    )
  }
}

/** Sorts the entries by their place, and holds them to be side by side to the file's end. */
function checkPlaces(
  entries: Entry[],
  start: number,
  { path, size }: { path: string; size: number },
): void {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let position = 0
  for (const { name, begin, end } of entries) {
    if (begin !== position) {
      const kind = begin < position ? 'overlaps the tensor before it' : 'leaves a gap before it'
      throw inputError(`it begins at byte ${begin} and ${kind}, which ends at ${position}`, {
        format: 'safetensors',
        path,
        tensor: name,
      })
    }
    position = end
  }
  if (start + position !== size) {
    throw inputError(`its tensors end at byte ${start + position}, the file has ${size}`, {
      format: 'safetensors',
      path,
    })
  }
}

/**
 * Tensors that are others under a second name: safetensors' save_model leaves
 * one of two tied weights out and notes in the metadata which it is the same as.
 */
function aliasesIn(
  { __metadata__: metadata }: JsonObject,
  entries: readonly Entry[],
): StoredArray[] {
  if (!isJsonObject(metadata)) return []
  const byName = new Map(entries.map((entry) => [entry.name, entry]))
  return Object.entries(metadata).flatMap(([name, target]) => {
    const { array } = (typeof target === 'string' && byName.get(target)) || {}
    return array && name.endsWith('.weight') && !byName.has(name) ? { ...array, name } : []
  })
}

function numbers(value: unknown): number[] | undefined {
  if (!Array.isArray(value)) return undefined
  const all: number[] = []
  for (const item of value) {
    if (typeof item !== 'number' || !Number.isSafeInteger(item) || item < 0) return undefined
    all.push(item)
  }
  return all
}

/** Lays out a checkpoint of one or more shards with its configuration. */
function describe(checkpoint: Checkpoint, options: TargetOptions): Target {
  const arrays = boundInHf(checkpoint, options)
  const shards = splitShards(arrays, ({ bytes }) => bytes, options.maxShardSize ?? defaultShard)
  const files: TargetFile[] = []
  const tensors: Tensor[] = []
  const named = shards.map((arrays, i) => ({
    file: shardName('model', 'safetensors', i, shards.length),
    arrays,
  }))
  for (const { file: name, arrays: shard } of named) {
    const { header, begins, bytes } = layOut(shard)
    shard.forEach((array, k) => {
      const offset = header.length + (begins[k] ?? 0)
      append(tensors, placeIn(array, { path: name, offset }))
    })
    files.push({ name, size: header.length + bytes, literals: [{ offset: 0, bytes: header }] })
  }
  if (named.length > 1) files.push(shardIndex(indexName, named))
  const beside = hfFiles(checkpoint, tensors, options)
  files.push(...beside.files)
  return {
    format: 'safetensors',
    files,
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    notes: beside.notes,
  }
}

/** The header of one file, where each tensor begins after it, and the bytes of all. */
function layOut(arrays: readonly PlannedArray[]): {
  header: Uint8Array
  begins: number[]
  bytes: number
} {
  const entries: JsonObject = { __metadata__: { format: 'pt' } }
  const begins: number[] = []
  let position = 0
  for (const { name, dtype, shape, bytes } of arrays) {
    const end = position + bytes
    if (!isFloat(dtype)) throw new Error(`safetensors holds no ${dtype}`)
    entries[name] = {
      dtype: dtypes[dtype].safetensors,
      shape: [...shape],
      data_offsets: [position, end],
    }
    begins.push(position)
    position = end
  }
  const json = new TextEncoder().encode(JSON.stringify(entries))
  // Padded with spaces so that the tensors start at a multiple of 8, as the reference writer does.
  const length = Math.ceil(json.length / 8) * 8
  const header = new Uint8Array(8 + length).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true)
  header.set(json, 8)
  return { header, begins, bytes: position }
}
