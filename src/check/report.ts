import { basename } from 'node:path'
import { usageError } from '../io/errors.js'
import { writeOutputs } from '../io/output.js'
import { openFile, readStart } from '../io/source.js'
import { lstatThere, statThere } from '../io/there.js'
import type { MetricRecord, ParityRecord } from '../record/check.js'
import {
  describeDeparture,
  formatLimit,
  formatMetric,
  metricTitles,
  roundsTo,
} from '../record/metrics.js'
import { version } from '../version.js'
import type { CheckResult } from './check.js'
import { agreementChart, divergenceChart } from './report-charts.js'

/** How every report begins: what does not is not ours to replace. */
const opening = '<!doctype html>\n<!-- A report of openllama check. -->\n'

/**
 * Writes a report; one that is there already is replaced, another file is not.
 * @throws usage error where the file is no report
 */
export async function writeReport(path: string, page: string): Promise<void> {
  await writeOutputs(
    [{ path, bytes: new TextEncoder().encode(page) }],
    (await isReport(path)) === true,
  )
}

/** @throws usage error, before any work, where a file is there that is no report */
export async function checkReportPath(path: string): Promise<void> {
  if ((await isReport(path)) !== false) return
  throw usageError('it is there already, and no report of ours', {
    path,
    suggestions: ['Choose another `report`.'],
  })
}

/** The page: one file without scripts, and without anything from elsewhere. */
export function reportPage(artifact: string, result: CheckResult): string {
  const { record } = result
  const passed = record.verdict === 'passed'
  const { parity } = record
  const against = parity ? ` against ${parity.against.name}` : ''
  return `${opening}<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${text(`${basename(artifact)}: check ${record.verdict}`)}</title>
<style>${style}</style>
</head>
<body>
<main>
<header>
<p class="verdict ${record.verdict}">${passed ? 'Passed' : 'Failed'}</p>
<h1>${text(basename(artifact))}</h1>
<p>${text(`${result.type}, run in ${record.engine} on ${record.device}${against}`)}</p>
</header>
${[
  faultsSection(result),
  ...(parity ? [metricsSection(parity, result), chartsSection(result)] : []),
  continuationsSection(result),
  notesSection(record.notes),
]
  .filter((section) => section !== '')
  .join('\n')}
<footer>openllama ${text(version())}</footer>
</main>
</body>
</html>
`
}

function faultsSection({ record: { smoke, parity } }: CheckResult): string {
  const found = [...new Set([...smoke.faults, ...(parity?.faults ?? [])])]
  const departure = describeDeparture(parity?.departure, found)
  const faults = [...found, ...(departure === '' ? [] : [departure])]
  return faults.length === 0 ? '' : section('What is wrong', list(faults))
}

function metricsSection({ metrics, rounded }: ParityRecord, { type, record }: CheckResult): string {
  if (metrics.length === 0) return ''
  if (rounded === undefined) return section('Figures', metricsTable(metrics))
  return section(
    'Figures',
    `${metricsTable(metrics)}
<h3>${text(`As ${record.engine} computes it, ${roundsTo(type)}`)}</h3>
${metricsTable(rounded)}`,
  )
}

function metricsTable(metrics: readonly MetricRecord[]): string {
  const rows = metrics.map(
    (metric) => `<tr class="${metric.passed ? 'passed' : 'failed'}">
<th scope="row">${text(metricTitles[metric.name])}</th>
<td>${text(formatMetric(metric.name, metric.value))}</td>
<td>${text(formatLimit(metric))}</td>
<td>${metric.limit === null ? '' : metric.passed ? 'within' : 'exceeded'}</td>
</tr>`,
  )
  return `<table>
<thead><tr><th scope="col">metric</th><th scope="col">value</th><th scope="col">limit</th><th></th></tr></thead>
<tbody>
${rows.join('\n')}
</tbody>
</table>`
}

function chartsSection({ positions, record: { parity } }: CheckResult): string {
  if (positions.length === 0) return ''
  const limitOf = (name: MetricRecord['name']) =>
    parity?.metrics.find((metric) => metric.name === name)?.limit ?? null
  const lines = (
    [
      ['kld_mean', 'limit of the mean'],
      ['kld_p999', 'limit of the 99.9th percentile'],
    ] as const
  ).flatMap(([name, label]) => {
    const value = limitOf(name)
    return value === null ? [] : [{ value, label }]
  })
  return section(
    'Position by position',
    `<h3>KL divergence from the source, in nats</h3>
${divergenceChart(positions, lines)}
<h3>Share of positions with the same likeliest token, so far</h3>
${agreementChart(positions, limitOf('top1_agreement'))}
<p class="legend">Orange: positions at which the two would say different tokens.</p>`,
  )
}

function continuationsSection({ record: { smoke, parity }, continuations }: CheckResult): string {
  const side = (title: string, continuation: string) => `<figure>
<figcaption>${text(title)}</figcaption>
<pre>${text(smoke.prompt)}<b>${text(continuation)}</b></pre>
</figure>`
  const { source } = continuations
  const common = parity
    ? `<p>${parity.greedy.common} of ${parity.greedy.of} greedy tokens in common.</p>`
    : ''
  return section(
    'What they say',
    `<div class="sides">
${side('this checkpoint', continuations.artifact)}
${source === undefined ? '' : side('its source', source)}
</div>
${common}`,
  )
}

function notesSection(notes: readonly string[]): string {
  return notes.length === 0 ? '' : section('Notes', list(notes))
}

function section(title: string, inside: string): string {
  return `<section>
<h2>${title}</h2>
${inside}
</section>`
}

function list(sentences: readonly string[]): string {
  return `<ul>
${sentences.map((sentence) => `<li>${text(sentence)}</li>`).join('\n')}
</ul>`
}

/** Characters that turn the text around them, or are none. */
const misleading =
  /[^\P{Cc}\n\t]|[\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/gu

/** What a model says, or a file is called, is never markup, and stays in its place. */
function text(raw: string): string {
  return raw
    .replace(misleading, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/** @returns undefined where nothing is there */
async function isReport(path: string): Promise<boolean | undefined> {
  const there = await statThere(path)
  if (there === undefined) return (await lstatThere(path)) === undefined ? undefined : false
  if (!there.isFile()) return false
  const source = await openFile(path)
  try {
    const start = new TextDecoder().decode(await readStart(source, opening.length))
    return start === opening
  } finally {
    await source.close()
  }
}

const style = `
:root { color-scheme: light dark; --text: #1b2028; --faint: #5c6675; --line: #d9dde3; --good: #1a7f45; --bad: #c2410c; --mark: #1c6dd0 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6eaf0; --faint: #97a2b2; --line: #323a46; --good: #4cc27f; --bad: #ff8a4c; --mark: #6fb1ff }
}
body { margin: 0; font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', sans-serif; color: var(--text) }
main { max-width: 800px; margin: 0 auto; padding: 24px 20px 48px }
h1 { margin: 4px 0; font-size: 24px; overflow-wrap: anywhere }
h2 { margin: 32px 0 8px; font-size: 17px }
h3 { margin: 16px 0 4px; font-size: 13px; font-weight: 600; color: var(--faint) }
header p { margin: 0; color: var(--faint) }
.verdict { display: inline-block; padding: 2px 12px; border-radius: 12px; font-weight: 600 }
.verdict.passed { color: #fff; background: #1a7f45 }
.verdict.failed { color: #fff; background: #c2410c }
table { border-collapse: collapse; width: 100% }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--line); text-align: left; font-weight: 400 }
thead th { color: var(--faint); font-size: 13px }
td { font-variant-numeric: tabular-nums }
tr.failed td { color: var(--bad); font-weight: 600 }
svg { width: 100%; height: auto; display: block }
svg text { font: 11px system-ui, sans-serif; fill: var(--faint) }
svg .grid { stroke: var(--line) }
svg .limit { stroke: var(--bad); stroke-dasharray: 4 3 }
svg text.limit { stroke: none; fill: var(--bad) }
svg .agrees { fill: var(--mark) }
svg .differs { fill: var(--bad); stroke: var(--bad) }
svg .share { fill: none; stroke: var(--mark); stroke-width: 2 }
.legend { color: var(--faint); font-size: 13px }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 16px }
figure { margin: 0 }
figcaption { color: var(--faint); font-size: 13px }
pre { margin: 4px 0; padding: 12px; border: 1px solid var(--line); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; color: var(--faint) }
pre b { color: var(--text) }
footer { margin-top: 40px; color: var(--faint); font-size: 13px }
`
