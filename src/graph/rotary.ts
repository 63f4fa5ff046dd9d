import type { LlamaConfig } from '../checkpoint/config.js'
import { inputError } from '../io/errors.js'

/**
 * The angle, in radians, by which each pair of a head's rows is turned from one
 * position to the next, with the scaling that the configuration asks for.
 * @returns head_dim / 2 values, rounded to f32 where transformers rounds them
 * @param path the checkpoint, for errors
 * @throws input error for a scaling that is not known, by its name
 */
export function rotaryFrequencies(config: LlamaConfig, path: string): Float32Array<ArrayBuffer> {
  const { head_dim, rope_theta, rope_scaling } = config
  const frequencies = new Float32Array(head_dim / 2)
  for (let i = 0; i < frequencies.length; i++) {
    frequencies[i] = 1 / Math.fround(rope_theta ** Math.fround((2 * i) / head_dim))
  }
  if (rope_scaling === null) return frequencies
  const type = rope_scaling.rope_type ?? rope_scaling.type
  const parameter = (name: string): number => {
    const value = rope_scaling[name]
    if (typeof value === 'number' && value > 0) return value
    throw inputError(
      `rope_scaling has ${name} ${JSON.stringify(value) ?? 'not at all'}, a positive number is expected`,
      { path, suggestions: ['Compare config.json with that of the original release.'] },
    )
  }
  switch (type) {
    case 'linear': {
      const factor = parameter('factor')
      return frequencies.map((frequency) => frequency / factor)
    }
    case 'llama3':
      return llama3(frequencies, {
        factor: parameter('factor'),
        low: parameter('low_freq_factor'),
        high: parameter('high_freq_factor'),
        context: parameter('original_max_position_embeddings'),
      })
    default:
      throw inputError(`the rotary scaling ${JSON.stringify(type)} is not supported`, {
        path,
        suggestions: ['Supported are linear and llama3.'],
      })
  }
}

/**
 * LLaMA 3.1's scaling (meta-llama/llama-models, apply_scaling): what turns often within the
 * original context stays, what turns less than `low` times is slowed down by `factor`, and
 * between the two the way from one to the other is even.
 */
function llama3(
  frequencies: Float32Array<ArrayBuffer>,
  { factor, low, high, context }: Record<'factor' | 'low' | 'high' | 'context', number>,
): Float32Array<ArrayBuffer> {
  return frequencies.map((frequency) => {
    const turns = (context * frequency) / (2 * Math.PI)
    if (turns > high) return frequency
    if (turns < low) return frequency / factor
    const share = (turns - low) / (high - low)
    return (1 - share) * (frequency / factor) + share * frequency
  })
}
