import { code, codeBlock, plain, table } from './markdown.js'
import type { CardRecord, RecordedCheck } from './records.js'
import type { Subject } from './subject.js'

/** What the check of each conversion found; empty where none was made. */
export function checkSection({ records }: Subject): string {
  const checked = records.flatMap((record) =>
    record.check === undefined ? [] : [{ record, check: record.check }],
  )
  if (checked.length === 0) return ''
  const parts = checked.map(({ record, check }) => one(record, check, checked.length > 1))
  return ['## Check', ...parts].join('\n\n')
}

function one(record: CardRecord, check: RecordedCheck, withName: boolean): string {
  const parts: string[] = []
  const [first] = record.target.files
  if (withName && first !== undefined) parts.push(`### ${code(first.name)}`)
  const verdict = check.verdict === 'passed' ? 'passed' : '**did not pass**'
  const { against } = check
  const how = `run in ${plain(check.engine)} on ${plain(check.device)}`
  parts.push(
    against === undefined
      ? `\`openllama check\` ${verdict}: ${how}.`
      : `\`openllama check\` ${verdict}: ${how} and held against its source ${code(against.name)} (${plain(against.format)}, ${plain(against.dtype)}, run in ${plain(against.engine)}), at ${check.positions} positions.`,
  )
  if (check.metrics.length > 0) {
    const rows = check.metrics.map(({ name, value, limit, passed }) => [
      plain(Object.hasOwn(metricTitles, name) ? (metricTitles[name] ?? name) : name),
      shown(value),
      limit === undefined ? '' : shown(limit),
      limit === undefined ? '' : passed ? 'yes' : '**no**',
    ])
    parts.push(table(['Figure', 'Value', 'Limit', 'Within it'], rows, [1, 2]))
  }
  const { greedy } = check
  if (greedy !== undefined) {
    parts.push(`Greedy continuations agree on the first ${greedy.common} of ${greedy.of} tokens.`)
  }
  if (check.departure !== undefined) parts.push(`They depart: ${plain(check.departure)}`)
  if (check.prompt !== '' || check.continuation !== '') {
    parts.push('Its prompt, and how it goes on:')
    parts.push(codeBlock('text', safe(check.prompt)), codeBlock('text', safe(check.continuation)))
  }
  const remarks = [...check.faults, ...check.notes]
  if (remarks.length > 0) parts.push(remarks.map((each) => `- ${plain(each)}`).join('\n'))
  return parts.join('\n\n')
}

const metricTitles: Readonly<Record<string, string>> = {
  kld_mean: 'mean KL divergence',
  kld_median: 'median KL divergence',
  kld_p999: 'KL divergence, 99.9th percentile',
  top1_agreement: 'most likely token is the same',
  logit_max_difference: 'largest difference of a logit',
  nmse: 'normalised mean squared error of the logits',
  perplexity: 'perplexity',
  perplexity_source: 'perplexity of the source',
}

function shown(value: number): string {
  if (value === 0 || Number.isInteger(value)) return String(value)
  return Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)))
}

/** What a model wrote, with its line breaks and nothing else that cannot be seen. */
function safe(text: string): string {
  return text
    .slice(0, 2000)
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{C}\n\t]/gu, '\ufffd')
}
