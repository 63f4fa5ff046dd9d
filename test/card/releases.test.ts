import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { evaluationChart } from '../../src/card/charts/evaluation.js'
import { releaseNamed, releaseOfName, releases } from '../../src/card/releases.js'
import {
  evaluatedModels,
  evaluationColumn,
  evaluations,
} from '../../src/card/results/evaluations.js'
import { fails } from '../support/errors.js'
import { shared } from '../support/paths.js'

const test = suite('card: OpenLLaMA releases')

const names: [name: string, release: string | undefined][] = [
  ['open_llama_3b', 'open_llama_3b'],
  ['openlm-research/open_llama_3b_v2', 'open_llama_3b_v2'],
  ['me/Open-LLaMA-3B-v2-GGUF', 'open_llama_3b_v2'],
  ['open_llama_7b_v2-q4_k_m.gguf', 'open_llama_7b_v2'],
  ['open_llama_7b_v2-Q8_0-00001-of-00003.gguf', 'open_llama_7b_v2'],
  ['open_llama_13b_easylm', 'open_llama_13b'],
  ['openllama-13b-f16', 'open_llama_13b'],
  ['open_llama_3b_v2-chat', undefined],
  ['open_llama_3b_v9', undefined],
  ['open_llama_30b', undefined],
  ['my_open_llama_3b', undefined],
  ['llama-7b', undefined],
  ['', undefined],
]

for (const [name, release] of names) {
  test(`"${name}" is ${release ?? 'none of them'}`, () =>
    assert.is(releaseOfName(name)?.id, release))
}

test('one that there is not is refused with those there are', async () => {
  assert.is(releaseNamed('openlm-research/open_llama_13b').id, 'open_llama_13b')
  await fails(() => releaseNamed('open_llama_65b'), 'usage', 'open_llama_65b', 'open_llama_3b_v3')
})

test('data and figures are those that were published', () => {
  const path = shared('that our figures are the published ones', 'data', 'openllama.json')
  if (path === undefined) return
  const { models, evaluation } = JSON.parse(readFileSync(path, 'utf8'))
  assert.equal(releases.map(({ id }) => id).sort(), Object.keys(models).sort())
  for (const { id, tokenizer } of releases) assert.is(tokenizer, models[id].tokenizer)
  const columns = evaluatedModels.map(({ id }) => id)
  assert.equal(columns, evaluation.columns)
  assert.equal(
    evaluations.map(([task]) => task),
    Object.keys(evaluation.rows),
  )
  for (const [task, ...values] of evaluations) {
    assert.equal(
      values,
      columns.map((id) => evaluation.rows[task][id]),
    )
  }
})

test('a chart has a dot for each figure, where its axis says', () => {
  const column = evaluationColumn('open_llama_7b_v2')
  const svg = evaluationChart(column)
  const dots = [...svg.matchAll(/class="own" cx="([\d.]+)"/g)].map(([, x]) => Number(x)).slice(1)
  assert.is(dots.length, evaluations.length)
  // The axis is read off its own labels.
  const axis = [...svg.matchAll(/<text x="([\d.]+)"[^>]*class="faint">([\d.]+)</g)]
  const scale = axis.map(([, x, value]) => [Number(x), Number(value)])
  const [[x0 = 0, v0 = 0] = [], [x1 = 0, v1 = 0] = []] = [scale[0], scale.at(-1)]
  dots.forEach((x, i) => {
    const value = v0 + ((x - x0) / (x1 - x0)) * (v1 - v0)
    assert.ok(Math.abs(value - Number(evaluations[i]?.[column + 1])) < 0.001, `${i}: ${value}`)
  })
  // The title is the release's, its mean is read out.
  assert.match(svg, /<title id="title">OpenLLaMA 7B v2: published evaluation</)
  assert.match(svg, /OpenLLaMA 7B v2 0\.56, LLaMA 7B 0\.55, GPT-J 6B 0\.52/)
})

test('13B stands beside LLaMA 13B', () => {
  assert.match(evaluationChart(evaluationColumn('open_llama_13b')), 'LLaMA 13B')
})

test.run()
