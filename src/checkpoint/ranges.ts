import { inputError } from '../io/errors.js'
import type { ModelConfig } from './config.js'

/** What every runtime and every format has for sizes: 32 bits with a sign. */
const mostCount = 2 ** 31 - 1

const counts = [
  'vocab_size',
  'hidden_size',
  'intermediate_size',
  'num_hidden_layers',
  'num_attention_heads',
  'num_key_value_heads',
  'head_dim',
  'max_position_embeddings',
] as const

/** What is computed with in f32, in which it must be neither 0 nor infinite. */
const reals = ['rms_norm_eps', 'rope_theta'] as const

/**
 * Refuses numbers that no runtime can compute with and that not every format can hold.
 * @param from where they are from, for the error
 */
export function checkRanges(config: ModelConfig, from: string): void {
  const refuse = (field: string, value: number, expected: string) =>
    inputError(`${field} is ${value} in ${from}, ${expected}`, {
      suggestions: ['Mend it, or give another configuration with `config`.'],
    })
  for (const field of counts) {
    const value = config[field]
    if (!Number.isInteger(value) || value < 1 || value > mostCount) {
      throw refuse(field, value, `a whole number from 1 to ${mostCount} is expected`)
    }
  }
  for (const field of reals) {
    const value = config[field]
    const single = Math.fround(value)
    if (!(single > 0 && Number.isFinite(single))) {
      throw refuse(field, value, 'a number above 0 that f32 holds is expected')
    }
  }
}
