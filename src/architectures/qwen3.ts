import type { Architecture } from './architecture.js'
import { qwen2 } from './qwen2.js'
import { biases, headNorms, decoder as of, withoutGguf } from './roles.js'

/** Qwen3's dense models: norms of each head's queries and keys, and heads of any size. */
export const qwen3 = {
  ...qwen2,
  name: 'qwen3',
  title: 'Qwen3',
  class: 'Qwen3ForCausalLM',
  otherClasses: ['Qwen3Model'],
  config: { ...qwen2.config, switches: ['attention_bias'], headDim: 'always' },
  roles: [
    of.embedding,
    ...[of.query, biases.query('attention_bias')],
    ...[of.key, biases.key('attention_bias')],
    ...[of.value, biases.value('attention_bias')],
    // llama.cpp's graph of it has no bias behind attention.
    ...[of.output, withoutGguf(biases.output('attention_bias'))],
    ...[headNorms.query, headNorms.key],
    ...[of.gate, of.up, of.down],
    ...[of.inputNorm, of.postNorm],
    ...[of.lastNorm, of.head],
  ],
  block: { headNorm: true },
  gguf: { name: 'qwen3', factors: false, headDim: true, sizes: false },
  genai: 'qwen3',
} as const satisfies Architecture
