import { plain, table } from '../markdown.js'
import type { EvalRun, Score } from '../results/lm-eval.js'
import type { Comparison, ResultRow, TestedRuns } from '../results/results.js'
import { describeTokenizer } from '../results/tested-model.js'
import type { Subject } from '../subject.js'

/** The section of a card with results of lm-evaluation-harness. */
export function resultsSection({ models, rows }: Comparison, { release, repo }: Subject): string {
  const several = models.length > 1
  const [own] = models
  const columns = models.map(({ label }) => plain(label))
  const withFilter = rows.some(({ filter }) => filter !== undefined)
  const head = ['Task', 'Metric', ...(withFilter ? ['Filter'] : []), 'Shots', ...columns]
  const numbers = head.map((_, i) => i).slice(withFilter ? 3 : 2)
  const body = rows.map((row) => [
    row.isGroup ? `**${plain(row.task)}**` : plain(row.task),
    `${plain(row.metric)}${arrow(row)}`,
    ...(withFilter ? [plain(row.filter ?? '')] : []),
    row.shots === undefined ? '?' : String(row.shots),
    ...row.scores.map((score, i) => cell(score, i === 0 ? undefined : row.scores[0])),
  ])
  return [
    '## Results',
    [
      'Measured with [lm-evaluation-harness](https://github.com/EleutherAI/lm-evaluation-harness); ± is the standard error that it reports. ↑: higher is better; ↓: lower is better.',
      several && own
        ? ` In parentheses: the difference from ${plain(own.label)}, given only where task, version, metric and number of few-shot examples are the same.`
        : '',
      // The same name says nothing of the same bytes.
      own && release && own.model.name === release.repository && repo !== release.repository
        ? ` The figures for ${plain(own.label)} are those of the original weights, ${plain(own.model.name)}; the files here were converted from them and were not evaluated themselves.`
        : '',
    ].join(''),
    table(head, body, numbers),
    'What was tested:',
    models.map(tested).join('\n'),
  ].join('\n\n')
}

function arrow({ higherIsBetter }: ResultRow): string {
  if (higherIsBetter === undefined) return ''
  return higherIsBetter ? ' ↑' : ' ↓'
}

function cell(score: Score | undefined, own: Score | undefined): string {
  if (score === undefined) return ''
  const error = score.stderr === undefined ? '' : ` ± ${figure(score.stderr)}`
  const delta = own === undefined ? '' : ` (${signed(score.value - own.value)})`
  return `${figure(score.value)}${error}${delta}`
}

/** Four decimal places, as the harness prints; more than a thousand needs none. */
export function figure(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6 || (size > 0 && size < 5e-5)) return value.toExponential(2)
  return value.toFixed(size >= 1000 ? 1 : 4)
}

function signed(value: number): string {
  const shown = figure(value)
  return value > 0 ? `+${shown}` : shown.replace(/^-/, '−')
}

function tested({ model, runs, label }: TestedRuns): string {
  const weights = [
    model.revision === undefined ? undefined : `revision ${model.revision}`,
    model.dtype === undefined ? 'type of the weights not recorded' : `weights in ${model.dtype}`,
    ...model.others,
    describeTokenizer(model),
  ]
  const facts = weights.filter((part) => part !== undefined).map(plain)
  const isShort = label !== model.name && !label.includes('; ')
  const name = isShort ? `**${plain(label)}** (${plain(model.name)})` : `**${plain(model.name)}**`
  return `- ${name}: ${facts.join('; ')}. ${[...new Set(runs.map(run))].join(' ')}`
}

function run({ harness, transformers, date, limit }: EvalRun): string {
  const facts = [
    harness,
    transformers === undefined ? undefined : `transformers ${transformers}`,
    date,
    limit === undefined ? undefined : `a partial run, with at most ${limit} examples of each task`,
  ]
  return `${facts
    .filter((part) => part !== undefined)
    .map(plain)
    .join(', ')}.`
}
