import { readFileSync } from 'node:fs'
import { configDefaults, configFromHf, type ModelConfig } from '../../src/checkpoint/config.js'
import type { JsonObject } from '../../src/io/json.js'
import { fixture } from './paths.js'

/** What transformers computes with a scaling: rope.json, whose script says what its fields are. */
export interface RopeCase {
  max_position_embeddings: number
  rope_theta: number
  rope_scaling: JsonObject
  length: number
  attention: number
  frequencies: [number[], number[]]
  whole: number[][]
  cached: number[][]
}

export const ropeGoldens: {
  ids: number[]
  prefill: number
  positions: number[]
  cases: Record<string, RopeCase>
} = JSON.parse(readFileSync(fixture('graph', 'rope.json'), 'utf8'))

const mistral = JSON.parse(readFileSync(fixture('graph', 'mistral', 'config.json'), 'utf8'))

/** The config.json of a case, as transformers 4 has it. */
export function ropeJson({
  max_position_embeddings,
  rope_theta,
  rope_scaling,
}: Pick<RopeCase, 'max_position_embeddings' | 'rope_theta' | 'rope_scaling'>): JsonObject {
  const { rope_parameters: _, sliding_window: __, ...sizes } = mistral
  return {
    ...sizes,
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    max_position_embeddings,
    rope_theta,
    rope_scaling,
  }
}

/** A case's configuration, of the fixture's sizes. */
export function ropeConfig(
  of: Pick<RopeCase, 'max_position_embeddings' | 'rope_theta' | 'rope_scaling'>,
): ModelConfig {
  const sizes = {
    vocab_size: 40,
    hidden_size: 24,
    intermediate_size: 28,
    num_hidden_layers: 2,
    num_attention_heads: 6,
    num_key_value_heads: 3,
    head_dim: 8,
  }
  return { ...configDefaults, ...sizes, ...configFromHf(ropeJson(of), 'config.json') }
}
