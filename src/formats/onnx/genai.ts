import { architectureOf } from '../../architectures/index.js'
import type { ModelConfig } from '../../checkpoint/config.js'
import type { JsonObject } from '../../io/json.js'

/**
 * onnxruntime-genai's genai_config.json for a decoder with optimum's names.
 * @param generation what generation_config.json says: where to stop, and how to sample
 * @param graph path of the graph, from the folder of the configuration
 */
export function genaiConfig(
  config: ModelConfig,
  generation: JsonObject,
  graph: string,
): JsonObject {
  const eos = generation.eos_token_id ?? config.eos_token_id ?? 2
  const samples = generation.do_sample === true
  const number = (field: string, otherwise: number) => {
    const value = generation[field]
    return typeof value === 'number' ? value : otherwise
  }
  return {
    model: {
      type: architectureOf(config).genai,
      bos_token_id: generation.bos_token_id ?? config.bos_token_id ?? 1,
      eos_token_id: eos,
      // It wants a padding token; where the model has none, its end of text serves.
      pad_token_id: generation.pad_token_id ?? config.pad_token_id ?? [eos].flat()[0] ?? 0,
      context_length: config.max_position_embeddings,
      vocab_size: config.vocab_size,
      decoder: {
        session_options: { log_id: 'onnxruntime-genai', provider_options: [] },
        filename: graph,
        head_size: config.head_dim,
        hidden_size: config.hidden_size,
        num_attention_heads: config.num_attention_heads,
        num_hidden_layers: config.num_hidden_layers,
        num_key_value_heads: config.num_key_value_heads,
        inputs: {
          input_ids: 'input_ids',
          attention_mask: 'attention_mask',
          position_ids: 'position_ids',
          past_key_names: 'past_key_values.%d.key',
          past_value_names: 'past_key_values.%d.value',
        },
        outputs: {
          logits: 'logits',
          present_key_names: 'present.%d.key',
          present_value_names: 'present.%d.value',
        },
      },
    },
    search: {
      do_sample: samples,
      max_length: config.max_position_embeddings,
      min_length: 0,
      num_beams: 1,
      num_return_sequences: 1,
      // The cache comes back longer than it went in: the two cannot be one buffer.
      past_present_share_buffer: false,
      repetition_penalty: number('repetition_penalty', 1),
      // Without sampling the likeliest token is taken; with it, transformers looks at 50.
      temperature: samples ? number('temperature', 1) : 1,
      top_k: samples ? number('top_k', 50) : 1,
      top_p: samples ? number('top_p', 1) : 1,
    },
  }
}
