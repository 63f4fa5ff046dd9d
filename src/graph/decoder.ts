import { architectureOf } from '../architectures/index.js'
import { embeddingName, headName } from '../architectures/roles.js'
import type { ModelConfig } from '../checkpoint/config.js'
import type { Float } from '../types/dtype.js'
import {
  addConstant,
  addInput,
  addNode,
  addNodeOf,
  addOutput,
  addValueInfo,
  addWeight,
  type ElementType,
  type ExternalData,
  elementTypes,
  encodeModel,
  type GraphBuilder,
  startGraph,
} from './model.js'
import { rotaryAngles } from './rotary.js'

/** A weight as it lies in some file: the graph takes the layout as it comes. */
export interface GraphWeight {
  dtype: Float
  /** Hugging Face's shape: [out, in], or [n]. */
  shape: readonly number[]
  /** Stored as [in, out]. */
  transposed: boolean
  /** Where its bytes are, or that they are given to every run, as an input of the weight's name. */
  data: ExternalData | 'input'
}

/** A quantized matrix: levels without sign, whose zero is the middle one, and scales of blocks. */
export interface QuantizedWeight {
  bits: 4 | 8
  /** Elements of a row that share a scale. */
  block: number
  /** Hugging Face's shape, [out, in], in which it is stored too. */
  shape: readonly number[]
  levels: StoredPart
  /** Of the type that is computed in. */
  scales: StoredPart
}

interface StoredPart {
  name: string
  data: ExternalData
}

export interface DecoderOptions {
  config: ModelConfig
  /** The checkpoint, for errors. */
  path: string
  /** By Hugging Face's names. Without an output head, the embedding serves as one. */
  weights: ReadonlyMap<string, GraphWeight | QuantizedWeight>
  /** The type that is computed in, and that the cache has. Logits are f32. */
  compute: 'f32' | 'f16'
  /** The order of the rows that rotary embedding pairs up. */
  rotary: 'half' | 'interleaved'
  /** Give out what is behind the embedding and behind each layer too, as `hidden.0` and so on. */
  hiddenStates?: boolean
  producer: { name: string; version: string }
}

/** RMSNormalization, RotaryEmbedding and Attention came with it. */
const opset = 23

/**
 * A LLaMA decoder with a key-value cache, in standard operators.
 *
 * Inputs: `input_ids` [batch, sequence], `attention_mask` [batch, past + sequence],
 * `position_ids` [batch, sequence], `past_key_values.{i}.key` and `.value`
 * [batch, kv_heads, past, head_dim]. Outputs: `logits` [batch, sequence, vocab] and
 * `present.{i}.key`, `.value`. The names are optimum's, which transformers.js expects.
 * @returns the bytes of the model; weights are referred to, not contained
 */
export function decoderModel(options: DecoderOptions): Uint8Array {
  const { config, compute, producer } = options
  const builder = startGraph('decoder')
  const decoder = { builder, ...options, once: onlyOnce() }
  const cache = (length: string) => [
    'batch_size',
    config.num_key_value_heads,
    length,
    config.head_dim,
  ]

  addInput(builder, 'input_ids', 'i64', ['batch_size', 'sequence_length'])
  addInput(builder, 'attention_mask', 'i64', ['batch_size', 'total_sequence_length'])
  addInput(builder, 'position_ids', 'i64', ['batch_size', 'sequence_length'])
  addOutput(builder, 'logits', 'f32', ['batch_size', 'sequence_length', config.vocab_size])
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    for (const kind of ['key', 'value']) {
      const past = cache('past_sequence_length')
      addInput(builder, `past_key_values.${layer}.${kind}`, compute, past)
      addOutput(builder, `present.${layer}.${kind}`, compute, cache('total_sequence_length'))
    }
  }

  const angles = rotaryAngles(decoder)
  const mask = attentionMask(decoder)
  let hidden = embed(decoder)
  showHidden(decoder, hidden, 0)
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const path = `model.layers.${layer}`
    const before = norm(decoder, hidden, `${path}.input_layernorm`)
    const attended = attention(decoder, before, layer, angles, mask)
    hidden = addNode(builder, 'Add', `${path}.attention_residual`, [hidden, attended])
    const between = norm(decoder, hidden, `${path}.post_attention_layernorm`)
    const fed = feedForward(decoder, between, `${path}.mlp`)
    hidden = addNode(builder, 'Add', `${path}.mlp_residual`, [hidden, fed])
    showHidden(decoder, hidden, layer + 1)
  }
  head(decoder, norm(decoder, hidden, 'model.norm'))
  return encodeModel(builder, { opset, producer })
}

interface Decoder extends DecoderOptions {
  builder: GraphBuilder
  /** Adds what several nodes use, under a name, where it is first used. */
  once(name: string, add: (name: string) => unknown): string
}

function showHidden(decoder: Decoder, hidden: string, depth: number): void {
  const { builder, config, compute, hiddenStates } = decoder
  if (!hiddenStates) return
  const name = addNode(builder, 'Identity', `hidden.${depth}`, [hidden])
  addOutput(builder, name, compute, ['batch_size', 'sequence_length', config.hidden_size])
}

/** Looks up the tokens' rows, and casts those alone, not the whole table. */
function embed(decoder: Decoder): string {
  const { builder, compute, weights } = decoder
  const table = weights.get(embeddingName)
  if (table && isQuantized(table)) return embedQuantized(decoder, table)
  const { dtype } = stored(decoder, embeddingName)
  const rows = addNode(builder, 'Gather', 'model.embed_tokens', [embeddingName, 'input_ids'])
  return dtype === compute ? rows : castTo(decoder, rows, 'model.embed_tokens.cast', compute)
}

/** Looks up rows of levels and makes values of those alone. */
function embedQuantized(decoder: Decoder, table: QuantizedWeight): string {
  const { builder, config, compute } = decoder
  const { bits, block, levels, shape } = table
  const [rows = 0, columns = 0] = shape
  const name = 'model.embed_tokens'
  // MatMulNBits may have the same bytes under their own name, in its own shape.
  const bytes = `${levels.name}.rows`
  addWeight(builder, bytes, 'u8', [rows, (columns * bits) / 8], levels.data)
  addNode(
    builder,
    'com.microsoft.GatherBlockQuantized',
    name,
    [bytes, 'input_ids', addScales(decoder, table)],
    { bits, block_size: block, gather_axis: 0, quantize_axis: 1 },
  )
  addValueInfo(builder, name, compute, ['batch_size', 'sequence_length', config.hidden_size])
  return name
}

/** The sum of squares is taken in f32 whatever the type, as transformers does. */
function norm(decoder: Decoder, hidden: string, path: string): string {
  const { builder, config } = decoder
  return addNode(builder, 'RMSNormalization', path, [hidden, weight(decoder, `${path}.weight`)], {
    axis: -1,
    epsilon: { float: config.rms_norm_eps },
    stash_type: 1,
  })
}

function attention(
  decoder: Decoder,
  hidden: string,
  layer: number,
  angles: { cos: string; sin: string },
  mask: string,
): string {
  const { builder, config, rotary } = decoder
  const path = `model.layers.${layer}.self_attn`
  const { headNorm } = architectureOf(config).block
  const turned = (projection: string, norm: string, heads: number) => {
    const rows = linear(decoder, hidden, `${path}.${projection}`)
    const normed = headNorm ? normOfHeads(decoder, rows, `${path}.${norm}`, heads) : rows
    return addNode(
      builder,
      'RotaryEmbedding',
      `${path}.${projection}.rotary`,
      [normed, angles.cos, angles.sin],
      { interleaved: rotary === 'interleaved' ? 1 : 0, num_heads: heads },
    )
  }
  const query = turned('q_proj', 'q_norm', config.num_attention_heads)
  const key = turned('k_proj', 'k_norm', config.num_key_value_heads)
  const value = linear(decoder, hidden, `${path}.v_proj`)
  const past = `past_key_values.${layer}`
  addNodeOf(
    builder,
    'Attention',
    `${path}.attention`,
    [query, key, value, mask, `${past}.key`, `${past}.value`],
    [`${path}.attention`, `present.${layer}.key`, `present.${layer}.value`],
    {
      q_num_heads: config.num_attention_heads,
      kv_num_heads: config.num_key_value_heads,
      softmax_precision: 1,
    },
  )
  return linear(decoder, `${path}.attention`, `${path}.o_proj`)
}

/** The norm of each head's rows by itself, of [batch, sequence, heads × head_dim]. */
function normOfHeads(decoder: Decoder, rows: string, path: string, heads: number): string {
  const { builder, config, compute, once } = decoder
  const apart = once(`heads_${heads}`, (name) =>
    addConstant(builder, name, BigInt64Array.of(0n, 0n, BigInt(heads), BigInt(config.head_dim))),
  )
  const split = addNode(builder, 'Reshape', `${path}.heads`, [rows, apart])
  const width = heads * config.head_dim
  const name = addNode(builder, 'Reshape', `${path}.rows`, [
    norm(decoder, split, path),
    sequenceShape(decoder, width),
  ])
  addValueInfo(builder, name, compute, ['batch_size', 'sequence_length', width])
  return name
}

function feedForward(decoder: Decoder, hidden: string, path: string): string {
  const { builder } = decoder
  const gate = linear(decoder, hidden, `${path}.gate_proj`)
  const up = linear(decoder, hidden, `${path}.up_proj`)
  const sigmoid = addNode(builder, 'Sigmoid', `${path}.sigmoid`, [gate])
  const silu = addNode(builder, 'Mul', `${path}.silu`, [gate, sigmoid])
  const inner = addNode(builder, 'Mul', `${path}.inner`, [silu, up])
  return linear(decoder, inner, `${path}.down_proj`)
}

function head(decoder: Decoder, hidden: string): void {
  const { weights, compute } = decoder
  const name = weights.has(headName) ? headName : embeddingName
  const logits = compute === 'f32' ? 'logits' : 'lm_head.logits'
  product(decoder, hidden, 'lm_head', name, logits)
  if (compute !== 'f32') castTo(decoder, logits, 'logits', 'f32')
}

/**
 * Who may attend to whom, as booleans [batch, 1, sequence, total]: to real tokens that are not
 * ahead and, where the model has a sliding window, not too far back. Padding attends to itself:
 * a row without any would be NaN, and NaN × 0 from there would reach the others.
 */
function attentionMask(decoder: Decoder): string {
  const { builder, config } = decoder
  const constant = (name: string, value: bigint, shape?: number[]) =>
    addConstant(builder, `mask.${name}`, BigInt64Array.of(value), shape)
  const zero = constant('zero', 0n, [])
  const one = constant('one', 1n, [])
  const axis1 = constant('axis_1', 1n)
  const axis2 = constant('axis_2', 2n)
  const node = (op: string, name: string, inputs: string[], attributes = {}) =>
    addNode(builder, op, `mask.${name}`, inputs, attributes)

  const total = node('Gather', 'total', [node('Shape', 'mask_shape', ['attention_mask']), one])
  const sequence = node('Gather', 'sequence', [node('Shape', 'ids_shape', ['input_ids']), one])
  const past = node('Sub', 'past', [total, sequence])
  const keys = node('Range', 'keys', [zero, total, one])
  const queries = node('Unsqueeze', 'queries', [node('Range', 'rows', [past, total, one]), axis1])
  const notAhead = node('LessOrEqual', 'not_ahead', [keys, queries])
  const itself = node('Equal', 'itself', [keys, queries])
  const given = node('Greater', 'given', ['attention_mask', zero])
  const rows = node('Unsqueeze', 'real', [node('Unsqueeze', 'real_row', [given, axis1]), axis2])
  const reachable = config.sliding_window
  const near =
    reachable === null
      ? notAhead
      : node('And', 'near', [
          notAhead,
          node('Greater', 'in_window', [
            keys,
            node('Sub', 'window_start', [queries, constant('window', BigInt(reachable), [])]),
          ]),
        ])
  return node('And', 'allowed', [near, node('Or', 'worth_attending', [rows, itself])])
}

/** A projection, with its bias where it has one. */
function linear(decoder: Decoder, input: string, path: string): string {
  const bias = `${path}.bias`
  if (!decoder.weights.has(bias)) return product(decoder, input, path, `${path}.weight`, path)
  const turned = `${path}.product`
  product(decoder, input, turned, `${path}.weight`, turned)
  return addNode(decoder.builder, 'Add', path, [turned, weight(decoder, bias)])
}

/**
 * A matrix product with a weight. MatMul takes one that is stored [in, out] and needs no cast. Gemm
 * takes the others as they lie, but wants its input flat. It is Gemm for all that are cast, because
 * ONNX Runtime orders a node's inputs by age: the cast has to be older than the other one, or it is
 * run before all layers below, and the casts of all layers are in memory at once.
 */
function product(
  decoder: Decoder,
  input: string,
  path: string,
  weightName: string,
  output: string,
): string {
  const { builder, compute, weights } = decoder
  const quantized = weights.get(weightName)
  if (quantized && isQuantized(quantized)) {
    return quantizedProduct(decoder, input, path, quantized, output)
  }
  const { transposed, shape, dtype } = stored(decoder, weightName)
  const matrix = weight(decoder, weightName)
  if (transposed && dtype === compute) {
    addNodeOf(builder, 'MatMul', path, [input, matrix], [output])
    return output
  }
  const [rows = 0] = shape
  const flat = addNode(builder, 'Flatten', `${path}.flat`, [input], { axis: 2 })
  const result = addNode(builder, 'Gemm', `${path}.gemm`, [flat, matrix], {
    transB: transposed ? 0 : 1,
  })
  addNodeOf(builder, 'Reshape', path, [result, sequenceShape(decoder, rows)], [output])
  addValueInfo(builder, output, compute, ['batch_size', 'sequence_length', rows])
  return output
}

/**
 * A matrix product with a quantized weight. Without `accuracy_level` products are those of the
 * activations as they are: with it some machines would round these to 8 bits, and others not.
 */
function quantizedProduct(
  decoder: Decoder,
  input: string,
  path: string,
  weight: QuantizedWeight,
  output: string,
): string {
  const { builder, compute, once } = decoder
  const { bits, block, levels, shape } = weight
  const [rows = 0, columns = 0] = shape
  const matrix = once(levels.name, (name) =>
    addWeight(builder, name, 'u8', [rows, columns / block, (block * bits) / 8], levels.data),
  )
  addNodeOf(
    builder,
    'com.microsoft.MatMulNBits',
    path,
    [input, matrix, addScales(decoder, weight)],
    [output],
    { K: columns, N: rows, bits, block_size: block },
  )
  if (output !== 'logits') {
    addValueInfo(builder, output, compute, ['batch_size', 'sequence_length', rows])
  }
  return output
}

function addScales(
  { builder, compute, once }: Decoder,
  { shape, block, scales: { name, data } }: QuantizedWeight,
): string {
  const [rows = 0, columns = 0] = shape
  return once(name, () => addWeight(builder, name, compute, [rows, columns / block], data))
}

function isQuantized(weight: GraphWeight | QuantizedWeight): weight is QuantizedWeight {
  return 'levels' in weight
}

/** The shape [batch, sequence, width]: the width is said, since shape inference needs it. */
function sequenceShape({ builder, once }: Decoder, width: number): string {
  return once(`sequence_of_${width}`, (name) => {
    const ids = once('batch_and_sequence', (shape) =>
      addNode(builder, 'Shape', shape, ['input_ids']),
    )
    const last = addConstant(builder, `width_${width}`, BigInt64Array.of(BigInt(width)))
    addNode(builder, 'Concat', name, [ids, last], { axis: 0 })
  })
}

/** A weight as the graph refers to it: added where it is first used. */
function stored({ builder, weights, once }: Decoder, name: string): GraphWeight {
  const found = weights.get(name)
  if (found === undefined || isQuantized(found)) {
    throw new Error(`the decoder has no weight ${name} that is not quantized`)
  }
  const { dtype, shape, transposed, data } = found
  const storedShape = transposed ? [...shape].reverse() : shape
  once(name, () =>
    data === 'input'
      ? addInput(builder, name, dtype, storedShape)
      : addWeight(builder, name, dtype, storedShape, data),
  )
  return found
}

/** A weight in the type that is computed in. */
function weight(decoder: Decoder, name: string): string {
  const { compute, once } = decoder
  const { dtype } = stored(decoder, name)
  if (dtype === compute) return name
  return once(`${name}.cast`, (cast) => castTo(decoder, name, cast, compute))
}

function castTo({ builder }: Decoder, input: string, output: string, type: ElementType): string {
  return addNode(builder, 'Cast', output, [input], { to: elementTypes[type] })
}

/** Runs `add` for a name the first time only. */
function onlyOnce(): Decoder['once'] {
  const known = new Set<string>()
  return (name, add) => {
    if (!known.has(name)) add(name)
    known.add(name)
    return name
  }
}
