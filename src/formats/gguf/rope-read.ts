import { architectureOf } from '../../architectures/index.js'
import type { ModelConfig } from '../../checkpoint/config.js'
import type { MetadataLookup } from '../../checkpoint/metadata.js'
import { plainFrequencies, rotaryOf, sameRotary, yarnAttention } from '../../checkpoint/rotary.js'
import { inputError, OpenLlamaError } from '../../io/errors.js'
import { type JsonObject, parseJsonObject } from '../../io/json.js'
import { llama3OfFactors } from './llama3-factors.js'
import {
  factorsName,
  longName,
  scalingKey,
  scalingPrefix,
  shortest,
  shortName,
  yarnFields,
} from './rope.js'

/** The factors that a file has, by their tensors' names. */
export type RopeFactors = ReadonlyMap<string, Float32Array<ArrayBuffer>>

/** What the scaling in a file is applied to. */
export type RopeBase = Pick<
  ModelConfig,
  'model_type' | 'rope_theta' | 'head_dim' | 'max_position_embeddings'
>

/** A scaling as Hugging Face's configuration says it, and what was decided on the way. */
export interface ReadScaling {
  scaling: JsonObject | null
  notes: string[]
}

/**
 * The scaling that a file's metadata and factors come to in llama.cpp.
 * @throws input error for one that it does not know, or that no configuration can say
 */
export function scalingOfGguf(
  metadata: MetadataLookup,
  factors: RopeFactors,
  base: RopeBase,
  path: string,
): ReadScaling {
  const prefix = scalingPrefix(base)
  const type = metadata.text(`${prefix}type`) ?? 'linear'
  const where = { format: 'gguf', path }
  // As llama.cpp wrote it before there was a type; 0 says nothing.
  const factor =
    (metadata.number(`${prefix}factor`) ??
      metadata.number(`${architectureOf(base).gguf.name}.rope.scale_linear`)) ||
    1
  const attention = metadata.number(`${prefix}attn_factor`) ?? 1
  const original = metadata.integer(`${prefix}original_context_length`)
  const one = factors.get(factorsName)
  switch (type) {
    case 'none':
    case 'linear':
      return one === undefined && attention === 1
        ? { scaling: linear(type === 'none' ? 1 : factor), notes: [] }
        : ofFactors(metadata, one, { factor: type === 'none' ? 1 : factor, attention }, base, path)
    case 'yarn':
      if (one !== undefined) {
        throw inputError(`it has YaRN's scaling and ${factorsName} at once`, where)
      }
      return yarnOf(metadata, prefix, { factor, attention, original })
    case 'longrope': {
      const [short, long] = [factors.get(shortName), factors.get(longName)]
      if (short === undefined && long === undefined) {
        return ofFactors(metadata, undefined, { factor: 1, attention }, base, path)
      }
      if (short === undefined || long === undefined) {
        throw inputError(`it has one of ${shortName} and ${longName}, and not the other`, where)
      }
      const context = original ?? base.max_position_embeddings
      return { scaling: longrope(short, long, context, attention), notes: [] }
    }
    default:
      throw inputError(`its rotary scaling is "${type}", which is not supported`, {
        ...where,
        suggestions: ['Supported are linear, yarn, longrope, and factors of the frequencies.'],
      })
  }
}

function linear(factor: number): JsonObject | null {
  return factor === 1 ? null : { rope_type: 'linear', factor: shortest(factor) }
}

function longrope(
  short: Float32Array<ArrayBuffer>,
  long: Float32Array<ArrayBuffer>,
  context: number,
  attention: number,
): JsonObject {
  return {
    rope_type: 'longrope',
    short_factor: Array.from(short, shortest),
    long_factor: Array.from(long, shortest),
    original_max_position_embeddings: context,
    attention_factor: shortest(attention),
  }
}

/** One set of frequencies: in the words it was made of, as LLaMA 3's, or as it is. */
function ofFactors(
  metadata: MetadataLookup,
  factors: Float32Array<ArrayBuffer> | undefined,
  { factor, attention }: { factor: number; attention: number },
  base: RopeBase,
  path: string,
): ReadScaling {
  const expected = base.head_dim / 2
  if (!Number.isSafeInteger(expected) || expected < 1 || expected > maxFrequencies) {
    throw inputError(`its heads have ${base.head_dim} rows`, { format: 'gguf', path })
  }
  if (factors !== undefined && factors.length !== expected) {
    throw inputError(`it has ${factors.length} factors, heads have ${expected} frequencies`, {
      format: 'gguf',
      path,
      tensor: factorsName,
    })
  }
  const plain = plainFrequencies(base.rope_theta, base.head_dim)
  const all = plain.map((_, i) => (factors?.[i] ?? 1) * factor)
  const scaling = longrope(all, all, base.max_position_embeddings, attention)
  const meant = rotaryOf({ ...base, rope_scaling: scaling, other: {} }, path)
  const said = wordsOf(metadata)
  if (said !== undefined) {
    try {
      const rotary = rotaryOf({ ...base, rope_scaling: said, other: {} }, path)
      if (sameRotary(rotary, meant)) return { scaling: said, notes: [] }
    } catch (error) {
      // What is no scaling says nothing of the factors, which count.
      if (!(error instanceof OpenLlamaError)) throw error
    }
  }
  const llama3 = attention === 1 && factor === 1 ? llama3OfFactors(all, base) : undefined
  if (llama3 !== undefined) {
    return {
      scaling: llama3,
      notes: [
        `${factorsName} holds LLaMA 3's rotary scaling by ${JSON.stringify(llama3.factor)}: it is kept in the configuration`,
      ],
    }
  }
  if (all.every((value) => value === all[0]) && attention === 1) {
    return { scaling: linear(all[0] ?? 1), notes: [] }
  }
  return {
    scaling,
    notes: [
      `${factors === undefined ? `${scalingPrefix(base)}attn_factor` : factorsName} is of no scaling that has a name: the configuration says it as longrope, with the same factors for all texts`,
    ],
  }
}

function wordsOf(metadata: MetadataLookup): JsonObject | undefined {
  const text = metadata.text(scalingKey)
  if (text === undefined) return undefined
  try {
    const words = parseJsonObject(new TextEncoder().encode(text), scalingKey)
    return Object.fromEntries(Object.entries(words).filter(([field]) => wordFields.has(field)))
  } catch (error) {
    if (error instanceof OpenLlamaError) return undefined
    throw error
  }
}

/** What YaRN's constants are called; all else in a file's words would be no part of a scaling. */
const wordFields = new Set([
  ...['rope_type', 'type', 'factor', 'original_max_position_embeddings', 'attention_factor'],
  ...['beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim', 'truncate', 'extrapolation_factor'],
])

/** Heads have some hundred rows. */
const maxFrequencies = 4096

function yarnOf(
  metadata: MetadataLookup,
  prefix: string,
  {
    factor,
    attention,
    original,
  }: { factor: number; attention: number; original?: number | undefined },
): ReadScaling {
  const scaling: JsonObject = { rope_type: 'yarn', factor: shortest(factor) }
  if (original !== undefined) scaling.original_max_position_embeddings = original
  const unread: string[] = []
  for (const [field, name] of yarnFields) {
    const value = metadata.number(prefix + name)
    if (value === undefined) continue
    scaling[field] = shortest(value)
    if (value !== unreadDefaults[field]) unread.push(prefix + name)
  }
  if (attention !== 1) {
    const total = attention * yarnAttention(factor)
    const told = scaling.attention_factor
    const same = typeof told === 'number' && Math.abs(told - total) <= 1e-5 * total
    if (!same) scaling.attention_factor = shortest(Math.fround(total))
    return { scaling, notes: [] }
  }
  return {
    scaling,
    notes:
      unread.length === 0
        ? []
        : [
            `${unread.join(', ')} ${unread.length === 1 ? 'is' : 'are'} kept in the configuration, as transformers computes it; llama.cpp does not read ${unread.length === 1 ? 'it' : 'them'} of this file`,
          ],
  }
}

/** With these it makes no difference that llama.cpp does not read the keys; the first means nothing. */
const unreadDefaults: Record<(typeof yarnFields)[number][0], number | undefined> = {
  extrapolation_factor: 1,
  attention_factor: undefined,
  beta_fast: 32,
  beta_slow: 1,
}
