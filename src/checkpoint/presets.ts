import type { ModelConfig } from './config.js'
import { configDefaults } from './config.js'

type Size = Pick<
  ModelConfig,
  | 'hidden_size'
  | 'intermediate_size'
  | 'num_hidden_layers'
  | 'num_attention_heads'
  | 'num_key_value_heads'
>

const size1b = size(2048, 5504, 22, 16)
const size3b = size(3200, 8640, 26, 32)
const size7b = size(4096, 11008, 32, 32)
const size8b = size(4096, 14336, 32, 32, 8)
const size13b = size(5120, 13824, 40, 40)
const size30b = size(6656, 17920, 60, 52)
const size65b = size(8192, 22016, 80, 64)
const size70b = size(8192, 28672, 80, 64, 8)

const openLlama = { pad_token_id: 0 }
const llama2 = { max_position_embeddings: 4096, rms_norm_eps: 1e-5 }
const llama3 = {
  vocab_size: 128256,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  bos_token_id: 128000,
  eos_token_id: 128001,
}

/**
 * Named geometries: the OpenLLaMA releases, and the base models as EasyLM has
 * them. Where several have the same shapes, the first here is what the shapes
 * alone are taken for: the OpenLLaMA release.
 */
export const presets: ReadonlyMap<string, ModelConfig> = new Map([
  ['open_llama_3b', preset(size3b, openLlama)],
  ['open_llama_7b', preset(size7b, openLlama)],
  ['open_llama_13b', preset(size13b, openLlama)],
  ['open_llama_3b_v2', preset(size3b, openLlama)],
  ['open_llama_7b_v2', preset(size7b, openLlama)],
  ['open_llama_3b_v3', preset(size3b, openLlama)],
  ['llama_1b', preset(size1b)],
  ['llama_3b', preset(size3b)],
  ['llama_7b', preset(size7b)],
  ['llama_13b', preset(size13b)],
  ['llama_30b', preset(size30b)],
  ['llama_65b', preset(size65b, { rms_norm_eps: 1e-5 })],
  ['llama2_7b', preset(size7b, llama2)],
  ['llama2_13b', preset(size13b, llama2)],
  ['llama2_70b', preset(size70b, llama2)],
  ['llama3_8b', preset(size8b, llama3)],
  ['llama3_70b', preset(size70b, llama3)],
])

function size(
  hidden_size: number,
  intermediate_size: number,
  num_hidden_layers: number,
  num_attention_heads: number,
  num_key_value_heads = num_attention_heads,
): Size {
  return {
    hidden_size,
    intermediate_size,
    num_hidden_layers,
    num_attention_heads,
    num_key_value_heads,
  }
}

function preset(size: Size, differences: Partial<ModelConfig> = {}): ModelConfig {
  return {
    ...configDefaults,
    vocab_size: 32000,
    head_dim: size.hidden_size / size.num_attention_heads,
    ...size,
    ...differences,
  }
}
