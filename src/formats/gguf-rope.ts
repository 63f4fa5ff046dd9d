import type { LlamaConfig } from '../checkpoint/config.js'
import type { MetadataEntry, MetadataLookup } from '../checkpoint/metadata.js'
import { inputError } from '../io/errors.js'
import type { Json, JsonObject } from '../io/json.js'

/**
 * Long-context scaling of rotary embedding. GGUF has linear and YaRN scaling in
 * its metadata, and LLaMA 3's as a tensor of factors, one a frequency.
 */

/** The name of the tensor of LLaMA 3's factors. */
export const factorsName = 'rope_freqs.weight'

const { fround } = Math

/** What LLaMA 3.1 to 3.3 have, and what llama.cpp's converter takes where a config says nothing. */
const llama3Defaults = {
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}

type Rope = Pick<LlamaConfig, 'rope_scaling' | 'rope_theta' | 'head_dim'>

/**
 * LLaMA 3's factors, where a model is scaled so: 1 for short wavelengths, `factor`
 * for long ones, between them in between. Each operation rounds to f32 as it does
 * in torch, so that the bits are the converter's.
 */
export function ropeFactors({
  rope_scaling,
  rope_theta,
  head_dim,
}: Rope): Float32Array | undefined {
  if (typeOf(rope_scaling) !== 'llama3' || rope_scaling === null) return undefined
  const field = (name: keyof typeof llama3Defaults) => {
    const value = rope_scaling[name]
    return typeof value === 'number' ? value : llama3Defaults[name]
  }
  const factor = field('factor')
  const low = field('low_freq_factor')
  const high = field('high_freq_factor')
  const context = field('original_max_position_embeddings')
  return Float32Array.from({ length: head_dim / 2 }, (_, i) => {
    const frequency = fround(1 / fround(rope_theta ** fround((2 * i) / head_dim)))
    // torch divides a number by a tensor by way of the reciprocal.
    const wavelength = fround(fround(1 / frequency) * fround(2 * Math.PI))
    if (wavelength < context / high) return 1
    if (wavelength > context / low) return factor
    const turns = fround(fround(1 / wavelength) * context)
    const smooth = fround(fround(turns - low) / (high - low))
    return fround(1 / fround(fround(fround(1 - smooth) / factor) + smooth))
  })
}

/**
 * The scaling that factors read from a file stand for.
 * @throws input error where they are not LLaMA 3's: without them the model is another
 */
export function scalingOfFactors(
  factors: ArrayLike<number>,
  rope: { rope_theta: number; head_dim: number },
  where: { path: string },
): JsonObject {
  const factor = Array.from(factors).reduce((most, value) => Math.max(most, value), 1)
  const scaling = { rope_type: 'llama3', ...llama3Defaults, factor }
  const expected = ropeFactors({ ...rope, rope_scaling: scaling })
  const equal = expected?.every(
    (value, i) => Math.abs(value - (factors[i] ?? 0)) <= 1e-5 * Math.abs(value),
  )
  if (factors.length !== expected?.length || !equal) {
    throw inputError(
      `its ${factors.length} factors are not those of LLaMA 3's scaling by ${factor}, the only one that is known`,
      { format: 'gguf', tensor: factorsName, ...where },
    )
  }
  return scaling
}

function typeOf(scaling: JsonObject | null): Json | undefined {
  return scaling === null ? undefined : (scaling.rope_type ?? scaling.type)
}

/** YaRN's optional parameters: Hugging Face's names, and GGUF's. */
const yarnFields = [
  ['extrapolation_factor', 'yarn_ext_factor'],
  ['attention_factor', 'yarn_attn_factor'],
  ['beta_fast', 'yarn_beta_fast'],
  ['beta_slow', 'yarn_beta_slow'],
] as const

const prefix = 'llama.rope.scaling.'

/** The metadata of a scaling, and a note where llama.cpp does not know it. */
export function scalingEntries({ rope_scaling }: Rope): {
  entries: MetadataEntry[]
  notes: string[]
} {
  const type = typeOf(rope_scaling)
  if (rope_scaling === null || type === 'llama3') return { entries: [], notes: [] }
  const { factor } = rope_scaling
  if ((type !== 'linear' && type !== 'yarn') || typeof factor !== 'number') {
    return {
      entries: [],
      notes: [
        `GGUF has no way to say the rotary scaling ${JSON.stringify(type)}: llama.cpp runs the model without it, which is right only up to its original context`,
      ],
    }
  }
  const entries: MetadataEntry[] = [
    { key: `${prefix}type`, type: 'string', value: type },
    { key: `${prefix}factor`, type: 'float32', value: factor },
  ]
  if (type === 'linear') return { entries, notes: [] }
  const original = rope_scaling.original_max_position_embeddings
  if (typeof original === 'number') {
    entries.push({ key: `${prefix}original_context_length`, type: 'uint32', value: original })
  }
  for (const [field, name] of yarnFields) {
    const value = rope_scaling[field]
    if (typeof value === 'number') {
      entries.push({ key: prefix + name, type: 'float32', value })
    }
  }
  return { entries, notes: [] }
}

/**
 * The scaling that metadata say.
 * @throws input error for one that Hugging Face's configuration cannot say
 */
export function scalingFromMetadata(metadata: MetadataLookup, path: string): JsonObject | null {
  const type = metadata.text(`${prefix}type`)
  // As llama.cpp wrote it before there was a type.
  const factor =
    metadata.number(`${prefix}factor`) ?? metadata.number('llama.rope.scale_linear') ?? 1
  if (type === 'none' || (type === undefined && factor === 1)) return null
  if (type === undefined || type === 'linear') {
    return { rope_type: 'linear', factor: shortest(factor) }
  }
  if (type !== 'yarn') {
    throw inputError(`its rotary scaling is "${type}", which is not supported`, {
      format: 'gguf',
      path,
      suggestions: ['Supported are linear, yarn, and LLaMA 3’s.'],
    })
  }
  const original = metadata.integer(`${prefix}original_context_length`)
  const scaling: JsonObject = { rope_type: 'yarn', factor: shortest(factor) }
  if (original !== undefined) scaling.original_max_position_embeddings = original
  for (const [field, name] of yarnFields) {
    const value = metadata.number(prefix + name)
    if (value !== undefined) scaling[field] = shortest(value)
  }
  return scaling
}

/** The shortest decimal number that rounds to the same f32: 1e-6, and not 9.999999974752427e-7. */
export function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (fround(short) === fround(value)) return short
  }
  return value
}
