import type { Checkpoint, StoredArray } from '../checkpoint/checkpoint.js'
import { checkArrayBytes } from '../checkpoint/checkpoint.js'
import { type DType, type Float, isFloat } from '../checkpoint/dtype.js'
import { type Tensor, tensorBytes, wholePart } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import { isJsonObject, type JsonObject, parseJsonObject } from '../io/json.js'
import { type ByteSource, openFile } from '../io/source.js'
import type { Format, Target, TargetFile, TargetOptions } from './format.js'
import { hfFiles } from './hf-folder.js'
import { defaultShard, joinShards, shardIndex, shardName, splitShards } from './shards.js'
import { outputTensors } from './target.js'

/** Hugging Face's safetensors: a JSON header of names, dtypes, shapes and offsets, then the bytes. */
export const safetensors = {
  name: 'safetensors',
  title: 'Hugging Face safetensors',

  // A u64 header length below the cap, then the header's opening brace.
  detect(head) {
    if (head.length < 9) return false
    const length = new DataView(head.buffer, head.byteOffset).getBigUint64(0, true)
    return length <= BigInt(maxHeader) && head[8] === 0x7b
  },

  detectDirectory(entries) {
    if (entries.includes(indexName)) return indexName
    const files = entries.filter((name) => name.endsWith('.safetensors'))
    return (
      files.find((name) => name === 'model.safetensors') ??
      (files.length === 1 ? files[0] : undefined)
    )
  },

  async open(path) {
    const arrays: StoredArray[] = []
    const files = []
    const shards = path.endsWith('.index.json') ? await joinShards(path, 'safetensors') : undefined
    for (const file of shards?.files ?? [path]) {
      const source = await openFile(file)
      try {
        arrays.push(...(await listFile(source)))
        files.push({ path: file, size: source.size })
      } finally {
        await source.close()
      }
    }
    shards?.check(arrays)
    return { format: 'safetensors', path, naming: 'hf', files, arrays, notes: [] }
  },

  describe,
} satisfies Format

const indexName = 'model.safetensors.index.json'

/** The format's own cap on the header, in bytes. */
const maxHeader = 100_000_000

const nameOfDtype: Record<Float, string> = { f64: 'F64', f32: 'F32', f16: 'F16', bf16: 'BF16' }
/** A map: a file may name any text, `constructor` too. */
const dtypeNames: ReadonlyMap<string, DType> = new Map([
  ['F64', 'f64'],
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
])

/**
 * Lists the tensors of one file and holds the header to the format's rules:
 * offsets in order without gap or overlap, sizes that fit, no byte left over.
 */
export async function listFile(source: ByteSource): Promise<StoredArray[]> {
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
  const header = parseJsonObject(await source.read(8, length), path)
  return parseHeader(header, 8 + length, source)
}

function parseHeader(header: JsonObject, start: number, { path, size }: ByteSource): StoredArray[] {
  const arrays: { array: StoredArray; begin: number; end: number }[] = []
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const where = { format: 'safetensors' as const, path, tensor: name }
    if (!isJsonObject(value)) throw inputError('its entry is no object', where)
    const dtype = dtypeNames.get(String(value.dtype))
    if (dtype === undefined) {
      throw inputError(`its dtype is ${JSON.stringify(value.dtype)}, which is not supported`, {
        ...where,
        suggestions: [`Supported are ${[...dtypeNames.keys()].join(', ')}.`],
      })
    }
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
    checkArrayBytes(dtype, shape, end - begin, where)
    const extent = { path, offset: start + begin, length: end - begin }
    arrays.push({ array: { name, dtype, shape, parts: [wholePart(shape, [extent])] }, begin, end })
  }
  arrays.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let position = 0
  for (const { array, begin, end } of arrays) {
    if (begin !== position) {
      const kind = begin < position ? 'overlaps the tensor before it' : 'leaves a gap before it'
      throw inputError(`it begins at byte ${begin} and ${kind}, which ends at ${position}`, {
        format: 'safetensors',
        path,
        tensor: array.name,
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
  return arrays.map(({ array }) => array)
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
  const wanted = outputTensors(checkpoint, 'hf', options)
  const shards = splitShards(wanted, tensorBytes, options.maxShardSize ?? defaultShard)
  const files: TargetFile[] = []
  const tensors: Tensor[] = []
  shards.forEach((shard, i) => {
    const name = shardName('model', 'safetensors', i, shards.length)
    const { header, begins, bytes } = layOut(shard)
    const placed = shard.map((tensor, k) => {
      const offset = header.length + (begins[k] ?? 0)
      const extent = { path: name, offset, length: tensorBytes(tensor) }
      return { ...tensor, parts: [wholePart(tensor.shape, [extent])] }
    })
    tensors.push(...placed)
    files.push({ name, size: header.length + bytes, literals: [{ offset: 0, bytes: header }] })
  })
  if (shards.length > 1) files.push(shardIndex(indexName, tensors))
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
function layOut(tensors: readonly Tensor[]): {
  header: Uint8Array
  begins: number[]
  bytes: number
} {
  const entries: JsonObject = { __metadata__: { format: 'pt' } }
  const begins: number[] = []
  let position = 0
  for (const tensor of tensors) {
    const end = position + tensorBytes(tensor)
    if (!isFloat(tensor.dtype)) throw new Error(`safetensors holds no ${tensor.dtype}`)
    entries[tensor.name] = {
      dtype: nameOfDtype[tensor.dtype],
      shape: [...tensor.shape],
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
