import { architectureOf } from '../../architectures/index.js'
import type { ModelConfig } from '../../checkpoint/config.js'
import type { MetadataEntry } from '../../checkpoint/metadata.js'
import {
  llama3Defaults,
  originalContext,
  plainFrequencies,
  type RotaryAngles,
  rotaryOf,
  sameRotary,
  scalingType,
  yarnAttention,
  yarnFactor,
  yarnRamp,
} from '../../checkpoint/rotary.js'
import type { JsonObject } from '../../io/json.js'
import type { Loss } from '../../record/provenance.js'
import { lossesOf } from '../losses.js'

/**
 * Long-context scaling of rotary embedding, as llama.cpp computes it (llama_context's constructor,
 * ggml's rope_yarn, the tensors that its llama architecture loads). GGUF has linear scaling and YaRN
 * in its metadata, and factors of the frequencies as tensors: of all texts, or of short and long ones.
 */

/** Frequencies are divided by it: LLaMA 3's scaling, and whatever else has one set of them. */
export const factorsName = 'rope_freqs.weight'
/** The same of texts within and beyond the original context. */
export const shortName = 'rope_factors_short.weight'
export const longName = 'rope_factors_long.weight'

/** What the keys of a scaling begin with in an architecture's files. */
export function scalingPrefix(of: Pick<ModelConfig, 'model_type'>): string {
  return `${architectureOf(of).gguf.name}.rope.scaling.`
}

/** Hugging Face's words for a scaling that GGUF holds as bare factors; llama.cpp passes over it. */
export const scalingKey = 'openllama.rope_scaling'

const { fround } = Math

export interface RopeTensor {
  name: string
  values: Float32Array<ArrayBuffer>
}

/** A scaling in GGUF: metadata, tensors, what users should know of it, and what is lost. */
export interface GgufRope {
  entries: MetadataEntry[]
  tensors: RopeTensor[]
  notes: string[]
  losses: Loss[]
}

/** @throws input error for a scaling whose fields are not right */
export function ggufRope(config: ModelConfig, path: string): GgufRope {
  const scaling = config.rope_scaling
  const type = scalingType(scaling)
  const { gguf } = architectureOf(config)
  const known = typeof type === 'string' && ['linear', 'llama3', 'yarn', 'longrope'].includes(type)
  const rotary = known ? rotaryOf(config, path) : undefined
  const native =
    scaling !== null && rotary !== undefined && type === 'yarn'
      ? yarnEntries(config, scaling, rotary, path)
      : undefined
  const able = type === 'linear' || native !== undefined || (known && gguf.factors)
  const losses = lossesOf(config, {
    reader: `GGUF’s ${gguf.name} architecture`,
    window: false,
    scaling: able,
    headDim: gguf.headDim,
  })
  const none: GgufRope = { entries: [], tensors: [], notes: [], losses }
  if (scaling === null || rotary === undefined || !able) return none
  switch (type) {
    case 'linear':
      return {
        ...none,
        entries: [typeEntry(config, 'linear'), real(config, 'factor', Number(scaling.factor))],
      }
    case 'llama3':
      return { ...none, tensors: [{ name: factorsName, values: llama3Factors(config, scaling) }] }
    case 'yarn':
      return { ...none, ...(native ? { entries: native } : asFactors(config, scaling, rotary)) }
    default:
      return { ...none, ...longropeEntries(config, scaling, rotary) }
  }
}

/**
 * LLaMA 3's factors: 1 for short wavelengths, `factor` for long ones, between them in between. Each
 * operation rounds to f32 as it does in torch, so that the bits are the converter's.
 */
export function llama3Factors(
  config: Pick<
    ModelConfig,
    'rope_theta' | 'head_dim' | 'rope_scaling' | 'max_position_embeddings' | 'other'
  >,
  scaling: JsonObject,
): Float32Array<ArrayBuffer> {
  const { rope_theta, head_dim } = config
  const field = (name: keyof typeof llama3Defaults) => {
    const value = scaling[name]
    return typeof value === 'number' ? value : llama3Defaults[name]
  }
  const factor = field('factor')
  const low = field('low_freq_factor')
  const high = field('high_freq_factor')
  const context = originalContext({ ...config, rope_scaling: scaling })
  return Float32Array.from({ length: head_dim / 2 }, (_, i) => {
    const frequency = fround(1 / fround(rope_theta ** fround((2 * i) / head_dim)))
    // torch divides a number by a tensor by way of the reciprocal.
    const wavelength = fround(fround(1 / frequency) * fround(2 * Math.PI))
    if (wavelength > context / low) return factor
    if (wavelength < context / high) return 1
    const turns = fround(fround(1 / wavelength) * context)
    const smooth = fround(fround(turns - low) / (high - low))
    return fround(1 / fround(fround(fround(1 - smooth) / factor) + smooth))
  })
}

/** YaRN's fields that the metadata have words for: Hugging Face's names, and GGUF's. */
export const yarnFields = [
  ['extrapolation_factor', 'yarn_ext_factor'],
  ['attention_factor', 'yarn_attn_factor'],
  ['beta_fast', 'yarn_beta_fast'],
  ['beta_slow', 'yarn_beta_slow'],
] as const

/**
 * The metadata of YaRN where llama.cpp computes the same from them. Of the llama architecture it reads
 * type, factor, original context and attn_factor; the yarn_ keys, which its converter writes, it does
 * not read, and takes their defaults.
 */
function yarnEntries(
  config: ModelConfig,
  scaling: JsonObject,
  rotary: RotaryAngles,
  path: string,
): MetadataEntry[] | undefined {
  const factor = yarnFactor(config, path)
  if (!sameRotary(llamaYarn(config, factor, rotary.attention, path), rotary)) return undefined
  const original =
    scaling.original_max_position_embeddings ?? config.other.original_max_position_embeddings
  const attention = rotary.attention / yarnAttention(factor)
  const usual = Math.abs(attention - 1) < 1e-9
  return [
    typeEntry(config, 'yarn'),
    real(config, 'factor', factor),
    ...(typeof original === 'number' ? [originalEntry(config, original)] : []),
    // Before it multiplies by this, llama.cpp has what YaRN's authors suggest.
    ...(usual ? [] : [real(config, 'attn_factor', attention)]),
    ...yarnFields.flatMap(([field, name]) => {
      const value = scaling[field]
      return typeof value === 'number' ? [real(config, name, value)] : []
    }),
  ]
}

/** YaRN as ggml has it: a ramp with whole ends, of the authors' turns, that is never turned around. */
function llamaYarn(
  config: ModelConfig,
  factor: number,
  attention: number,
  path: string,
): RotaryAngles {
  const { rope_scaling, rope_theta, head_dim } = config
  const {
    beta_fast: _,
    beta_slow: __,
    truncate: ___,
    ...authors
  } = rope_scaling ?? { beta_fast: null, beta_slow: null, truncate: null }
  const { low, high } = yarnRamp({ ...config, rope_scaling: authors }, path)
  return {
    attention,
    frequencies: plainFrequencies(rope_theta, head_dim).map((frequency, i) => {
      const slowed = Math.min(Math.max((i - low) / Math.max(0.001, high - low), 0), 1)
      return (frequency / factor) * slowed + frequency * (1 - slowed)
    }),
  }
}

/** Any one set of frequencies: as factors, with the attention factor, and in words for who reads it back. */
function asFactors(
  config: ModelConfig,
  scaling: JsonObject,
  { attention, frequencies }: RotaryAngles,
): Pick<GgufRope, 'entries' | 'tensors' | 'notes'> {
  const { rope_theta, head_dim, max_position_embeddings } = config
  const values = factorsOf(plainFrequencies(rope_theta, head_dim), frequencies)
  const whole = { original_max_position_embeddings: max_position_embeddings, ...scaling }
  return {
    entries: [
      ...(attention === 1 ? [] : [real(config, 'attn_factor', attention)]),
      { key: scalingKey, type: 'string', value: JSON.stringify(whole) },
    ],
    tensors: [{ name: factorsName, values }],
    notes: [
      `llama.cpp’s own YaRN knows none of these constants: ${factorsName} holds what they come to, and ${scalingKey} the constants`,
    ],
  }
}

function longropeEntries(
  config: ModelConfig,
  scaling: JsonObject,
  { attention, frequencies, beyond }: RotaryAngles,
): Pick<GgufRope, 'entries' | 'tensors' | 'notes'> {
  const plain = plainFrequencies(config.rope_theta, config.head_dim)
  const context = originalContext(config)
  const short = listed(scaling.short_factor) ?? factorsOf(plain, frequencies)
  const long = listed(scaling.long_factor) ?? factorsOf(plain, beyond?.frequencies ?? frequencies)
  return {
    entries: [
      typeEntry(config, 'longrope'),
      originalEntry(config, context),
      ...(attention === 1 ? [] : [real(config, 'attn_factor', attention)]),
    ],
    tensors: [
      { name: longName, values: long },
      { name: shortName, values: short },
    ],
    notes:
      beyond === undefined
        ? []
        : [
            `longrope has one set of frequencies for texts of up to ${context} tokens, and another for longer ones, from their first token on: llama.cpp chooses by the context that it is started with, transformers by each text, so of a text of up to ${context} tokens the two compute the same only where llama.cpp’s context is no larger`,
          ],
  }
}

function listed(value: unknown): Float32Array<ArrayBuffer> | undefined {
  return Array.isArray(value) ? Float32Array.from(value, Number) : undefined
}

function factorsOf(
  plain: Float32Array<ArrayBuffer>,
  wanted: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  return plain.map((frequency, i) => frequency / (wanted[i] ?? frequency))
}

function typeEntry(config: ModelConfig, value: string): MetadataEntry {
  return { key: `${scalingPrefix(config)}type`, type: 'string', value }
}

function originalEntry(config: ModelConfig, value: number): MetadataEntry {
  return { key: `${scalingPrefix(config)}original_context_length`, type: 'uint32', value }
}

function real(config: ModelConfig, name: string, value: number): MetadataEntry {
  return { key: `${scalingPrefix(config)}${name}`, type: 'float32', value }
}

/** The shortest decimal number that rounds to the same f32: 1e-6, and not 9.999999974752427e-7. */
export function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (fround(short) === fround(value)) return short
  }
  return value
}
