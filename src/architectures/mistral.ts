import type { Architecture } from './architecture.js'
import { llama } from './llama.js'

/** Mistral's dense models: LLaMA with a window. GGUF calls them LLaMA, and knows no window. */
export const mistral = {
  ...llama,
  name: 'mistral',
  title: 'Mistral',
  class: 'MistralForCausalLM',
  otherClasses: ['MistralModel'],
  roles: llama.roles.filter(({ presence }) => presence === 'always' || presence === 'untied'),
  config: {
    ...llama.config,
    switches: [],
    only: { hidden_act: 'silu', attention_bias: false, mlp_bias: false },
    // Transformers takes 4096 where a configuration says nothing.
    window: { default: 4096 },
    usual: { attention_dropout: 0, use_cache: true },
    constants: { attention_bias: false },
  },
} as const satisfies Architecture
