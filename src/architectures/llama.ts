import type { Architecture } from './architecture.js'
import { biases, fusedInGguf, llamaDecoder as of } from './roles.js'

/** LLaMA 1 to 3, OpenLLaMA, and all that call themselves so. */
export const llama = {
  name: 'llama',
  title: 'LLaMA',
  class: 'LlamaForCausalLM',
  otherClasses: ['LLaMAForCausalLM', 'LlamaModel'],
  config: {
    switches: ['attention_bias', 'mlp_bias'],
    only: { hidden_act: 'silu' },
    // To transformers the field means nothing in a LLaMA, though some configurations have it.
    window: 'never',
    usual: { attention_dropout: 0, pretraining_tp: 1, use_cache: true },
    headDim: 'always',
    defaults: {},
    constants: {},
  },
  roles: [
    of.embedding,
    ...[of.query, biases.query('attention_bias')],
    ...[of.key, biases.key('attention_bias')],
    ...[of.value, biases.value('attention_bias')],
    ...[of.output, biases.output('attention_bias')],
    ...[of.gate, biases.gate('mlp_bias')],
    ...[of.up, biases.up('mlp_bias')],
    ...[of.down, biases.down('mlp_bias')],
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
  bindings: { gguf: fusedInGguf },
  block: { headNorm: false },
  gguf: { name: 'llama', factors: true, headDim: true, sizes: true },
  genai: 'llama',
} as const satisfies Architecture
