import type { CheckResult } from '../check/check.js'
import type { MetricRecord } from '../check/record.js'
import type { DeviceFound } from '../engines/devices.js'
import { formatTable } from './table.js'

const metricNames: Record<MetricRecord['name'], string> = {
  kld_mean: 'KL divergence, mean',
  kld_median: 'KL divergence, median',
  kld_p999: 'KL divergence, 99.9 %',
  top1_agreement: 'same likeliest token',
  logit_max_difference: 'largest difference of a logit',
  nmse: 'normalised square error',
  perplexity: 'perplexity',
  perplexity_source: 'perplexity of the source',
}

/** What a check found, for people. */
export function describeCheck({
  record,
  type,
  tokensPerSecond,
  continuations,
}: CheckResult): string {
  const { verdict, engine, device, smoke, parity } = record
  const rate = tokensPerSecond === undefined ? '' : `, ${tokensPerSecond.toPrecision(2)} tokens/s`
  const lines = [
    `runs in ${engine} on ${device} (${type}${rate})`,
    `  ${smoke.prompt.trimEnd().replaceAll('\n', '\n  ')}`,
    `  →${smoke.continuation.trimEnd().replaceAll('\n', '\n  ')}`,
    ...smoke.faults.map((fault) => `  FAILED: ${fault}`),
  ]
  if (parity !== undefined) {
    const { against, positions, metrics, faults, greedy, departure } = parity
    lines.push(
      '',
      `against ${against.name} (${against.format}, ${against.dtype}, in ${against.engine}), ${positions} positions`,
    )
    const rows = metrics.map(({ name, value, limit, passed }) => [
      `  ${metricNames[name]}`,
      shown(name, value),
      limit === null ? '' : `${name === 'top1_agreement' ? '≥' : '≤'} ${shown(name, limit)}`,
      passed ? '' : 'FAILED',
    ])
    if (rows.length > 0) lines.push(formatTable(rows, [1]))
    lines.push(`  ${greedy.common} of ${greedy.of} greedy tokens in common`)
    if (greedy.common < greedy.of && continuations.source !== undefined) {
      lines.push(`  the source goes on:${continuations.source.trimEnd()}`)
    }
    lines.push(...faults.map((fault) => `  FAILED: ${fault}`))
    if (departure !== undefined) {
      const where =
        departure.layer === null
          ? ''
          : departure.layer < 0
            ? 'in the embedding'
            : `first in layer ${departure.layer}`
      lines.push(
        `  departs ${[where, departure.cause ?? departure.detail].filter(Boolean).join(': ')}`,
      )
    }
  }
  return [...lines, '', verdict === 'passed' ? 'ok' : 'FAILED'].join('\n')
}

function shown(name: MetricRecord['name'], value: number): string {
  if (name === 'top1_agreement') return `${(100 * value).toFixed(1)} %`
  if (name.startsWith('perplexity')) return value.toPrecision(5)
  return Math.abs(value) < 1e-9 ? '0' : value.toExponential(1)
}

/** The same for programs. */
export function checkJson(
  source: string,
  { record, type, tokensPerSecond, continuations }: CheckResult,
): object {
  return {
    artifact: source,
    type,
    ...record,
    tokens_per_second: tokensPerSecond ?? null,
    continuations,
  }
}

/** The devices, for people. */
export function describeDevices(devices: readonly DeviceFound[]): string {
  return formatTable([
    ['engine', 'device', '', ''],
    ...devices.map(({ engine, device, there, detail }) => [
      engine,
      device,
      there ? 'yes' : 'no',
      detail,
    ]),
  ])
}
