import { llama } from '../../src/architectures/llama.js'
import type { Listing, StoredArray } from '../../src/checkpoint/checkpoint.js'
import type { ModelConfig } from '../../src/checkpoint/config.js'
import { easylmShape, type Model, tensorsOf } from './llama.js'

/**
 * What a reader would find in the files of a model: names and shapes of `naming`, no weights.
 * @param edit changes an array, or leaves it out where it gives undefined
 */
export function listingOf(
  model: Model,
  naming: 'hf' | 'easylm' | 'meta' = 'easylm',
  edit: (array: StoredArray) => StoredArray | undefined = (array) => array,
): Listing {
  const arrays = tensorsOf(model).flatMap((tensor) => {
    const shape = naming === 'easylm' ? easylmShape(tensor) : tensor.shape
    return edit({ name: tensor[naming], dtype: 'f32', shape, parts: [] }) ?? []
  })
  const format = naming === 'easylm' ? 'easylm' : naming === 'hf' ? 'safetensors' : 'meta'
  return { format, path: 'weights', naming, files: [], arrays, notes: [] }
}

/** The configuration of a model, as its config.json has it. */
export function configOf(model: Model): Partial<ModelConfig> {
  return {
    model_type: 'llama',
    vocab_size: model.vocab,
    hidden_size: model.hidden,
    intermediate_size: model.intermediate,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.kvHeads,
    head_dim: model.headDim,
    tie_word_embeddings: model.tied ?? false,
  }
}

/** The same as a file. */
export function configJson(model: Model): string {
  return JSON.stringify({ architectures: [llama.class], ...configOf(model) })
}
