import type { MetricRecord } from './check.js'

/** What each figure is called, for people. */
export const metricTitles: Record<MetricRecord['name'], string> = {
  kld_mean: 'KL divergence, mean',
  kld_median: 'KL divergence, median',
  kld_p999: 'KL divergence, 99.9 %',
  top1_agreement: 'same likeliest token',
  logit_max_difference: 'largest difference of a logit',
  nmse: 'normalised square error',
  perplexity: 'perplexity',
  perplexity_source: 'perplexity of the source',
}

/** A figure as precisely as it means something. */
export function formatMetric(name: MetricRecord['name'], value: number): string {
  if (name === 'top1_agreement') return `${(100 * value).toFixed(1)} %`
  // What is left of rounding in f64 is no figure.
  if (Math.abs(value) < 1e-9) return '0'
  if (Math.abs(value) >= 1000) return value.toFixed(0)
  if (name.startsWith('perplexity')) return value.toPrecision(5)
  return Math.abs(value) >= 0.01 ? value.toPrecision(2) : value.toExponential(1)
}

/** The limit with the side of it that is sound; empty where there is none. */
export function formatLimit({ name, limit }: MetricRecord): string {
  if (limit === null) return ''
  return `${name === 'top1_agreement' ? '≥' : '≤'} ${formatMetric(name, limit)}`
}

/** Why the engine that a checkpoint is made for comes to other figures. */
export function roundsTo(type: string): string {
  return `which rounds activations to ${type}`
}

/**
 * Where the two part, and why, in one sentence; empty where they do not, or where nothing is to be
 * said beyond `faults`, which are told already.
 */
export function describeDeparture(
  departure: { layer: number | null; cause: string | null; detail: string } | undefined,
  faults: readonly string[],
): string {
  if (departure === undefined) return ''
  const { layer, cause, detail } = departure
  const where = layer === null ? '' : layer < 0 ? 'in the embedding' : `first in layer ${layer}`
  const why = cause ?? detail
  if (faults.includes(why)) return where === '' ? '' : `departs ${where}`
  return where === '' ? why : `departs ${where}: ${why}`
}
