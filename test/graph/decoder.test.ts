import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { configDefaults, type ModelConfig } from '../../src/checkpoint/config.js'
import { decoderModel, type GraphWeight } from '../../src/graph/decoder.js'
import { equalBytes } from '../support/bytes.js'
import { fails } from '../support/errors.js'

const test = suite('decoder graph')

const base: ModelConfig = {
  ...configDefaults,
  vocab_size: 8,
  hidden_size: 4,
  intermediate_size: 6,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 2,
}

const shapes: Record<string, number[]> = {
  'model.embed_tokens.weight': [8, 4],
  'model.norm.weight': [4],
  'model.layers.0.input_layernorm.weight': [4],
  'model.layers.0.post_attention_layernorm.weight': [4],
  'model.layers.0.self_attn.q_proj.weight': [4, 4],
  'model.layers.0.self_attn.k_proj.weight': [2, 4],
  'model.layers.0.self_attn.v_proj.weight': [2, 4],
  'model.layers.0.self_attn.o_proj.weight': [4, 4],
  'model.layers.0.mlp.gate_proj.weight': [6, 4],
  'model.layers.0.mlp.up_proj.weight': [6, 4],
  'model.layers.0.mlp.down_proj.weight': [4, 6],
}

function graph(change: Partial<ModelConfig> = {}): Uint8Array {
  const weights = Object.entries(shapes).map(([name, shape]): [string, GraphWeight] => [
    name,
    { dtype: 'f32', shape, transposed: false, data: 'input' },
  ])
  return decoderModel({
    config: { ...base, ...change },
    path: 'model',
    weights: new Map(weights),
    compute: 'f32',
    rotary: 'half',
    producer: { name: 'test', version: '1' },
  })
}

test('a sliding window is one in a Mistral, and in a LLaMA a field without meaning', () => {
  equalBytes(graph({ other: { sliding_window: 4 } }), graph(), 'LLaMA')
  const mistral = Buffer.from(graph({ model_type: 'mistral', sliding_window: 4 }))
  assert.ok(mistral.includes('mask.in_window'))
  assert.not.ok(Buffer.from(graph({ model_type: 'mistral' })).includes('mask.in_window'))
})

for (const [scaling, ...told] of [
  [{ rope_type: 'su', factor: 2 }, '"su" is not supported'],
  [{ rope_type: 'linear', factor: 0 }, 'factor 0', 'positive'],
  [{ rope_type: 'llama3', factor: 2, low_freq_factor: 'one' }, 'low_freq_factor "one"'],
] as const) {
  test(`the rotary scaling ${JSON.stringify(scaling)} is refused, and it is said of which model`, async () => {
    const error = await fails(async () => graph({ rope_scaling: scaling }), 'input', ...told)
    assert.is(error.path, 'model')
    assert.ok(error.suggestions.length > 0)
  })
}

test.run()
