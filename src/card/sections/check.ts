import { metricTitles } from '../../record/metrics.js'
import { code, codeBlock, plain, table } from '../markdown.js'
import type { CardRecord, RecordedCheck, RecordedMetric } from '../records.js'
import { type Subject, shownFormat } from '../subject.js'

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
  const verdict = check.verdict === 'passed' ? 'passed' : '**failed**'
  const { against } = check
  const how = `The model was run in ${shownEngine(check.engine)} on ${shownDevice(check.device)}`
  parts.push(
    against === undefined
      ? `\`openllama check\` ${verdict}. ${how}.`
      : `\`openllama check\` ${verdict}. ${how} and compared with its source, ${code(against.name)} (${shownFormat(against.format)}, ${plain(against.dtype)}, run in ${shownEngine(against.engine)}), at ${check.positions} positions.`,
  )
  if (check.rounded.length > 0) {
    const engine = shownEngine(check.engine)
    parts.push(
      'The weights in the file, computed in f32 in ONNX Runtime:',
      metricsTable(check.metrics),
      `As ${engine} computes it, which rounds activations to the type of the weights:`,
      metricsTable(check.rounded),
    )
  } else if (check.metrics.length > 0) {
    parts.push(metricsTable(check.metrics))
  }
  const { greedy } = check
  if (greedy !== undefined) {
    parts.push(
      greedy.common === greedy.of
        ? `Greedy decoding gives the same ${greedy.of} tokens in both.`
        : `Greedy decoding gives the same first ${greedy.common} of ${greedy.of} tokens in both.`,
    )
  }
  const { departure } = check
  // What is among the remarks already needs no second mention.
  if (departure !== undefined && !check.faults.includes(departure))
    parts.push(`Where they depart: ${plain(departure)}`)
  if (check.prompt !== '') parts.push('The prompt:', codeBlock('text', safe(check.prompt)))
  if (check.continuation !== '') {
    parts.push('Its greedy continuation:', codeBlock('text', safe(check.continuation)))
  }
  const remarks = [...new Set([...check.faults, ...check.notes])]
  if (remarks.length > 0)
    parts.push('Remarks:', remarks.map((each) => `- ${plain(each)}`).join('\n'))
  return parts.join('\n\n')
}

function metricsTable(metrics: readonly RecordedMetric[]): string {
  const rows = metrics.map(({ name, value, limit, passed }) => [
    plain(titleOf(name)),
    shown(name, value),
    limit === undefined ? '' : `${side(name)} ${shown(name, limit)}`,
    limit === undefined ? '' : passed ? 'yes' : '**no**',
  ])
  return table(['Metric', 'Value', 'Limit', 'Within the limit'], rows, [1, 2])
}

const titles: ReadonlyMap<string, string> = new Map(Object.entries(metricTitles))

/** A record of another version may have figures that are not known here. */
function titleOf(name: string): string {
  return titles.get(name) ?? name
}

/** The only figure that is the better the larger it is. */
function isShare(name: string): boolean {
  return name === 'top1_agreement'
}

function side(name: string): string {
  return isShare(name) ? '≥' : '≤'
}

/** As the record has it: its figures are rounded already. */
function shown(name: string, value: number): string {
  if (isShare(name)) return `${Number((100 * value).toPrecision(12))} %`
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : String(value)
}

function shownDevice(device: string): string {
  return device === 'cpu' ? 'the CPU' : plain(device)
}

function shownEngine(engine: string): string {
  return plain(engine === 'onnxruntime' ? 'ONNX Runtime' : engine)
}

/** What a model wrote, with its line breaks and nothing else that cannot be seen. */
function safe(text: string): string {
  return text
    .slice(0, 2000)
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{C}\n\t]/gu, '\ufffd')
}
