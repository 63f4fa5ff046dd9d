import { TensorProto_DataType } from 'onnx-buf'
import type { Checkpoint, SourceFile } from '../checkpoint/checkpoint.js'
import { defaultsOf, type ModelConfig } from '../checkpoint/config.js'
import type { ConfigSource } from '../checkpoint/geometry.js'
import { listParts } from '../formats/gguf/gguf.js'
import { opaqueCheckpoint, opaqueIn } from '../formats/gguf/opaque.js'
import { readParts } from '../formats/gguf/split.js'
import { traitsOf } from '../formats/index.js'
import { graphFacts } from '../formats/onnx/facts.js'
import { type OnnxFile, walkOnnx } from '../formats/onnx/file.js'
import { graphAt, onnx as graphs, listGraph } from '../formats/onnx/onnx.js'
import { inputError, OpenLlamaError } from '../io/errors.js'
import { openFile } from '../io/source.js'
import { join, kindOf, listFolder, resolvePath, storeOf } from '../io/store.js'
import type { NBits } from '../quantize/nbits.js'
import type { DType } from '../types/dtype.js'
import { findTokenizer } from './find-tokenizer.js'
import { agreeing, disagreementsOf, givenConfig, type OpenOptions, readSource } from './open.js'
import { findSource, folderOf, parseSource, sourceAt } from './source.js'

/** A checkpoint that is to be run, and not only read. */
export interface Runnable {
  /** Without tensors where they are quantized for ONNX, or in a graph that is not understood. */
  checkpoint: Checkpoint
  /** The ONNX graph that runs it, where it has its own. */
  graph?: string
  /** ONNX's quantized type, of a graph that has one. */
  nbits?: NBits
  /** Of a GGUF whose types are not read here: one of them, and the type that is read and nearest. */
  opaque?: { type: string; like: DType }
}

/**
 * Opens what is to be run. An ONNX graph runs itself, so its weights need not be understood:
 * a configuration beside it is enough.
 */
export async function openRunnable(given: string, options: OpenOptions = {}): Promise<Runnable> {
  const source = await findSource(await bringHere(given, options))
  const { path, folder, format, cache } = source
  if (format.traits.engine === 'llama.cpp') {
    const parts = await cache.within(() => readParts(path))
    const opaque = opaqueIn(parts, path)
    const runs =
      opaque && opaqueCheckpoint(opaque, await findTokenizer(folder, options.tokenizer, cache))
    if (runs !== undefined) return runs
    const list = () => listParts(parts, path)
    return { checkpoint: agreeing(await readSource(source, options, list)) }
  }
  if (!format.traits.graph) return { checkpoint: agreeing(await readSource(source, options)) }
  const graph = await graphAt(path)
  const file = await cache.within(() => openFile(graph))
  try {
    const onnx = await walkOnnx(file)
    const nbits = typeOf(onnx)
    const opened =
      nbits === undefined
        ? await orRefused(() => readSource(source, options, () => listGraph(onnx, graph)))
        : undefined
    if (opened !== undefined && !(opened instanceof OpenLlamaError)) {
      return { checkpoint: opened, graph }
    }
    const notes =
      opened === undefined
        ? []
        : [`its weights are not understood, it only runs: ${opened.message}`]
    const given = await givenConfig(source, options)
    const config = configOf(given, graph)
    const disagreements = await disagreementsOf(
      await graphFacts(onnx),
      config,
      { folder, path: graph },
      given,
    )
    return {
      checkpoint: {
        format: format.name,
        path: source.given,
        naming: 'hf',
        files: [
          { path: graph, size: file.size },
          ...onnx.files.filter(({ path }) => path !== graph),
        ],
        config,
        tensors: new Map(),
        tokenizer: await findTokenizer(folder, options.tokenizer, cache),
        notes,
        ...(disagreements.length === 0 ? {} : { disagreements }),
      },
      graph,
      ...(nbits === undefined ? {} : { nbits }),
    }
  } finally {
    await file.close()
  }
}

/** A checkpoint of this machine that was read already: an ONNX graph runs itself. */
export function runnableOf(checkpoint: Checkpoint): Runnable {
  const [graph] = checkpoint.files
  if (!traitsOf(checkpoint.format).graph || graph === undefined) return { checkpoint }
  return { checkpoint, graph: graph.path }
}

/** An engine runs what is on this machine: what is elsewhere comes first, as far as it is needed. */
async function bringHere(given: string, options: OpenOptions): Promise<string> {
  const text = parseSource(given)
  const path = await resolvePath(text.path)
  const store = await storeOf(path)
  if (store === undefined) return sourceAt(path, text)
  const source = await findSource(sourceAt(path, text))
  const opened = await orRefused(() => readSource(source, options))
  const weights =
    opened instanceof OpenLlamaError ? await filesIn(source.path) : opened.files.map(pathOf)
  const graph = source.format.traits.graph ? [await graphAt(source.path)] : []
  return sourceAt(await store.bring(path, [...graph, ...weights]), text)
}

function pathOf({ path }: SourceFile): string {
  return path
}

/** What is not understood is needed whole: a file with all that is beside it. */
async function filesIn(path: string): Promise<string[]> {
  const folder = await folderOf(path)
  const paths = (await listFolder(folder)).map((name) => join(folder, name))
  const kinds = await Promise.all(paths.map(kindOf))
  return paths.filter((_, i) => kinds[i] === 'file')
}

async function orRefused(open: () => Promise<Checkpoint>): Promise<Checkpoint | OpenLlamaError> {
  try {
    return await open()
  } catch (error) {
    if (error instanceof OpenLlamaError && error.code === 'input') return error
    throw error
  }
}

/** The quantized type of a graph, by its first product with quantized weights. */
function typeOf({ nodes, initializers }: OnnxFile): NBits | undefined {
  const product = nodes.find(({ opType }) => opType === 'MatMulNBits')
  if (product === undefined) {
    return nodes.some(({ opType }) => integerProducts.has(opType)) ? 'q8' : undefined
  }
  const bits = product.attribute.find(({ name }) => name === 'bits')?.i ?? 4n
  if (bits === 8n) return 'q8'
  const scales = initializers.find(({ name }) => name === product.input[2])
  return scales?.type === TensorProto_DataType.FLOAT16 ? 'q4f16' : 'q4'
}

/** Products of 8 bits as onnxruntime's dynamic quantizer makes them. */
const integerProducts = new Set(['MatMulInteger', 'DynamicQuantizeMatMul', 'QLinearMatMul'])

const needed = [
  'vocab_size',
  'hidden_size',
  'intermediate_size',
  'num_hidden_layers',
  'num_attention_heads',
] as const

function configOf(found: ConfigSource | undefined, path: string): ModelConfig {
  const given = found?.values ?? {}
  const { vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads } =
    given
  if (
    vocab_size === undefined ||
    hidden_size === undefined ||
    intermediate_size === undefined ||
    num_hidden_layers === undefined ||
    num_attention_heads === undefined
  ) {
    const missing = needed.filter((field) => given[field] === undefined)
    throw inputError(`no configuration says its ${missing.join(', ')}`, {
      format: graphs.name,
      path,
      suggestions: ['Put its config.json beside it, or name one with `config`.'],
    })
  }
  return {
    ...defaultsOf(given.model_type),
    head_dim: hidden_size / num_attention_heads,
    num_key_value_heads: num_attention_heads,
    ...given,
    vocab_size,
    hidden_size,
    intermediate_size,
    num_hidden_layers,
    num_attention_heads,
  }
}
