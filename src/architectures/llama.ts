import type { Architecture } from './architecture.js'
import { llamaDecoder as of } from './roles.js'

/** LLaMA 1 to 3, OpenLLaMA, and all that call themselves so. */
export const llama = {
  name: 'llama',
  title: 'LLaMA',
  class: 'LlamaForCausalLM',
  otherClasses: ['LLaMAForCausalLM', 'LlamaModel'],
  config: {
    switches: [],
    only: { hidden_act: 'silu', attention_bias: false, mlp_bias: false },
    // To transformers the field means nothing in a LLaMA, though some configurations have it.
    window: 'never',
    usual: { attention_dropout: 0, pretraining_tp: 1, use_cache: true },
    constants: { attention_bias: false, mlp_bias: false },
  },
  roles: [
    of.embedding,
    ...[of.query, of.key, of.value, of.output, of.gate, of.up, of.down],
    ...[of.inputNorm, of.postNorm],
    ...[of.lastNorm, of.head],
  ],
  rotary: {
    hf: 'half',
    'hf-flax': 'half',
    easylm: 'interleaved',
    meta: 'interleaved',
    gguf: 'interleaved',
  },
  block: { headNorm: false },
  gguf: { name: 'llama', factors: true, dimensionCount: true },
  genai: 'llama',
} as const satisfies Architecture
