import { embeddingName } from '../../architectures/roles.js'
import type { Checkpoint } from '../../checkpoint/checkpoint.js'
import type { ModelConfig } from '../../checkpoint/config.js'
import { storedMatrixOf, type Tensor, tensorBytes, wholePart } from '../../checkpoint/tensor.js'
import { decoderModel, type GraphWeight, type QuantizedWeight } from '../../graph/decoder.js'
import type { ExternalData } from '../../graph/model.js'
import { plainFields } from '../../io/exact-json.js'
import type { JsonObject } from '../../io/json.js'
import { formatBytes } from '../../io/units.js'
import { type NBits, nbits } from '../../quantize/nbits.js'
import { resolveTokens } from '../../tokenizer/resolved-tokens.js'
import { type DType, dtypes, isScale } from '../../types/dtype.js'
import { version } from '../../version.js'
import type { Target, TargetFile, TargetOptions } from '../format.js'
import { hfFiles, jsonFile, literalFile } from '../hf/folder.js'
import { splitShards } from '../hf/shards.js'
import { outputTensors } from '../target.js'
import { genaiConfig } from './genai.js'

/**
 * Lays out a folder that transformers.js loads: the graph and its weights under onnx/, named by the
 * type that is computed in, configuration and tokenizer above.
 */
export function describeOnnx(checkpoint: Checkpoint, given: TargetOptions): Target {
  const resolved = given.resolved ?? resolveTokens(checkpoint, given)
  const options = { ...given, resolved }
  const { config } = resolved
  const quantized = options.nbits
  const held = quantized ? { dtype: nbits[quantized.name].compute } : options
  const wanted = outputTensors(checkpoint, { naming: 'hf', reader: 'ONNX' }, held)
  const rounded = wanted.filter(({ dtype }) => dtype === 'bf16')
  const weights = wanted.map((tensor) => ({
    ...tensor,
    dtype: heldAs(tensor.dtype),
    layout: { ...tensor.layout, transposed: isKernel(tensor) },
  }))
  const compute = weights.some(({ shape, dtype }) => shape.length === 2 && dtype === 'f32')
    ? 'f32'
    : 'f16'
  const kind = quantized?.name ?? compute
  const graph = `model${suffixes[kind]}.onnx`
  const stored = quantized
    ? weights.flatMap((tensor) =>
        quantized.tensors.has(tensor.name) ? levelsAndScales(tensor, quantized.name) : [tensor],
      )
    : weights
  const { files, tensors, notes } = placeWeights(stored, graph, options.maxShardSize ?? maxFile)
  const model = decoderModel({
    config,
    path: checkpoint.path,
    weights: graphWeights(tensors),
    compute,
    rotary: 'half',
    producer: { name: 'openllama', version: version() },
  })
  const forWeb = {
    ...config,
    other: { ...config.other, ...webConfig(graph, kind, files.length) },
  }
  const beside = hfFiles(checkpoint, weights, {
    ...options,
    resolved: { ...resolved, config: forWeb },
  })
  const generation = plainFields(resolved.generation)
  const genai =
    options.onnxTarget === 'genai'
      ? [jsonFile('genai_config.json', genaiConfig(config, generation, `${folder}/${graph}`))]
      : []
  return {
    format: 'onnx',
    files: [literalFile(`${folder}/${graph}`, model), ...files, ...beside.files, ...genai],
    tensors: new Map(tensors.map((tensor) => [keyOf(tensor), tensor])),
    notes: [...bfloatNotes(rounded), ...notes, ...beside.notes],
  }
}

const folder = 'onnx'

/** transformers.js finds a graph by its type. */
const suffixes = { f32: '', f16: '_fp16', q8: '_quantized', q4: '_q4', q4f16: '_q4f16' } as const

/** MatMul takes [in, out]; the embedding is a table, not a kernel. */
function isKernel({ name, shape }: Tensor): boolean {
  return shape.length === 2 && name !== embeddingName
}

/** ONNX Runtime computes nothing in bf16 or f64 on a CPU. */
function heldAs(dtype: DType): 'f32' | 'f16' {
  return dtype === 'f64' || dtype === 'f32' ? 'f32' : 'f16'
}

/**
 * The pages of memory-mapped files begin at multiples of this; the runtime then maps a weight and
 * copies nothing. All are so aligned: it costs 2 kB a tensor on average.
 */
const alignment = 4096

/** A browser cannot hold a longer file in one buffer. */
const maxFile = 2_000_000_000

function placeWeights(
  weights: readonly Tensor[],
  graph: string,
  maxShardSize: number,
): { files: TargetFile[]; tensors: Tensor[]; notes: string[] } {
  const files: TargetFile[] = []
  const tensors: Tensor[] = []
  const notes: string[] = []
  const most = Math.min(maxShardSize, maxFile)
  for (const shard of splitShards(weights, (tensor) => aligned(tensorBytes(tensor)), most)) {
    const name = `${folder}/${graph}_data${files.length === 0 ? '' : `_${files.length}`}`
    let size = 0
    for (const tensor of shard) {
      const offset = aligned(size)
      const length = tensorBytes(tensor)
      const extent = { path: name, offset, length }
      tensors.push({ ...tensor, parts: [wholePart(storedMatrixOf(tensor), [extent])] })
      size = offset + length
      if (length > maxFile) {
        notes.push(
          `${tensor.name} alone has ${formatBytes(length)}: its file ${name} is too long for browsers`,
        )
      }
    }
    files.push({ name, size, literals: [] })
  }
  return { files, tensors, notes }
}

function aligned(position: number): number {
  return Math.ceil(position / alignment) * alignment
}

/** The two tensors that a quantized one becomes, as [out, in], which MatMulNBits takes. */
function levelsAndScales(tensor: Tensor, name: NBits): Tensor[] {
  const { levels, scales } = nbits[name]
  const layout = { ...tensor.layout, transposed: false }
  return [
    { ...tensor, layout, dtype: levels, storedName: `${tensor.storedName}.${levels}` },
    { ...tensor, layout, dtype: scales, storedName: `${tensor.storedName}.scales` },
  ]
}

/** The levels go by the tensor's name; what is told of it is told of them. */
function keyOf({ name, dtype, storedName }: Tensor): string {
  return isScale(dtype) ? storedName : name
}

function graphWeights(tensors: readonly Tensor[]): Map<string, GraphWeight | QuantizedWeight> {
  const scales = new Map(
    tensors.filter(({ dtype }) => isScale(dtype)).map((tensor) => [tensor.name, tensor]),
  )
  return new Map(
    tensors
      .filter(({ dtype }) => !isScale(dtype))
      .map((tensor) => {
        const beside = scales.get(tensor.name)
        return [tensor.name, beside ? quantizedWeight(tensor, beside) : graphWeight(tensor)]
      }),
  )
}

function quantizedWeight(levels: Tensor, scales: Tensor): QuantizedWeight {
  return {
    bits: levels.dtype === 'q4' ? 4 : 8,
    block: dtypes[levels.dtype].block,
    shape: levels.shape,
    levels: { name: levels.storedName, data: placeOf(levels) },
    scales: { name: scales.storedName, data: placeOf(scales) },
  }
}

function placeOf({ name, parts }: Tensor): ExternalData {
  const extent = parts[0]?.extents[0]
  if (extent === undefined) throw new Error(`${name} has no place`)
  const { path, offset, length } = extent
  return { location: path.slice(folder.length + 1), offset, length }
}

function graphWeight(tensor: Tensor): GraphWeight {
  const { dtype, shape, layout } = tensor
  return {
    dtype: heldAs(dtype),
    shape,
    transposed: layout.transposed,
    data: placeOf(tensor),
  }
}

/** The graph that it takes by itself, and the cache's type where it is not f32. */
const webTypes = {
  f32: {},
  f16: { dtype: 'fp16', kv_cache_dtype: { fp16: 'float16' } },
  q8: { dtype: 'q8' },
  q4: { dtype: 'q4' },
  q4f16: { dtype: 'q4f16', kv_cache_dtype: { q4f16: 'float16' } },
} satisfies Record<keyof typeof suffixes, JsonObject>

/** What transformers.js wants to know: how many files the weights are in, and the cache's type. */
function webConfig(
  graph: string,
  kind: keyof typeof suffixes,
  files: number,
): ModelConfig['other'] {
  return {
    'transformers.js_config': {
      ...webTypes[kind],
      use_external_data_format: { [graph]: files },
    },
  }
}

function bfloatNotes(rounded: readonly Tensor[]): string[] {
  if (rounded.length === 0) return []
  return [
    `${rounded.length} tensors of bf16 are written as f16, which ONNX Runtime can compute in: values beyond ±65504 are refused, those below 6e-8 become zero (\`dtype\` f32 keeps all)`,
  ]
}
