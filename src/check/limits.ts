import { usageError } from '../io/errors.js'
import { isNBits, type NBits, nbits, nbitsNames } from '../quantize/nbits.js'
import type { MetricRecord } from '../record/check.js'
import {
  type BlockType,
  type DType,
  dtypeNames,
  type Float,
  isBlock,
  recordOf,
} from '../types/dtype.js'
import type { Parity } from './parity.js'

/** What a sound conversion to a type stays within. */
export interface Limits {
  kldMean: number
  kldMedian: number
  kldP999: number
  /** Share of positions, at least. */
  top1: number
  /** Null where one rare token's logit says nothing: quantized types move some by whole units. */
  logit: number | null
  nmse: number
  /** The artifact's perplexity over the source's, less one. */
  perplexity: number | null
}

/** `exact`: the type holds all values of the source's, so that nothing but arithmetic may differ. */
export type LimitType = 'exact' | Exclude<Float, 'f64'> | BlockType | NBits

/**
 * The one table of limits.
 *
 * `exact`, `f16`, `bf16`: the fixtures in ONNX Runtime, which computes in f32, differ by 1e-5 in
 * logits at most between any two formats; larger models have longer sums. llama.cpp rounds
 * activations to the weights' type before it multiplies: logits of the fixtures' f16 file move by
 * 0.005 and of their bf16 file by 0.04 for that alone (mean KL 2e-7 and 2e-5). Weights rounded from
 * f32 add to it; llama.cpp's table has a mean of 2.5e-5 and a 99.9th percentile of 8e-4 between the
 * f16 and the bf16 file of LLaMA 3 8B, with 99.7 % agreement. GPUs round more: on Mesa's lavapipe the f16 file moves by 0.09 (mean 3e-5).
 *
 * Quantized types: twice the mean KL and twice the disagreement of llama.cpp's table for LLaMA 3 8B
 * without importance matrix (tools/perplexity/README.md), which quantization hurts three times as
 * much as LLaMA 2 7B, of the worst mix that has the type. Its q8_0 0.0014, q6_K 0.0055, q5_K_S
 * 0.017, q5_1 0.018, q5_0 0.022, q4_K_S 0.043, q4_1 and q4_0 0.072, q3_K_S 0.23, q2_K 0.45; same
 * top token q8_0 97.7 %, q6_K 96.0 %, q4_K_M 91.9 %, q2_K 71.1 %, the others between. The 99.9th
 * percentile is some 25 times the mean in published logs: 40 times the limit's half. ONNX's levels
 * are of blocks of 32 with one scale, as q8_0's and q4_0's.
 */
const exact: Limits = {
  ...{ kldMean: 1e-6, kldMedian: 1e-6, kldP999: 1e-5, top1: 0.99, logit: 1e-3 },
  ...{ nmse: 1e-8, perplexity: 1e-4 },
}

/** The limits of floats are measured here; those of quantized types go by what is published of them. */
const floats: Record<'exact' | Exclude<Float, 'f64'>, Limits> = {
  exact,
  f32: exact,
  f16: {
    ...{ kldMean: 1e-4, kldMedian: 1e-4, kldP999: 4e-3, top1: 0.985, logit: 0.25 },
    ...{ nmse: 1e-5, perplexity: 5e-3 },
  },
  bf16: {
    ...{ kldMean: 5e-4, kldMedian: 2e-4, kldP999: 2e-2, top1: 0.97, logit: 0.5 },
    ...{ nmse: 1e-4, perplexity: 2e-2 },
  },
}

/** The levels of ONNX's types are types of their own. */
function elementTypeOf(type: Exclude<LimitType, 'exact'>): DType {
  return isNBits(type) ? nbits[type].levels : type
}

function limitsOf(type: LimitType): Limits {
  if (isFloat(type)) return floats[type]
  const { published } = recordOf(elementTypeOf(type))
  if (published === undefined) throw new Error(`nothing is published of ${type}`)
  return quantized(published)
}

function quantized({
  kld,
  top1,
  nmse,
  perplexity,
}: {
  kld: number
  top1: number
  nmse: number
  perplexity: number
}): Limits {
  return {
    kldMean: 2 * kld,
    kldMedian: 2 * kld,
    kldP999: 40 * kld,
    top1: 1 - 2 * (1 - top1),
    logit: null,
    nmse,
    perplexity,
  }
}

/** From the coarsest to the finest. */
export const limitTypes: readonly LimitType[] = [
  ...nbitsNames,
  ...dtypeNames.filter((type) => isBlock(type)),
  ...(['bf16', 'f16', 'f32', 'exact'] as const),
].sort((a, b) => limitsOf(b).kldMean - limitsOf(a).kldMean)

/** The coarsest of some types: the one that limits have to allow for. */
export function coarsestOf(types: Iterable<DType | LimitType>): LimitType {
  const all = new Set<string>(types)
  return limitTypes.find((type) => all.has(type)) ?? 'f32'
}

/**
 * What rounding may lie between two: between an artifact and the source that it was made from its
 * own type's, none where that is the same or f32, which holds all values of every other; between two
 * of unknown descent the coarser one's.
 */
export function roundingBetween(
  source: LimitType,
  artifact: LimitType,
  converted: boolean,
): LimitType {
  if (source === artifact) return converted || isFloat(artifact) ? 'exact' : artifact
  if (converted) return artifact === 'f32' ? 'exact' : artifact
  return coarsestOf([source, artifact])
}

function isFloat(type: LimitType): type is keyof typeof floats {
  return type === 'exact' || type === 'f32' || type === 'f16' || type === 'bf16'
}

/** What is known of one of the two that are compared. */
export interface Rounding {
  type: LimitType
  /** It computes with activations that are rounded as its weights are, as llama.cpp does. */
  activations: boolean
}

/**
 * The limits for holding an artifact against a source: arithmetic counts, of both.
 * @param between the coarsest rounding of a tensor's values
 */
export function limitsFor(artifact: Rounding, source: Rounding, between: LimitType): Limits {
  const rows = [
    limitsOf(between),
    ...[artifact, source]
      .filter(({ activations }) => activations)
      .map(({ type }) => limitsOf(type)),
  ]
  const most = (pick: (limits: Limits) => number) => Math.max(...rows.map(pick))
  const orNull = (pick: (limits: Limits) => number | null) =>
    rows.some((limits) => pick(limits) === null) ? null : most((limits) => pick(limits) ?? 0)
  return {
    kldMean: most(({ kldMean }) => kldMean),
    kldMedian: most(({ kldMedian }) => kldMedian),
    kldP999: most(({ kldP999 }) => kldP999),
    top1: Math.min(...rows.map(({ top1 }) => top1)),
    logit: orNull(({ logit }) => logit),
    nmse: most(({ nmse }) => nmse),
    perplexity: orNull(({ perplexity }) => perplexity),
  }
}

/**
 * What a tensor's values may be off by.
 * @returns Σ (a − s)² / Σ s², and the share of a single value: half the last bit, twice over for
 *   two roundings; in a block, values depend on their neighbours
 */
export function weightLimit(type: LimitType): { distance: number; value: number } {
  const value = { f16: 2 ** -10, bf16: 2 ** -8, exact: 0, f32: 2 ** -22 }
  const known = type === 'f16' || type === 'bf16' || type === 'exact' || type === 'f32'
  return { distance: distanceOf(type), value: known ? value[type] : Infinity }
}

/**
 * Rounding to b bits in blocks of 32 leaves about 4^-b of a normal distribution's square: q8_0
 * 2.5e-5, q4_0 7e-3, q2_K 0.08. The limits are some four times that. A permuted matrix has 2, one of
 * zeros 1.
 */
function distanceOf(type: LimitType): number {
  const { distance } = recordOf(type === 'exact' ? 'f32' : elementTypeOf(type))
  if (distance === undefined) throw new Error(`no distance is allowed for ${type}`)
  return distance
}

/** What --limit calls the metrics. */
const keys: Record<string, keyof Limits> = {
  kld: 'kldMean',
  kld_median: 'kldMedian',
  kld_p999: 'kldP999',
  top1: 'top1',
  logit: 'logit',
  nmse: 'nmse',
  perplexity: 'perplexity',
}

/** Reads `kld=0.01`. @throws usage error */
export function parseLimits(texts: readonly string[]): Partial<Limits> {
  const limits: Partial<Limits> = {}
  for (const text of texts) {
    const [, name = '', value = ''] = /^([a-z0-9_]+)=(.+)$/.exec(text) ?? []
    const key = keys[name]
    const number = Number(value)
    if (key === undefined || value === '' || !(number >= 0)) {
      throw usageError(
        `\`limit\` is "${text}", a metric and its limit such as kld=0.01 are expected`,
        {
          suggestions: [`Metrics are ${Object.keys(keys).join(', ')}.`],
        },
      )
    }
    limits[key] = number
  }
  return limits
}

/** The metrics of a comparison, each with its limit. */
export function judge(parity: Parity, limits: Limits): MetricRecord[] {
  const below = (name: MetricRecord['name'], value: number, limit: number | null) => ({
    name,
    value,
    limit,
    passed: limit === null || value <= limit,
  })
  const { perplexity, perplexitySource } = parity
  return [
    below('kld_mean', parity.kldMean, limits.kldMean),
    below('kld_median', parity.kldMedian, limits.kldMedian),
    below('kld_p999', parity.kldP999, limits.kldP999),
    {
      name: 'top1_agreement',
      value: parity.top1Agreement,
      limit: limits.top1,
      passed: parity.top1Agreement >= limits.top1,
    },
    below('logit_max_difference', parity.logitMaxDifference, limits.logit),
    below('nmse', parity.nmse, limits.nmse),
    below(
      'perplexity',
      perplexity,
      limits.perplexity === null ? null : perplexitySource * (1 + limits.perplexity),
    ),
    below('perplexity_source', perplexitySource, null),
  ]
}
