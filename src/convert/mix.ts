import { basename } from 'node:path'
import { architectureOf } from '../architectures/index.js'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { list } from '../checkpoint/geometry.js'
import type { MetadataEntry } from '../checkpoint/metadata.js'
import { nameIn, roleOf } from '../checkpoint/names.js'
import { matrixOf, type Tensor } from '../checkpoint/tensor.js'
import type { TargetOptions } from '../formats/format.js'
import { readPart } from '../formats/gguf/split.js'
import { ggufHolder as gguf } from '../formats/gguf/target.js'
import { noPlaceFor } from '../formats/target.js'
import { inputError } from '../io/errors.js'
import { openFile, readSmallFile } from '../io/source.js'
import { refuseStandIns } from '../io/stand-ins.js'
import { assignTypes, checkOverrides, parseTypeOverride } from '../quantize/assign.js'
import {
  type Imatrix,
  imatrixFromGguf,
  importanceOf,
  isGgufImatrix,
  isZeroed,
  parseLegacyImatrix,
} from '../quantize/imatrix.js'
import type { MixName } from '../quantize/mixes.js'
import { assignNBits, type NBits } from '../quantize/nbits.js'
import type { FallbackRecord, RecordedMix } from '../record/provenance.js'
import { isFloat } from '../types/dtype.js'
import { type GgmlType, isGgmlType, parseGgmlType } from '../types/ggml.js'

/** How a mix is to be departed from: as it is recorded. */
export type MixOptions = RecordedMix

/** What a mix, or ONNX's quantized type, comes to for one checkpoint. */
export interface Quantization {
  /** What the format is told of it. */
  target: Pick<TargetOptions, 'mix' | 'nbits'>
  tensors: { name: string; shape: readonly number[]; type: string; bytes: number }[]
  fallbacks: FallbackRecord[]
  bitsPerWeight: number
  /** By Hugging Face's names. */
  importance: ReadonlyMap<string, Float32Array>
  notes: string[]
}

/**
 * Gives each tensor its type, as llama-quantize chooses.
 * @throws input error for fallbacks where `strict`, and for tensors that are quantized already
 */
export async function chooseMix(
  checkpoint: Checkpoint,
  name: MixName,
  options: MixOptions,
): Promise<Quantization> {
  const { config, path } = checkpoint
  const imatrix = options.imatrix === undefined ? undefined : await readImatrix(options.imatrix)
  const named = [...checkpoint.tensors.values()].map((tensor) => ({
    tensor,
    ggufName: ggufNameOf(tensor, checkpoint),
  }))
  const plain = named.map(({ tensor, ggufName }) => ({
    name: ggufName,
    shape: tensor.shape,
    type: unquantizedType(tensor),
  }))
  const overrides = (options.tensorTypes ?? []).map(parseTypeOverride)
  checkOverrides(overrides, plain)
  const assignment = assignTypes(
    plain,
    {
      layers: config.num_hidden_layers,
      heads: config.num_attention_heads,
      kvHeads: config.num_key_value_heads,
    },
    {
      mix: name,
      pure: options.pure ?? false,
      leaveOutput: options.leaveOutput ?? false,
      importance: imatrix !== undefined,
      overrides,
      ...(options.outputTensorType ? { outputType: parseGgmlType(options.outputTensorType) } : {}),
      ...(options.tokenEmbeddingType
        ? { tokenEmbeddingType: parseGgmlType(options.tokenEmbeddingType) }
        : {}),
    },
  )
  if (options.strict) refuseFallbacks(assignment.fallbacks, name, path, 'q8_0 or q5_1')

  const types = new Map<string, GgmlType>()
  const importance = new Map<string, Float32Array>()
  const zeroed: string[] = []
  named.forEach(({ tensor, ggufName }, i) => {
    const type = assignment.tensors[i]?.type ?? 'f32'
    if (tensor.dtype !== type && !options.allowRequantize) {
      refuseRequantizing(checkpoint, tensor, type)
    }
    types.set(tensor.name, type)
    const weights = imatrix && importanceFor(imatrix, ggufName, tensor, options.imatrix ?? '')
    if (weights) importance.set(tensor.name, weights)
    if (weights && isZeroed(weights, type)) zeroed.push(ggufName)
  })
  return {
    target: {
      mix: {
        name,
        fileType: assignment.fileType,
        types,
        metadata: imatrix ? imatrixEntries(imatrix, options.imatrix ?? '', importance.size) : [],
      },
    },
    tensors: assignment.tensors,
    fallbacks: assignment.fallbacks,
    bitsPerWeight: assignment.bitsPerWeight,
    importance,
    notes: [
      ...fallbackNotes(assignment.fallbacks, assignment.tensors, name, assignment.bitsPerWeight),
      ...zeroedNotes(zeroed, options.imatrix ?? ''),
    ],
  }
}

function zeroedNotes(names: readonly string[], imatrix: string): string[] {
  if (names.length === 0) return []
  return [
    `by ${basename(imatrix)} no column of ${list(names)} counts, and all its values become zero, as with llama-quantize; measure it on a text that uses the whole model, or convert without it`,
  ]
}

/**
 * Gives each tensor ONNX's quantized type where its rows fill blocks.
 * @throws input error for fallbacks where `strict`, and for tensors that are quantized already
 */
export function chooseNBits(
  checkpoint: Checkpoint,
  name: NBits,
  { strict, allowRequantize }: Pick<MixOptions, 'strict' | 'allowRequantize'>,
): Quantization {
  const { tensors, fallbacks, bitsPerWeight } = assignNBits(checkpoint, name)
  if (strict) refuseFallbacks(fallbacks, name, checkpoint.path, 'f32 or f16')
  const chosen = new Set(tensors.filter(({ type }) => type === name).map((tensor) => tensor.name))
  for (const tensor of checkpoint.tensors.values()) {
    if (chosen.has(tensor.name) && !allowRequantize) refuseRequantizing(checkpoint, tensor, name)
  }
  return {
    target: { nbits: { name, tensors: chosen } },
    tensors,
    fallbacks,
    bitsPerWeight,
    importance: new Map(),
    notes: fallbackNotes(fallbacks, tensors, name, bitsPerWeight),
  }
}

function refuseRequantizing({ format, path }: Checkpoint, tensor: Tensor, type: string): void {
  if (isFloat(tensor.dtype)) return
  throw inputError(`it is quantized already, to ${tensor.dtype}, and would be ${type}`, {
    format,
    path,
    tensor: tensor.storedName,
    suggestions: [
      'Quantize from the original; `allowRequantize` does it from here, and loses accuracy twice.',
    ],
  })
}

function ggufNameOf(tensor: Tensor, checkpoint: Checkpoint): string {
  const named = roleOf(architectureOf(checkpoint.config), tensor.name, 'hf')
  const ggufName = named && nameIn(named, gguf.naming)
  if (ggufName === undefined) throw noPlaceFor(tensor, gguf, checkpoint)
  return ggufName
}

/** The type of a tensor that the mix leaves alone. llama.cpp computes with vectors of f32 only. */
function unquantizedType({ shape, dtype }: Tensor): GgmlType {
  return shape.length > 1 && isGgmlType(dtype) ? dtype : 'f32'
}

function refuseFallbacks(
  fallbacks: readonly FallbackRecord[],
  mix: string,
  path: string,
  fitting: string,
): void {
  const [first] = fallbacks
  if (first === undefined) return
  throw inputError(
    `${fallbacks.length} tensors cannot have their type of ${mix}: ${first.tensor} would be ${first.got} for ${first.wanted}, since its ${first.reason}`,
    {
      path,
      suggestions: [`Choose a type that fits, such as ${fitting}, or leave out \`strict\`.`],
    },
  )
}

/** A mix whose types do not fit is called what it is. */
function fallbackNotes(
  fallbacks: readonly FallbackRecord[],
  tensors: Quantization['tensors'],
  mix: string,
  bitsPerWeight: number,
): string[] {
  const [first] = fallbacks
  if (first === undefined) return []
  const matrices = tensors.filter(({ shape }) => shape.length > 1)
  const counts = new Map<string, number>()
  for (const { type } of matrices) counts.set(type, (counts.get(type) ?? 0) + 1)
  const got = [...counts].map(([type, count]) => `${type} × ${count}`).join(', ')
  return [
    `${fallbacks.length} of ${matrices.length} matrices cannot have their type of ${mix} (${first.reason}); what is written is ${got}, ${bitsPerWeight.toFixed(2)} bits per weight`,
  ]
}

/** The largest models' importance matrices have some 30 MB. */
const maxImatrix = 512 * 1024 * 1024

async function readImatrix(path: string): Promise<Imatrix> {
  const bytes = await readSmallFile(path, maxImatrix)
  refuseStandIns(path, bytes.subarray(0, 512))
  if (!isGgufImatrix(bytes)) return parseLegacyImatrix(bytes, path)
  const { header } = await readPart(path)
  const source = await openFile(path)
  try {
    const tensors = []
    for (const { name, dtype, offset, bytes: length } of header.tensors) {
      if (dtype !== 'f32') continue
      const data = await source.read(offset, length)
      tensors.push({ name, data: new Float32Array(data.slice().buffer) })
    }
    const metadata = new Map(header.entries.map(({ key, value }) => [key, value]))
    return imatrixFromGguf({ metadata, tensors }, path)
  } finally {
    await source.close()
  }
}

function importanceFor(
  imatrix: Imatrix,
  ggufName: string,
  tensor: Tensor,
  path: string,
): Float32Array | undefined {
  const [, columns] = matrixOf(tensor.shape)
  return tensor.shape.length > 1 ? importanceOf(imatrix, ggufName, columns, path) : undefined
}

/** What llama-quantize notes of the matrix it used. */
function imatrixEntries(imatrix: Imatrix, path: string, used: number): MetadataEntry[] {
  return [
    { key: 'quantize.imatrix.file', type: 'string', value: basename(path) },
    ...imatrix.datasets
      .slice(0, 1)
      .map((value): MetadataEntry => ({ key: 'quantize.imatrix.dataset', type: 'string', value })),
    { key: 'quantize.imatrix.entries_count', type: 'int32', value: used },
    ...(imatrix.chunks > 0
      ? [
          {
            key: 'quantize.imatrix.chunks_count',
            type: 'int32',
            value: imatrix.chunks,
          } satisfies MetadataEntry,
        ]
      : []),
  ]
}
