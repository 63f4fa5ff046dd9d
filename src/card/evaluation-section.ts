import { averageRow, evaluatedModels, evaluationColumn, evaluations } from './evaluations.js'
import { plain, table } from './markdown.js'
import type { Subject } from './subject.js'

export const evaluationChartName = 'openllama-evaluation.svg'

/** The evaluation that was published with a release; empty for any other model. */
export function evaluationSection({ release }: Subject): string {
  if (release === undefined) return ''
  const own = evaluationColumn(release.id)
  if (own === -1) return ''
  const title = evaluatedModels[own]?.title ?? ''
  const head = evaluatedModels.map((model, i) => (i === own ? `**${model.title}**` : model.title))
  const rows = evaluations.map(([task, ...values]) => [
    task === averageRow ? '**average**' : plain(task),
    ...values.map((value, i) => (i === own ? `**${value.toFixed(2)}**` : value.toFixed(2))),
  ])
  return [
    '## Evaluation',
    `Published by the OpenLLaMA authors, of the original weights: lm-evaluation-harness, with the slow tokenizer. CB and WSC are left out, because their scores are suspiciously high and the training data may have them.`,
    `![The published evaluation of ${title}, beside LLaMA's and GPT-J's](${evaluationChartName})`,
    table(
      ['Task/metric', ...head],
      rows,
      head.map((_, i) => i + 1),
    ),
  ].join('\n\n')
}
