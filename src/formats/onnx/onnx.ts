import { basename, dirname } from 'node:path'
import { windowedArchitecture } from '../../architectures/index.js'
import type { Listing } from '../../checkpoint/checkpoint.js'
import type { ModelConfig } from '../../checkpoint/config.js'
import { type GraphFacts, thetaOf } from '../../checkpoint/graph-facts.js'
import { inputError } from '../../io/errors.js'
import { openFile } from '../../io/source.js'
import { isFolder, join, listFolder } from '../../io/store.js'
import { nbitsNames } from '../../quantize/nbits.js'
import type { Format } from '../format.js'
import type { OnnxFile } from './file.js'

/**
 * ONNX: a graph, and its weights in it or in files beside it. Its messages take a tenth of a second
 * to load, which only those wait for who use them.
 */
export const onnx: Format = {
  name: 'onnx',
  title: 'ONNX',
  traits: {
    short: 'ONNX',
    engine: 'onnxruntime',
    graph: true,
    standalone: true,
    tokenizer: 'beside',
    metadata: false,
    library: 'transformers.js',
    tags: ['onnx', 'transformers.js'],
    rank: 4,
    tagRank: 2,
  },
  options: ['maxShardSize', 'onnxTarget', 'keepTokenizer'],
  quantized: { types: nbitsNames, options: ['allowRequantize', 'strict'] },

  // A ModelProto: ir_version first, then a field that a model has.
  detect: (head) =>
    head[0] === 0x08 &&
    (head[1] ?? 0) > 2 &&
    (head[1] ?? 0) < 0x20 &&
    modelFields.has(head[2] ?? 0),

  detectDirectory(entries) {
    return entries.includes(folder) ? folder : entries.find((name) => name === 'model.onnx')
  },

  homeOf(path) {
    const inside = path.endsWith('.onnx') ? dirname(path) : path
    return basename(inside) === folder ? dirname(inside) : inside
  },

  async open(given) {
    const { walkOnnx } = await import('./file.js')
    const path = await graphAt(given)
    const source = await openFile(path)
    try {
      return await listGraph(await walkOnnx(source), path)
    } finally {
      await source.close()
    }
  },

  async describe(checkpoint, options) {
    return (await import('./target.js')).describeOnnx(checkpoint, options)
  },
}

/** What a graph that was walked comes to as a checkpoint. */
export async function listGraph(file: OnnxFile, path: string): Promise<Listing> {
  const { weightsOf } = await import('./weights.js')
  const { graphFacts } = await import('./facts.js')
  const facts = await graphFacts(file)
  const config = configOfFacts(facts)
  return {
    format: 'onnx',
    path,
    naming: 'hf',
    files: file.files,
    arrays: weightsOf(file, path),
    ...(config === undefined
      ? { notes: [] }
      : { config: { values: config, from: 'its graph' }, notes: [fromGraph] }),
    facts,
  }
}

/** A configuration for a graph that has none beside it, where it says all that is computed with. */
function configOfFacts(facts: GraphFacts): Partial<ModelConfig> | undefined {
  const { rms_norm_eps, num_attention_heads, rotary } = facts
  const [frequencies, ...others] = rotary?.frequencies ?? []
  const theta = frequencies && thetaOf(frequencies, 2 * frequencies.length)
  const plain = others.length === 0 && (rotary?.attention ?? 1) === 1
  if (
    !(rms_norm_eps !== undefined && rms_norm_eps > 0) ||
    num_attention_heads === undefined ||
    !plain
  )
    return undefined
  if (theta === undefined) return undefined
  return {
    rms_norm_eps: Number(rms_norm_eps.toPrecision(7)),
    num_attention_heads,
    rope_theta: theta,
    ...(facts.sliding_window == null
      ? {}
      : { model_type: windowedArchitecture, sliding_window: facts.sliding_window }),
  }
}

const fromGraph =
  'epsilon, heads and rotary base are known of its graph; the graph does not say how long a context may be, nor the special tokens: where no config.json says them, those of LLaMA are assumed'

/** Where transformers.js and optimum keep graphs, below configuration and tokenizer. */
export const folder = 'onnx'

/** Tags of producer_name, producer_version, domain, model_version, graph and opset_import. */
const modelFields = new Set([0x12, 0x1a, 0x22, 0x28, 0x3a, 0x42])

/** The graph that a path names, or that is in the folder that it names. */
export async function graphAt(path: string): Promise<string> {
  return (await isFolder(path)) ? graphIn(path) : path
}

/** The graph of a folder: f32 before f16, and only where there is no doubt. */
async function graphIn(path: string): Promise<string> {
  const graphs = (await listFolder(path)).filter((name) => name.endsWith('.onnx')).sort()
  const preferred = ['model.onnx', 'model_fp16.onnx'].find((name) => graphs.includes(name))
  const chosen = preferred ?? (graphs.length === 1 ? graphs[0] : undefined)
  if (chosen !== undefined) return join(path, chosen)
  throw inputError(
    graphs.length === 0
      ? 'no .onnx file is in it'
      : `${graphs.length} graphs are in it: ${graphs.join(', ')}`,
    { format: 'onnx', path, suggestions: ['Name one of them.'] },
  )
}
