import type { CheckResult } from '../check/check.js'
import type { DeviceFound } from '../engines/devices.js'
import { printable } from '../io/printable.js'
import type { MetricRecord } from '../record/check.js'
import {
  describeDeparture,
  formatLimit,
  formatMetric,
  metricTitles,
  roundsTo,
} from '../record/metrics.js'
import type { CheckJson } from './json.js'
import { formatTable } from './table.js'

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
    ...smoke.faults.map((fault) => `  FAILED: ${printable(fault)}`),
  ]
  if (parity !== undefined) {
    const { against, positions, metrics, rounded, faults, greedy, departure } = parity
    lines.push(
      '',
      `against ${printable(against.name)} (${against.format}, ${against.dtype}, in ${against.engine}), ${positions} positions`,
      ...describeMetrics(metrics),
    )
    if (rounded !== undefined) {
      lines.push(`as ${engine} computes it, ${roundsTo(type)}`, ...describeMetrics(rounded))
    }
    lines.push(`  ${greedy.common} of ${greedy.of} greedy tokens in common`)
    if (greedy.common < greedy.of && continuations.source !== undefined) {
      lines.push(`  the source goes on:${continuations.source.trimEnd()}`)
    }
    lines.push(...[...new Set(faults)].map((fault) => `  FAILED: ${printable(fault)}`))
    const parting = describeDeparture(departure, faults)
    if (parting !== '') lines.push(`  ${printable(parting)}`)
  }
  return [...lines, '', verdict === 'passed' ? 'ok' : 'FAILED'].join('\n')
}

function describeMetrics(metrics: readonly MetricRecord[]): string[] {
  const rows = metrics.map((metric) => [
    `  ${metricTitles[metric.name]}`,
    formatMetric(metric.name, metric.value),
    formatLimit(metric),
    metric.passed ? '' : 'FAILED',
  ])
  return rows.length === 0 ? [] : [formatTable(rows, [1])]
}

/** The same for programs. */
export function checkJson(
  source: string,
  { record, type, tokensPerSecond, continuations }: CheckResult,
): CheckJson {
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
