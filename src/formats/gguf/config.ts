import { architectureOf, architectureOfGguf, architectures } from '../../architectures/index.js'
import {
  configDefaults,
  dropUndefined,
  type ModelConfig,
  saysHeadDim,
} from '../../checkpoint/config.js'
import type { ConfigSource } from '../../checkpoint/geometry.js'
import type { MetadataEntry, MetadataLookup } from '../../checkpoint/metadata.js'
import { inputError } from '../../io/errors.js'
import { type GgufRope, shortest } from './rope.js'
import { type RopeFactors, scalingOfGguf } from './rope-read.js'

/**
 * Reads the configuration from a file's metadata. What it leaves out is left out.
 * @param hasOutput whether the output head is in the file; else the embedding is it
 * @param factors of the frequencies of rotary embedding, which are tensors
 * @throws input error for another architecture, by its name, and for variants of this one
 */
export function configFromMetadata(
  metadata: MetadataLookup,
  path: string,
  hasOutput: boolean,
  factors: RopeFactors,
): { config: ConfigSource; notes: string[] } {
  const where = { format: 'gguf', path }
  const named = metadata.text('general.architecture')
  const model_type = architectureOfGguf(named)
  if (model_type === undefined || named === undefined) {
    throw inputError(
      named === undefined
        ? 'its metadata have no general.architecture'
        : `the architecture "${named}" is not supported`,
      { ...where, suggestions: [supported] },
    )
  }
  const count = (name: string) => countOf(metadata, `${named}.${name}`, path)
  if ((count('expert_count') ?? 0) > 0) {
    throw inputError(`it is a mixture of ${count('expert_count')} experts`, {
      ...where,
      suggestions: ['Only dense models are supported.'],
    })
  }
  const heads = count('attention.head_count')
  const hidden = count('embedding_length')
  const headDim =
    count('attention.key_length') ??
    (heads !== undefined && hidden !== undefined ? hidden / heads : undefined)
  for (const name of ['attention.value_length', 'rope.dimension_count']) {
    const size = count(name)
    if (size !== undefined && headDim !== undefined && size !== headDim) {
      throw inputError(`${named}.${name} is ${size}, the heads have ${headDim} rows`, {
        ...where,
        suggestions: ['Only heads that are rotated as a whole are supported.'],
      })
    }
  }
  const theta = metadata.number(`${named}.rope.freq_base`)
  const epsilon = metadata.number(`${named}.attention.layer_norm_rms_epsilon`)
  const [own] = factors.values()
  const rope_theta = theta === undefined ? configDefaults.rope_theta : shortest(theta)
  const base = {
    rope_theta,
    head_dim: count('rope.dimension_count') ?? headDim ?? 2 * (own?.length ?? 0),
    max_position_embeddings: count('context_length') ?? configDefaults.max_position_embeddings,
  }
  const { scaling, notes } = scalingOfGguf(metadata, factors, { ...base, model_type }, path)
  const values: Partial<ModelConfig> = {
    model_type,
    rope_theta,
    rope_scaling: scaling,
    tie_word_embeddings: !hasOutput,
  }
  const optional = {
    vocab_size: count('vocab_size'),
    hidden_size: hidden,
    intermediate_size: count('feed_forward_length'),
    num_hidden_layers: count('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: count('attention.head_count_kv'),
    head_dim: count('attention.key_length'),
    max_position_embeddings: count('context_length'),
    rms_norm_eps: epsilon === undefined ? undefined : shortest(epsilon),
    bos_token_id: tokenId(metadata, 'bos'),
    eos_token_id: tokenId(metadata, 'eos'),
    pad_token_id: tokenId(metadata, 'padding'),
  }
  return {
    config: { values: { ...values, ...dropUndefined(optional) }, from: 'its metadata' },
    notes,
  }
}

const supported = `Supported are ${[...new Set(architectures.map(({ gguf }) => gguf.name))]
  .map((name) => {
    const titles = architectures.filter(({ gguf }) => gguf.name === name).map(({ title }) => title)
    return `"${name}" (${titles.join(', ')})`
  })
  .join(', ')}.`

/** A size that is the same in all layers. */
function countOf(metadata: MetadataLookup, key: string, path: string): number | undefined {
  const value = metadata.get(key)
  if (value === undefined) return undefined
  const count = metadata.integer(key)
  if (count === undefined || count < 0) {
    const what = typeof value.value === 'object' ? `an array (${value.type})` : String(value.value)
    throw inputError(`${key} is ${what}, a whole number is expected`, {
      format: 'gguf',
      path,
      ...(value.type.endsWith('[]')
        ? { suggestions: ['Models whose layers differ in size are not supported.'] }
        : {}),
    })
  }
  return count
}

/** Old converters write 2^32 - 1 for "none". */
function tokenId(metadata: MetadataLookup, name: string): number | null | undefined {
  const id = metadata.integer(`tokenizer.ggml.${name}_token_id`)
  return id === 0xffffffff ? null : id
}

/**
 * The model's parameters as llama.cpp's converter writes them, in its order.
 * @param fileType llama.cpp's number for the types of the weights, where it has one
 */
export function configEntries(
  config: ModelConfig,
  fileType: number | undefined,
  rope: Pick<GgufRope, 'entries'>,
): MetadataEntry[] {
  const { gguf } = architectureOf(config)
  const count = (name: string, value: number): MetadataEntry => ({
    key: `${gguf.name}.${name}`,
    type: 'uint32',
    value,
  })
  const real = (name: string, value: number): MetadataEntry => ({
    key: `${gguf.name}.${name}`,
    type: 'float32',
    value,
  })
  return [
    count('block_count', config.num_hidden_layers),
    count('context_length', config.max_position_embeddings),
    count('embedding_length', config.hidden_size),
    count('feed_forward_length', config.intermediate_size),
    count('attention.head_count', config.num_attention_heads),
    count('attention.head_count_kv', config.num_key_value_heads),
    ...rope.entries,
    real('rope.freq_base', config.rope_theta),
    real('attention.layer_norm_rms_epsilon', config.rms_norm_eps),
    ...(saysHeadDim(config)
      ? [
          count('attention.key_length', config.head_dim),
          count('attention.value_length', config.head_dim),
        ]
      : []),
    ...(fileType === undefined ? [] : [fileTypeEntry(fileType)]),
    ...(gguf.sizes
      ? [count('vocab_size', config.vocab_size), count('rope.dimension_count', config.head_dim)]
      : []),
    { key: 'general.quantization_version', type: 'uint32', value: 2 },
  ]
}

function fileTypeEntry(value: number): MetadataEntry {
  return { key: 'general.file_type', type: 'uint32', value }
}
