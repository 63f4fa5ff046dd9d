import { plain, table } from '../markdown.js'
import {
  averageRow,
  evaluatedModels,
  evaluationColumn,
  evaluations,
} from '../results/evaluations.js'
import type { Subject } from '../subject.js'

export const evaluationChartName = 'openllama-evaluation.svg'

/** The evaluation that was published with a release; empty for any other model. */
export function evaluationSection({ release }: Subject): string {
  if (release === undefined) return ''
  const own = evaluationColumn(release.id)
  if (own === -1) return ''
  const title = evaluatedModels[own]?.title ?? ''
  // Eight columns do not fit on a page: the card's own model is the one that is seen.
  const order = evaluatedModels.map((_, i) => i).filter((i) => i !== own)
  const head = order.map((i) => evaluatedModels[i]?.title ?? '')
  const rows = evaluations.map(([task, ...values]) => [
    task === averageRow ? '**average**' : plain(task),
    `**${values[own]?.toFixed(2)}**`,
    ...order.map((i) => values[i]?.toFixed(2) ?? ''),
  ])
  return [
    '## Evaluation',
    'Published by the OpenLLaMA authors for the original weights: lm-evaluation-harness, with the slow tokenizer. They left out CB and WSC, whose scores are suspiciously high: the training data may contain these tasks.',
    `![The published evaluation of ${title}, beside LLaMA's and GPT-J's](${evaluationChartName})`,
    table(
      ['Task/metric', title, ...head],
      rows,
      evaluatedModels.map((_, i) => i + 1),
    ),
  ].join('\n\n')
}
