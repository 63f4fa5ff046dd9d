import { architectureOf } from '../../architectures/index.js'
import { bind, type PlannedArray, placeIn } from '../../checkpoint/bindings.js'
import type { Checkpoint } from '../../checkpoint/checkpoint.js'
import { type MetadataEntry, metadataLookup } from '../../checkpoint/metadata.js'
import { type Tensor, tensorBytes } from '../../checkpoint/tensor.js'
import { usageError } from '../../io/errors.js'
import { resolveTokens } from '../../tokenizer/resolved-tokens.js'
import { type DType, isFloat, isLevels, recordOf } from '../../types/dtype.js'
import { nothingKnown } from '../about.js'
import type { Target, TargetFile, TargetOptions } from '../format.js'
import { splitShards } from '../hf/shards.js'
import { outputTensors } from '../target.js'
import { assign, parseAssignment } from './assign.js'
import { configEntries } from './config.js'
import { isLayoutKey } from './edit.js'
import { generalEntries, nameOnCard } from './general.js'
import { defaultAlignment } from './header.js'
import { refuseUnreadable } from './keys.js'
import { layOutGguf, type PlannedTensor } from './layout.js'
import { type GgufRope, ggufRope, type RopeTensor, scalingKey } from './rope.js'
import { splitEntries, splitName } from './split.js'
import { vocabularyEntries } from './vocabulary.js'

/** A tensor of the file: one or several of the model's, or bytes that are known beforehand. */
interface Item extends PlannedTensor {
  array?: PlannedArray
  literal?: Uint8Array
}

/**
 * Lays out a checkpoint as llama.cpp's converter writes it: the same metadata,
 * the tensors in the same order, vectors in f32.
 */
export function describeGguf(source: Checkpoint, given: TargetOptions): Target {
  const resolved = given.resolved ?? resolveTokens(source, given)
  const checkpoint = { ...source, config: resolved.config }
  const options = { ...given, resolved }
  const tensors = outputTensors(checkpoint, ggufHolder, options).map((tensor) => ({
    ...tensor,
    dtype: typeOf(tensor, checkpoint, options),
  }))
  const rope = ggufRope(checkpoint.config, checkpoint.path)
  if (options.fuseQkv) checkFusing(options)
  const arrays = bind(architectureOf(checkpoint.config), 'gguf', orderTensors(tensors), {
    asked: options.fuseQkv ?? false,
    path: checkpoint.path,
  })
  const items: Item[] = [
    ...rope.tensors.map(factorItem),
    ...arrays.map((array) => ({ ...array, array })),
  ]
  const shards = splitShards(items, ({ bytes }) => bytes, options.maxShardSize ?? Infinity)
  if (options.fileName !== undefined && shards.length > 1) {
    throw usageError(
      `the weights make ${shards.length} files of \`maxShardSize\`, \`out\` names one`,
      {
        suggestions: ['Name a directory with `out`, or leave out `maxShardSize`.'],
      },
    )
  }
  const parameters = items.reduce(
    (sum, { shape }) => sum + shape.reduce((count, size) => count * size, 1),
    0,
  )
  const { entries, notes } = metadataOf(checkpoint, tensors, parameters, options, rope)
  const stem = options.fileName?.slice(0, -'.gguf'.length) ?? stemOf(checkpoint, tensors, options)

  const files: TargetFile[] = []
  const placed: Tensor[] = []
  shards.forEach((shard, i) => {
    const name = options.fileName ?? splitName(stem, i, shards.length)
    const own = [...(i === 0 ? entries : []), ...splitEntries(i, shards.length, items.length)]
    const { header, begins, size } = layOutGguf(own, shard, defaultAlignment)
    const literals = [{ offset: 0, bytes: header }]
    shard.forEach(({ array, literal }, k) => {
      const offset = begins[k] ?? 0
      if (literal !== undefined) literals.push({ offset, bytes: literal })
      if (array !== undefined) placed.push(...placeIn(array, { path: name, offset }))
    })
    files.push({ name, size, literals })
  })
  return {
    format: 'gguf',
    files,
    tensors: new Map(placed.map((tensor) => [tensor.name, tensor])),
    notes,
    losses: rope.losses,
  }
}

/** @throws usage error where llama.cpp would not have queries, keys and values in one array */
function checkFusing({ mix }: TargetOptions): void {
  if (mix === undefined) return
  throw usageError(`\`fuseQkv\` is for float types, and \`dtype\` is ${mix.name}`, {
    suggestions: ['Leave it out, or choose `dtype` f32, f16 or bf16.'],
  })
}

/** Whose names its tensors have. */
export const ggufHolder = { naming: 'gguf', reader: 'GGUF' } as const

/** The type that a tensor is written in. llama.cpp computes with vectors of f32 only. */
function typeOf({ name, shape }: Tensor, source: Checkpoint, { dtype, mix }: TargetOptions): DType {
  if (shape.length === 1) return 'f32'
  const mixed = mix?.types.get(name)
  if (mixed !== undefined) return mixed
  if (dtype !== 'auto') return dtype
  const own = source.tensors.get(name)?.dtype ?? 'f32'
  // ONNX's levels have no type there.
  if (isLevels(own)) return 'f16'
  return own === 'f64' ? 'f32' : own
}

/**
 * The order of llama.cpp's programs: its converter goes through the tensors as
 * Hugging Face's library lists them, by name; llama-quantize writes layer by
 * layer, by its own names, what is in no layer first.
 */
function orderTensors(tensors: readonly Tensor[]): Tensor[] {
  const quantized = tensors.some(({ dtype }) => !isFloat(dtype))
  const keyOf = ({ name, storedName }: Tensor): [number, string] =>
    quantized ? [Number(/^blk\.(\d+)\./.exec(storedName)?.[1] ?? -1), storedName] : [0, name]
  return tensors
    .map((tensor) => ({ tensor, key: keyOf(tensor) }))
    .sort((a, b) => a.key[0] - b.key[0] || (a.key[1] < b.key[1] ? -1 : 1))
    .map(({ tensor }) => tensor)
}

/** Factors of the frequencies of rotary embedding are a tensor here. */
function factorItem({ name, values }: RopeTensor): Item {
  const literal = new Uint8Array(4 * values.length)
  const view = new DataView(literal.buffer)
  values.forEach((value, i) => {
    view.setFloat32(4 * i, value, true)
  })
  return { name, dtype: 'f32', shape: [values.length], bytes: literal.length, literal }
}

function metadataOf(
  checkpoint: Checkpoint,
  tensors: readonly Tensor[],
  parameters: number,
  options: TargetOptions,
  rope: GgufRope,
): { entries: MetadataEntry[]; notes: string[] } {
  const fileType = fileTypeOf(checkpoint, tensors, options)
  const vocabulary = vocabularyEntries(checkpoint, options)
  const written: MetadataEntry[] = [
    {
      key: 'general.architecture',
      type: 'string',
      value: architectureOf(checkpoint.config).gguf.name,
    },
    { key: 'general.type', type: 'string', value: 'model' },
    ...originOf(checkpoint, parameters, options),
    ...configEntries(checkpoint.config, fileType, rope),
    ...vocabulary.entries,
    ...(options.mix?.metadata ?? []),
  ]
  const known = new Set(written.map(({ key }) => key))
  const kept = (checkpoint.metadata ?? []).filter(
    ({ key }) => !known.has(key) && !isLayoutKey(key) && !isComputed(key),
  )
  const assignments = (options.metadata ?? []).map(parseAssignment)
  for (const { key } of assignments) {
    if (isLayoutKey(key)) {
      throw usageError(`${key} says how the file is laid out and cannot be set`)
    }
  }
  const entries = assign([...written, ...kept], assignments)
  const before = metadataLookup([...written, ...kept])
  const after = metadataLookup(entries)
  for (const entry of entries) {
    if (assignments.some(({ key }) => key === entry.key)) refuseUnreadable(entry, before, after)
  }
  const wide = [...checkpoint.tensors.values()].filter(({ dtype }) => dtype === 'f64').length
  return {
    entries,
    notes: [
      ...rope.notes,
      ...vocabulary.notes,
      ...(wide > 0 && options.dtype === 'auto'
        ? [`${wide} tensors are of f64, which llama.cpp does not compute with: they become f32`]
        : []),
    ],
  }
}

/** Keys of another GGUF that follow from the configuration or the types, and may be out of date. */
function isComputed(key: string): boolean {
  return (
    /^[\w-]+\.rope\.scal/.test(key) ||
    ['general.file_type', 'general.quantization_version', scalingKey].includes(key)
  )
}

/** The model's name and origin: another GGUF says them itself. */
function originOf(
  { metadata }: Checkpoint,
  parameters: number,
  { about = nothingKnown, name }: TargetOptions,
): MetadataEntry[] {
  if (metadata === undefined) return generalEntries(about, name, parameters)
  const own = metadata.filter(
    ({ key }) =>
      key.startsWith('general.') && key !== 'general.type' && !isLayoutKey(key) && !isComputed(key),
  )
  if (name === undefined) return own
  const named: MetadataEntry = { key: 'general.name', type: 'string', value: name }
  return [named, ...own.filter(({ key }) => key !== 'general.name')]
}

/** llama.cpp's number for the types of the matrices, where it has one. */
function fileTypeOf(
  { metadata }: Checkpoint,
  tensors: readonly Tensor[],
  { mix }: TargetOptions,
): number | undefined {
  if (mix !== undefined) return mix.fileType
  const type = mainType(tensors)
  const { fileType } = recordOf(type)
  if (fileType !== undefined) return fileType
  return metadata && metadataLookup(metadata).integer('general.file_type')
}

/** The type that most of the weights have. */
function mainType(tensors: readonly Tensor[]): DType {
  const bytes = new Map<DType, number>()
  for (const tensor of tensors) {
    if (tensor.shape.length < 2) continue
    bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + tensorBytes(tensor))
  }
  const [main] = [...bytes].sort(([, a], [, b]) => b - a)
  return main?.[0] ?? 'f32'
}

/** open_llama_3b_v2-f16: the model's name, with hyphens, and the type. */
function stemOf(
  { metadata }: Checkpoint,
  tensors: readonly Tensor[],
  { name, about = nothingKnown, mix }: TargetOptions,
): string {
  const own = metadata && metadataLookup(metadata).text('general.name')
  const known = name ?? own ?? nameOnCard(about) ?? about.folder
  const safe = known.trim().replace(/[\s/\\:*?"<>|]+/g, '-')
  return `${safe === '' ? 'model' : safe}-${mix?.name ?? mainType(tensors)}`
}
