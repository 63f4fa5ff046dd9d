import { inputError } from '../io/errors.js'
import { isJsonObject, type Json, type JsonObject } from '../io/json.js'
import type { ModelConfig } from './config.js'

/**
 * Rotary embedding with its long-context scaling, computed as transformers 5 does
 * (modeling_rope_utils): everything that a configuration's fields come to.
 */
export interface RotaryAngles {
  /** The angle, in radians, by which each pair of a head's rows is turned a position; head_dim / 2. */
  frequencies: Float32Array<ArrayBuffer>
  /** Cosines and sines are multiplied by it. */
  attention: number
  /** Texts of more tokens than `length` are turned by these, from their first token on (longrope). */
  beyond?: { length: number; frequencies: Float32Array<ArrayBuffer> }
  /** Texts of more tokens than `length` have a base that grows with them (dynamic). */
  growing?: { length: number; factor: number }
}

export type RotaryConfig = Pick<
  ModelConfig,
  'head_dim' | 'rope_theta' | 'rope_scaling' | 'max_position_embeddings' | 'other'
>

const { fround } = Math

const rotaryTypes = ['linear', 'dynamic', 'yarn', 'longrope', 'llama3'] as const

/** What YaRN's authors suggest, and transformers takes where a configuration says nothing. */
const yarnDefaults = { beta_fast: 32, beta_slow: 1 }

/** What LLaMA 3.1 has, and llama.cpp's converter takes where a configuration says nothing. */
export const llama3Defaults = { factor: 8, low_freq_factor: 1, high_freq_factor: 4 }

/** A scaling's type, which older files call `type`. */
export function scalingType(scaling: JsonObject | null): Json | undefined {
  return scaling === null ? undefined : (scaling.rope_type ?? scaling.type)
}

/** The context that a model had before it was scaled, by the first field that says it. */
export function originalContext({
  rope_scaling,
  max_position_embeddings,
  other,
}: RotaryConfig): number {
  const own = [rope_scaling?.original_max_position_embeddings, other[originalField]]
  return own.find((value) => typeof value === 'number') ?? max_position_embeddings
}

/** Beside the scaling, where transformers 4 reads it of longrope, and transformers 5 of all. */
export const originalField = 'original_max_position_embeddings'

/**
 * What a configuration's rotary fields come to, rounded to f32 where transformers rounds.
 * @param path the checkpoint, for errors
 * @throws input error for a scaling that is not known, by its name, and for values that are none
 */
export function rotaryOf(config: RotaryConfig, path: string): RotaryAngles {
  const rotary = computed(config, path)
  const { frequencies, attention, beyond } = rotary
  const all = [...frequencies, ...(beyond?.frequencies ?? [])]
  const wrong = all.find((value) => !(value > 0 && value < Infinity))
  if (wrong === undefined && Number.isFinite(attention)) return rotary
  throw inputError(
    `rope_theta ${config.rope_theta} and rope_scaling ${JSON.stringify(config.rope_scaling).slice(0, 300)} give ${wrong === undefined ? `the attention factor ${attention}` : `a rotary frequency of ${wrong}`}`,
    { path, suggestions: ['Compare config.json with that of the original release.'] },
  )
}

function computed(config: RotaryConfig, path: string): RotaryAngles {
  const { head_dim, rope_theta, rope_scaling } = config
  const plain = plainFrequencies(rope_theta, head_dim)
  if (rope_scaling === null) return { frequencies: plain, attention: 1 }
  const field = fieldsOf(rope_scaling, path)
  const type = scalingType(rope_scaling)
  switch (type) {
    case 'linear': {
      const factor = field.positive('factor')
      return { frequencies: plain.map((frequency) => frequency / factor), attention: 1 }
    }
    case 'dynamic':
      return {
        frequencies: plain,
        attention: 1,
        growing: { length: config.max_position_embeddings, factor: field.positive('factor') },
      }
    case 'llama3':
      return { frequencies: llama3(plain, config, field), attention: 1 }
    case 'yarn':
      return yarn(config, field)
    case 'longrope':
      return longrope(config, field)
    default:
      throw inputError(`the rotary scaling ${JSON.stringify(type)} is not supported`, {
        path,
        suggestions: [`Supported are ${rotaryTypes.join(', ')}.`],
      })
  }
}

/** Whether two turn everything alike, within what f32 rounds. */
export function sameRotary(a: RotaryAngles, b: RotaryAngles): boolean {
  return (
    isClose(a.attention, b.attention) &&
    areClose(a.frequencies, b.frequencies) &&
    a.growing?.length === b.growing?.length &&
    isClose(a.growing?.factor ?? 0, b.growing?.factor ?? 0) &&
    a.beyond?.length === b.beyond?.length &&
    areClose(a.beyond?.frequencies ?? [], b.beyond?.frequencies ?? [])
  )
}

/** Of the relative size: what was read back from f32 factors differs by some 1e-6. */
const closeness = 1e-5

function isClose(a: number, b: number): boolean {
  return Math.abs(a - b) <= closeness * Math.abs(b)
}

function areClose(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  return a.length === b.length && Array.from(a).every((value, i) => isClose(value, b[i] ?? 0))
}

/** Without any scaling: theta^(-2i / head_dim). */
export function plainFrequencies(theta: number, headDim: number): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length: headDim / 2 },
    (_, i) => 1 / fround(theta ** fround((2 * i) / headDim)),
  )
}

/** The fields of a scaling; null is as good as absent. */
interface Fields {
  positive(name: string, byDefault?: number): number
  optional(name: string): number | undefined
  list(name: string, length: number): number[]
  isFalse(name: string): boolean
}

function fieldsOf(scaling: JsonObject, path: string): Fields {
  const wrong = (name: string, expected: string) =>
    inputError(
      `rope_scaling has ${name} ${JSON.stringify(scaling[name])?.slice(0, 80) ?? 'not at all'}, ${expected} is expected`,
      { path, suggestions: ['Compare config.json with that of the original release.'] },
    )
  const optional = (name: string): number | undefined => {
    const value = scaling[name] ?? undefined
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isFinite(value)) return value
    throw wrong(name, 'a number')
  }
  return {
    optional,
    positive(name, byDefault) {
      const value = scaling[name] ?? byDefault
      if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value
      throw wrong(name, 'a positive number')
    },
    list(name, length) {
      const values = scaling[name]
      const numbers = Array.isArray(values)
        ? values.filter((value) => typeof value === 'number' && value > 0 && Number.isFinite(value))
        : []
      if (Array.isArray(values) && values.length === length && numbers.length === length) {
        return numbers.map(Number)
      }
      const found = Array.isArray(values) ? `${values.length} values` : JSON.stringify(values)
      throw inputError(
        `rope_scaling has ${name} ${found ?? 'not at all'}, ${length} positive numbers are expected, one a frequency`,
        { path },
      )
    },
    isFalse: (name) => scaling[name] === false,
  }
}

/**
 * LLaMA 3.1's scaling (meta-llama/llama-models, apply_scaling): what turns often within the
 * original context stays, what turns less than `low` times is slowed down by `factor`, and
 * between the two the way from one to the other is even.
 */
function llama3(
  frequencies: Float32Array<ArrayBuffer>,
  config: RotaryConfig,
  { positive }: Fields,
): Float32Array<ArrayBuffer> {
  const factor = positive('factor', llama3Defaults.factor)
  const low = positive('low_freq_factor', llama3Defaults.low_freq_factor)
  const high = positive('high_freq_factor', llama3Defaults.high_freq_factor)
  const context = originalContext(config)
  return frequencies.map((frequency) => {
    const turns = (context * frequency) / (2 * Math.PI)
    if (turns < low) return frequency / factor
    if (turns > high) return frequency
    const share = (turns - low) / (high - low)
    return (1 - share) * (frequency / factor) + share * frequency
  })
}

/** A ramp over the pairs: 0 up to `low`, 1 from `high` on. */
export interface YarnRamp {
  low: number
  high: number
}

/** Where YaRN's ramp begins and ends, by the turns that a pair makes in the original context. */
export function yarnRamp(config: RotaryConfig, path: string): YarnRamp {
  const { head_dim, rope_theta, rope_scaling } = config
  const field = fieldsOf(rope_scaling ?? {}, path)
  const context = originalContext(config)
  const pairOf = (turns: number) =>
    (head_dim * Math.log(context / (turns * 2 * Math.PI))) / (2 * Math.log(rope_theta))
  // transformers takes a 0 for nothing said.
  const fast = pairOf(field.optional('beta_fast') || yarnDefaults.beta_fast)
  const slow = pairOf(field.optional('beta_slow') || yarnDefaults.beta_slow)
  const whole = !field.isFalse('truncate')
  return {
    low: Math.max(whole ? Math.floor(fast) : fast, 0),
    high: Math.min(whole ? Math.ceil(slow) : slow, head_dim - 1),
  }
}

/** What YaRN multiplies cosines and sines by where no configuration says otherwise. */
export function yarnAttention(factor: number, scale = 1): number {
  return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1
}

export function yarnFactor(config: RotaryConfig, path: string): number {
  const field = fieldsOf(config.rope_scaling ?? {}, path)
  return field.positive('factor', config.max_position_embeddings / originalContext(config))
}

function yarn(config: RotaryConfig, field: Fields): RotaryAngles {
  const factor = yarnFactor(config, '')
  const { low, high } = yarnRamp(config, '')
  const frequencies = plainFrequencies(config.rope_theta, config.head_dim)
  const width = low === high ? 0.001 : high - low
  const mscale = field.optional('mscale')
  const all = field.optional('mscale_all_dim')
  return {
    attention:
      field.optional('attention_factor') ??
      (mscale && all
        ? yarnAttention(factor, mscale) / yarnAttention(factor, all)
        : yarnAttention(factor)),
    frequencies: frequencies.map((frequency, i) => {
      const slowed = Math.min(Math.max(fround((i - low) / width), 0), 1)
      return (frequency / factor) * slowed + frequency * (1 - slowed)
    }),
  }
}

function longrope(config: RotaryConfig, field: Fields): RotaryAngles {
  const { head_dim, rope_theta, max_position_embeddings } = config
  const length = originalContext(config)
  const factor = field.positive('factor', max_position_embeddings / length)
  const plain = plainFrequencies(rope_theta, head_dim)
  const divided = (name: string) => {
    const factors = field.list(name, head_dim / 2)
    return plain.map((frequency, i) => frequency / fround(factors[i] ?? 1))
  }
  const attention =
    field.optional('attention_factor') ??
    (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(length)))
  const frequencies = divided('short_factor')
  const long = divided('long_factor')
  return areClose(frequencies, long)
    ? { frequencies, attention }
    : { frequencies, attention, beyond: { length, frequencies: long } }
}

/** Whether a value is a scaling of another kind than none. */
export function isScaling(value: Json | undefined): value is JsonObject {
  return isJsonObject(value) && (scalingType(value) ?? 'default') !== 'default'
}
