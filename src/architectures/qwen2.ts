import type { Architecture } from './architecture.js'
import { biases, fusedInGguf, decoder as of } from './roles.js'

/** Qwen2 and 2.5: queries, keys and values have biases; pairs lie in halves in GGUF too. */
export const qwen2 = {
  name: 'qwen2',
  title: 'Qwen2',
  class: 'Qwen2ForCausalLM',
  otherClasses: ['Qwen2Model'],
  config: {
    switches: [],
    // With it, the layers from `max_window_layers` on would attend to a window.
    only: { hidden_act: 'silu', use_sliding_window: false },
    window: 'never',
    usual: { attention_dropout: 0, use_cache: true },
    headDim: 'unusual',
    defaults: { max_position_embeddings: 32768, bos_token_id: null, eos_token_id: null },
    constants: {},
  },
  roles: [
    of.embedding,
    ...[of.query, biases.query('always')],
    ...[of.key, biases.key('always')],
    ...[of.value, biases.value('always')],
    ...[of.output, of.gate, of.up, of.down],
    ...[of.inputNorm, of.postNorm],
    ...[of.lastNorm, of.head],
  ],
  rotary: { hf: 'half', gguf: 'half' },
  bindings: { gguf: fusedInGguf },
  block: { headNorm: false },
  gguf: { name: 'qwen2', factors: false, headDim: false, sizes: false },
  genai: 'qwen2',
} as const satisfies Architecture
