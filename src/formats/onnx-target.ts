import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { LlamaConfig } from '../checkpoint/config.js'
import type { DType } from '../checkpoint/dtype.js'
import { embeddingName } from '../checkpoint/names.js'
import { storedMatrixOf, type Tensor, tensorBytes, wholePart } from '../checkpoint/tensor.js'
import { decoderModel, type GraphWeight } from '../graph/decoder.js'
import { formatBytes } from '../io/units.js'
import { version } from '../version.js'
import type { Target, TargetFile, TargetOptions } from './format.js'
import { hfFiles, jsonFile, literalFile } from './hf-folder.js'
import { genaiConfig } from './onnx-genai.js'
import { splitShards } from './shards.js'
import { outputTensors } from './target.js'

/**
 * Lays out a folder that transformers.js loads: the graph and its weights under onnx/, named by the
 * type that is computed in, configuration and tokenizer above.
 */
export function describeOnnx(checkpoint: Checkpoint, options: TargetOptions): Target {
  const { config } = checkpoint
  const wanted = outputTensors(checkpoint, 'hf', options)
  const rounded = wanted.filter(({ dtype }) => dtype === 'bf16')
  const weights = wanted.map((tensor) => ({
    ...tensor,
    dtype: heldAs(tensor.dtype),
    layout: { ...tensor.layout, transposed: isKernel(tensor) },
  }))
  const compute = weights.some(({ shape, dtype }) => shape.length === 2 && dtype === 'f32')
    ? 'f32'
    : 'f16'
  const graph = `model${suffixes[compute]}.onnx`
  const { files, tensors, notes } = placeWeights(weights, graph, options.maxShardSize ?? maxFile)
  const model = decoderModel({
    config,
    weights: new Map(tensors.map((tensor) => [tensor.name, graphWeight(tensor)])),
    compute,
    rotary: 'half',
    producer: { name: 'openllama', version: version() },
  })
  const forWeb = {
    ...config,
    other: { ...config.other, ...webConfig(graph, compute, files.length) },
  }
  const beside = hfFiles({ ...checkpoint, config: forWeb }, tensors, options)
  const genai =
    options.onnxTarget === 'genai'
      ? [jsonFile('genai_config.json', genaiConfig(config, `${folder}/${graph}`))]
      : []
  return {
    format: 'onnx',
    files: [literalFile(`${folder}/${graph}`, model), ...files, ...beside.files, ...genai],
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    notes: [...bfloatNotes(rounded), ...notes, ...beside.notes],
  }
}

const folder = 'onnx'

/** transformers.js finds a graph by its type. */
const suffixes = { f32: '', f16: '_fp16' } as const

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

function graphWeight({ name, dtype, shape, layout, parts }: Tensor): GraphWeight {
  const extent = parts[0]?.extents[0]
  if (extent === undefined) throw new Error(`${name} has no place`)
  const { path, offset, length } = extent
  const location = path.slice(folder.length + 1)
  return {
    dtype: heldAs(dtype),
    shape,
    transposed: layout.transposed,
    data: { location, offset, length },
  }
}

/** What transformers.js wants to know: how many files the weights are in, and the cache's type. */
function webConfig(graph: string, compute: 'f32' | 'f16', files: number): LlamaConfig['other'] {
  return {
    'transformers.js_config': {
      ...(compute === 'f32' ? {} : { dtype: 'fp16', kv_cache_dtype: { fp16: 'float16' } }),
      use_external_data_format: { [graph]: files },
    },
  }
}

function bfloatNotes(rounded: readonly Tensor[]): string[] {
  if (rounded.length === 0) return []
  return [
    `${rounded.length} tensors of bf16 are written as f16, which ONNX Runtime can compute in: values beyond ±65504 are refused, those below 6e-8 become zero (--dtype f32 keeps all)`,
  ]
}
