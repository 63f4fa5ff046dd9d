import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  configDefaults,
  configDocument,
  configFromHf,
  configToHf,
  generationConfigToHf,
  type ModelConfig,
} from '../../src/checkpoint/config.js'
import { presets } from '../../src/checkpoint/presets.js'
import { formatExactJson } from '../../src/io/exact-json.js'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../src/io/json.js'
import { fails } from '../support/errors.js'
import { fixture, shared } from '../support/paths.js'

const test = suite('checkpoint: config')

/** As transformers 4 writes it. */
const four: JsonObject = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: 'silu',
  hidden_size: 256,
  initializer_range: 0.01,
  intermediate_size: 512,
  max_position_embeddings: 1024,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 8,
  num_hidden_layers: 2,
  num_key_value_heads: 2,
  pad_token_id: 0,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 500000,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  transformers_version: '4.46.0',
  use_cache: true,
  vocab_size: 512,
}

const read = (json: JsonObject) => configFromHf(json, 'config.json')

test('transformers 4: every field', () => {
  const config = read(four)
  assert.equal(config, {
    model_type: 'llama',
    vocab_size: 512,
    hidden_size: 256,
    intermediate_size: 512,
    num_hidden_layers: 2,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    max_position_embeddings: 1024,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    rope_scaling: null,
    tie_word_embeddings: false,
    bos_token_id: 1,
    eos_token_id: 2,
    pad_token_id: 0,
    initializer_range: 0.01,
    sliding_window: null,
    attention_bias: false,
    mlp_bias: false,
    other: {},
  })
})

test('transformers 5: rope_parameters and dtype, as the fixtures have them', () => {
  for (const [model, heads, keyHeads, headDim] of [
    ['tiny-v1', 8, 8, 20],
    ['tiny-v2', 8, 2, 32],
  ] as const) {
    const path = fixture(model, 'config.json')
    const json = parseJsonObject(readFileSync(path), path)
    assert.ok(json.rope_parameters, 'the fixture is of version 5')
    const config = configFromHf(json, path)
    assert.is(config.num_attention_heads, heads)
    assert.is(config.num_key_value_heads, keyHeads)
    assert.is(config.head_dim, headDim)
    assert.is(config.rope_theta, 10000)
    assert.is(config.rope_scaling, null)
    assert.equal(config.other, {})
  }
})

test('transformers 5: rope_parameters has the word over version 4’s fields', () => {
  const { rope_theta: _, ...rest } = four
  const scaled = { rope_type: 'llama3', factor: 8, low_freq_factor: 1 }
  const config = read({ ...rest, rope_parameters: { ...scaled, rope_theta: 1e6 } })
  assert.is(config.rope_theta, 1e6)
  assert.equal(config.rope_scaling, scaled)
  assert.is(read({ ...four, rope_parameters: { rope_type: 'default' } }).rope_theta, 500000)
  assert.equal(read({ ...four, rope_scaling: { type: 'linear', factor: 2 } }).rope_scaling, {
    type: 'linear',
    factor: 2,
  })
})

test('what is left out is left open', () => {
  assert.equal(read({}), { model_type: 'llama', sliding_window: null, other: {} })
  assert.equal(read({ head_dim: null, rms_norm_eps: null }), read({}))
})

test('a token id of -1 is none, and eos may be several', () => {
  assert.is(read({ ...four, pad_token_id: -1 }).pad_token_id, null)
  assert.equal(read({ ...four, eos_token_id: [2, 7] }).eos_token_id, [2, 7])
})

test('another architecture is refused by its name', async () => {
  const others: [JsonObject, string][] = [
    [{ model_type: 'gpt_neox' }, 'gpt_neox'],
    [{ architectures: ['Gemma2ForCausalLM'] }, 'Gemma2ForCausalLM'],
    [{ model_type: 'gemma', architectures: ['GemmaForCausalLM'] }, 'gemma'],
    // Values of files that String() cannot show.
    [{ architectures: [{ toString: null }] }, 'toString'],
    [{ model_type: { toString: null } }, 'toString'],
  ]
  for (const [changed, name] of others) {
    await fails(
      () => read({ ...four, ...changed }),
      'input',
      name,
      'config.json',
      'LlamaForCausalLM',
    )
  }
  // Two words that are both known, and of different models.
  await fails(
    () => read({ ...four, architectures: ['Qwen2ForCausalLM'] }),
    'input',
    'config.json',
    '"llama"',
    'Qwen2ForCausalLM',
  )
  const { model_type: _, ...untyped } = four
  assert.is(read({ ...untyped, architectures: ['Qwen2ForCausalLM'] }).model_type, 'qwen2')
  assert.is(
    read({ ...four, model_type: 'mistral', architectures: ['MistralForCausalLM'] }).model_type,
    'mistral',
  )
})

test('a variation of the architecture is refused with its value', async () => {
  const mistral = { ...four, model_type: 'mistral', architectures: ['MistralForCausalLM'] }
  await fails(() => read({ ...mistral, attention_bias: true }), 'input', 'attention_bias', 'true')
  await fails(() => read({ ...mistral, mlp_bias: true }), 'input', 'mlp_bias')
  await fails(() => read({ ...four, hidden_act: 'gelu' }), 'input', 'hidden_act', 'gelu', 'silu')
  assert.is(read({ ...four, attention_bias: true }).attention_bias, true)
  assert.is(read({ ...four, mlp_bias: true }).mlp_bias, true)
  await fails(() => read({ ...four, mlp_bias: 'no' }), 'input', 'mlp_bias', 'true or false')
})

test('a value of the wrong kind is refused with field and value', async () => {
  for (const [field, value] of [
    ['hidden_size', '256'],
    ['hidden_size', 0],
    ['hidden_size', -256],
    ['num_hidden_layers', 2.5],
    ['vocab_size', 1e300],
    ['vocab_size', []],
    ['head_dim', false],
    ['rms_norm_eps', '1e-6'],
    ['rms_norm_eps', 0],
    ['rope_theta', -1],
    ['tie_word_embeddings', 'no'],
    ['tie_word_embeddings', 1],
    ['rope_scaling', 'linear'],
    ['bos_token_id', 1.5],
    ['bos_token_id', -2],
    ['bos_token_id', [1]],
    ['eos_token_id', [2, 'x']],
    ['eos_token_id', {}],
  ] as const) {
    const json: JsonObject = { ...four, [field]: JSON.parse(JSON.stringify(value)) }
    await fails(() => read(json), 'input', field, 'config.json')
  }
})

const llama: ModelConfig = {
  ...configDefaults,
  vocab_size: 512,
  hidden_size: 256,
  intermediate_size: 512,
  num_hidden_layers: 2,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  head_dim: 32,
  rope_theta: 500000,
  rope_scaling: { rope_type: 'llama3', factor: 8 },
}

test('written for transformers 4 and 5: rotary parameters and dtype by version 4’s names', () => {
  const json = configToHf(llama, 'bf16')
  assert.equal(json.architectures, ['LlamaForCausalLM'])
  assert.is(json.model_type, 'llama')
  assert.is(json.hidden_act, 'silu')
  assert.is(json.torch_dtype, 'bfloat16')
  assert.is(json.rope_theta, 500000)
  assert.equal(json.rope_scaling, { rope_type: 'llama3', factor: 8 })
  assert.is(json.num_key_value_heads, 2)
  assert.is(json.head_dim, 32)
  assert.is(json.tie_word_embeddings, false)
  assert.is(json.attention_bias, false)
  assert.not('rope_parameters' in json)
  assert.is(configToHf(llama, 'f16').torch_dtype, 'float16')
  assert.is(configToHf(llama, 'f32').torch_dtype, 'float32')
})

test('reading what was written gives the same configuration', () => {
  const others: ModelConfig[] = [
    llama,
    { ...llama, model_type: 'mistral', sliding_window: 4096 },
    {
      ...llama,
      tie_word_embeddings: true,
      eos_token_id: [2, 3],
      pad_token_id: 0,
      rope_scaling: null,
    },
    ...presets.values(),
  ]
  for (const config of others) {
    const text = JSON.stringify(configToHf(config, 'f32'))
    const again = configFromHf(JSON.parse(text), 'config.json')
    // A Mistral's configuration has no word of biases that it may have.
    assert.equal({ attention_bias: false, mlp_bias: false, ...again }, config)
  }
})

test('fields that conversion does not depend on are kept, those of a copy of transformers not', () => {
  const config = read({
    ...four,
    sliding_window: 4096,
    _name_or_path: '/home/someone',
    use_cache: false,
  })
  assert.equal(config.other, { sliding_window: 4096, use_cache: false })
  assert.is(configToHf({ ...llama, ...config }, 'f32').use_cache, false)
  assert.is(config.sliding_window, null)
})

test('generation_config.json has the special tokens there are and nothing that samples', () => {
  assert.equal(generationConfigToHf(llama), {
    _from_model_config: true,
    bos_token_id: 1,
    eos_token_id: 2,
  })
  assert.equal(
    generationConfigToHf({ ...llama, pad_token_id: 0, eos_token_id: [2, 3], bos_token_id: null }),
    {
      _from_model_config: true,
      eos_token_id: [2, 3],
      pad_token_id: 0,
    },
  )
})

test('presets: the base models as EasyLM has them', () => {
  // vocab, hidden, intermediate, layers, heads, key-value heads, positions, epsilon, theta
  const table: Record<string, number[]> = {
    llama_1b: [32000, 2048, 5504, 22, 16, 16, 2048, 1e-6, 10000],
    llama_3b: [32000, 3200, 8640, 26, 32, 32, 2048, 1e-6, 10000],
    llama_7b: [32000, 4096, 11008, 32, 32, 32, 2048, 1e-6, 10000],
    llama_13b: [32000, 5120, 13824, 40, 40, 40, 2048, 1e-6, 10000],
    llama_30b: [32000, 6656, 17920, 60, 52, 52, 2048, 1e-6, 10000],
    llama_65b: [32000, 8192, 22016, 80, 64, 64, 2048, 1e-5, 10000],
    llama2_7b: [32000, 4096, 11008, 32, 32, 32, 4096, 1e-5, 10000],
    llama2_13b: [32000, 5120, 13824, 40, 40, 40, 4096, 1e-5, 10000],
    llama2_70b: [32000, 8192, 28672, 80, 64, 8, 4096, 1e-5, 10000],
    llama3_8b: [128256, 4096, 14336, 32, 32, 8, 8192, 1e-5, 500000],
    llama3_70b: [128256, 8192, 28672, 80, 64, 8, 8192, 1e-5, 500000],
  }
  for (const [name, expected] of Object.entries(table)) {
    const preset = presets.get(name)
    assert.ok(preset, name)
    assert.equal(geometryOf(preset), expected, name)
    assert.is(preset.head_dim * preset.num_attention_heads, preset.hidden_size, name)
  }
})

test('presets: the OpenLLaMA releases are as their own files say', () => {
  const path = shared('the presets equal the releases’ data', 'data', 'openllama.json')
  if (path === undefined) return
  const { models } = parseJsonObject(readFileSync(path), path)
  assert.ok(isJsonObject(models))
  assert.ok(Object.keys(models).length >= 6)
  for (const [name, model] of Object.entries(models)) {
    const preset = presets.get(name)
    assert.ok(preset, name)
    assert.ok(isJsonObject(model) && isJsonObject(model.geometry), name)
    assert.equal(pick(preset, Object.keys(model.geometry)), model.geometry, name)
  }
})

test('a list of tokens: what says "none" is no token', () => {
  const ids = (eos_token_id: number[]) => configFromHf({ ...four, eos_token_id }, 'x').eos_token_id
  assert.equal(ids([2, -1, 7]), [2, 7])
  assert.is(ids([-1]), null)
})

test('where no source spells it, the factor of a scaling is a float, as Python wants it', () => {
  const scaled = { ...llama, rope_scaling: { rope_type: 'linear', factor: 8 } }
  assert.match(formatExactJson(configDocument(scaled, 'f32', undefined)), /"factor": 8\.0\n/)
})

test('the first conversions of LLaMA call the context max_sequence_length', () => {
  const positions = (fields: JsonObject) =>
    configFromHf({ ...four, max_position_embeddings: null, ...fields }, 'x').max_position_embeddings
  assert.is(positions({ max_sequence_length: 256 }), 256)
  assert.is(positions({ max_sequence_length: 256, max_position_embeddings: 512 }), 512)
  assert.is(positions({}), undefined)
})

test('the dropout that a model is trained with is kept', () => {
  const values = configFromHf({ ...four, attention_dropout: 0.1 }, 'x')
  const [[, preset] = []] = presets
  assert.ok(preset)
  assert.is(configToHf({ ...preset, ...values }, 'f32').attention_dropout, 0.1)
  assert.is(configToHf(preset, 'f32').attention_dropout, 0)
})

test.run()

function pick(config: ModelConfig, fields: readonly string[]): object {
  return Object.fromEntries(Object.entries(config).filter(([field]) => fields.includes(field)))
}

function geometryOf(config: ModelConfig): number[] {
  return [
    config.vocab_size,
    config.hidden_size,
    config.intermediate_size,
    config.num_hidden_layers,
    config.num_attention_heads,
    config.num_key_value_heads,
    config.max_position_embeddings,
    config.rms_norm_eps,
    config.rope_theta,
  ]
}
