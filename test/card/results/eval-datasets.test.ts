import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { benchmarkTask, datasetOfTask } from '../../../src/card/results/eval-datasets.js'
import type { Score } from '../../../src/card/results/lm-eval.js'

const test = suite('card: data of evaluation tasks')

const score = (task: string, dataset?: Score['dataset']): Score => ({
  task,
  version: undefined,
  metric: 'acc',
  filter: undefined,
  value: 0.5,
  stderr: undefined,
  shots: 0,
  higherIsBetter: true,
  isGroup: false,
  isOnly: false,
  dataset,
})

test('a file from before 0.4 does not say: the harness’s task is known', () => {
  const known = (task: string) => datasetOfTask(score(task))
  assert.equal(known('arc_easy'), {
    id: 'allenai/ai2_arc',
    config: 'ARC-Easy',
    split: 'test',
  })
  // GLUE's and SuperGLUE's tasks of this name are two.
  assert.is(known('rte')?.id, 'nyu-mll/glue')
  assert.is(known('sglue_rte')?.id, 'aps/super_glue')
  assert.equal(known('anli_r3'), { id: 'facebook/anli', config: undefined, split: 'test_r3' })
  assert.is(known('constructor'), undefined)
})

test('what the file says holds, if it is a repository', () => {
  const own = { path: 'baber/piqa', name: undefined, split: 'validation' }
  assert.is(datasetOfTask(score('piqa', own))?.id, 'baber/piqa')
  // Until 2025 task files said `piqa`, which the Hub has moved since.
  assert.is(datasetOfTask(score('piqa', { ...own, path: 'piqa' }))?.id, 'ybisk/piqa')
  assert.is(datasetOfTask(score('mine', { ...own, path: 'json' })), undefined)
})

test('a leaderboard’s task is the benchmark’s, not a configuration or variant of the harness', () => {
  const gsm8k = { id: 'openai/gsm8k', config: 'main', split: 'test' }
  assert.is(benchmarkTask(gsm8k, 'gsm8k'), 'gsm8k')
  assert.is(benchmarkTask(gsm8k, 'gsm8k_cot'), 'gsm8k')
  const gpqa = { id: 'Idavidrein/gpqa', config: 'gpqa_diamond', split: 'train' }
  assert.is(benchmarkTask(gpqa, 'gpqa_diamond_zeroshot'), 'gpqa_diamond')
  const arc = { id: 'allenai/ai2_arc', config: 'ARC-Easy', split: 'test' }
  assert.is(benchmarkTask(arc, 'arc_easy'), 'arc_easy')
})

test.run()
