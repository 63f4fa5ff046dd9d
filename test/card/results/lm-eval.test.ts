import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { evalResultsFiles, modelIndex } from '../../../src/card/results/data.js'
import { parseEvalRun, readEvalRun, type Score } from '../../../src/card/results/lm-eval.js'
import { compareRuns } from '../../../src/card/results/results.js'
import { resultsSection } from '../../../src/card/sections/results.js'
import { fails } from '../../support/errors.js'
import { fixture, shared } from '../../support/paths.js'
import { bareSubject } from '../subject.js'

const test = suite('card: lm-evaluation-harness')

const oldFile = fixture('lm-eval', 'old.json')
const newFile = fixture('lm-eval', 'new.json')

const found = (scores: readonly Score[], task: string, metric: string, filter?: string) => {
  const score = scores.find(
    (each) => each.task === task && each.metric === metric && each.filter === filter,
  )
  assert.ok(score, `${task} ${metric}`)
  return score
}

test('before 0.4: figures, errors, examples, weights and tokenizer', async () => {
  const run = await readEvalRun(oldFile)
  assert.is(run.scores.length, 5)
  const norm = found(run.scores, 'hellaswag', 'acc_norm')
  assert.equal(
    [norm.value, norm.stderr, norm.shots, norm.version, norm.higherIsBetter],
    [0.3125, 0.00625, 5, '0', true],
  )
  const perplexity = found(run.scores, 'wikitext', 'word_perplexity')
  assert.equal([perplexity.stderr, perplexity.higherIsBetter], [undefined, false])
  assert.is(run.harness, 'lm-evaluation-harness before 0.4')
  assert.is(run.date, undefined)
  const { name, dtype, tokenizerKind } = run.model
  assert.equal([name, dtype, tokenizerKind], ['someone/tiny-v2', 'float16', 'slow'])
})

test('since 0.4: filters, groups, a limit, arguments as an object', async () => {
  const run = await readEvalRun(newFile)
  assert.is(run.scores.length, 6)
  const strict = found(run.scores, 'gsm8k', 'exact_match', 'strict-match')
  const flexible = found(run.scores, 'gsm8k', 'exact_match', 'flexible-extract')
  assert.equal([strict.value, strict.stderr, strict.shots], [0.125, 0.0078125, 8])
  assert.equal([flexible.value, flexible.stderr], [0.1875, undefined])
  assert.is(found(run.scores, 'pair', 'acc').isGroup, true)
  assert.is(found(run.scores, 'arc_easy', 'acc').isGroup, false)
  assert.is(found(run.scores, 'own_task', 'brier_score').higherIsBetter, false)
  assert.is(run.harness, 'lm-evaluation-harness 0.4.9, commit deadbee')
  assert.equal([run.transformers, run.date, run.limit], ['5.0.0', '2025-01-01', '100'])
  assert.equal(run.model, {
    // Folders of somebody's machine are left out.
    name: 'someone/tiny-v2',
    revision: '0123456789ab',
    dtype: 'bfloat16',
    tokenizerKind: 'fast',
    tokenizer: undefined,
    others: ['load_in_4bit'],
  })
})

test('the real files: every figure as it stands in them', async () => {
  const names = [
    'openlm-research-open_llama_3b_v2.json',
    'openlm-research-open_llama_7b_v2.json',
    'results_2024-06-03T01-54-41.753933.json',
  ]
  const runs = []
  for (const name of names) {
    const path = shared('the figures of real results', 'real', 'lm-eval', name)
    if (path === undefined) return
    const run = await readEvalRun(path)
    const { results } = JSON.parse(readFileSync(path, 'utf8'))
    let figures = 0
    for (const [task, metrics] of Object.entries<Record<string, unknown>>(results)) {
      for (const [key, value] of Object.entries(metrics)) {
        if (key === 'alias' || key.includes('_stderr')) continue
        figures++
        const [metric = '', filter = ''] = key.split(',')
        const score = found(run.scores, task, metric)
        assert.is(score.value, value)
        assert.is(
          score.stderr,
          metrics[filter === '' ? `${metric}_stderr` : `${metric}_stderr,${filter}`],
        )
        assert.is(score.shots, 0)
      }
    }
    assert.is(run.scores.length, figures)
    runs.push(run)
  }
  const [small, large, llama] = runs
  // Read off the files by eye.
  assert.is(found(small?.scores ?? [], 'arc_challenge', 'acc_norm').value, 0.3609215017064846)
  assert.is(found(large?.scores ?? [], 'lambada_openai', 'ppl').value, 3.8265934555236463)
  assert.is(found(llama?.scores ?? [], 'steer5', 'acc').stderr, 0.011292812341403361)
  assert.equal(
    runs.map(({ model }) => [model.name, model.dtype, model.tokenizerKind]),
    [
      ['openlm-research/open_llama_3b_v2', 'bfloat16', 'slow'],
      ['openlm-research/open_llama_7b_v2', 'bfloat16', 'slow'],
      ['meta-llama/Llama-2-7b-hf', 'float16', undefined],
    ],
  )
  assert.equal(
    [llama?.harness, llama?.transformers, llama?.date],
    ['lm-evaluation-harness commit bb3ea721', '4.38.2', '2024-06-03'],
  )
  const comparison = compareRuns(runs, ['open_llama_3b_v2'])
  const section = resultsSection(comparison, bareSubject)
  assert.match(
    section,
    '| hellaswag | acc_norm ↑ | 0 | 0.6999 ± 0.0046 | 0.7465 ± 0.0043 (+0.0466) |  |',
  )
  assert.match(
    section,
    '| lambada_openai | ppl ↓ | 0 | 4.5656 ± 0.1035 | 3.8266 ± 0.0788 (−0.7390) |  |',
  )
  assert.match(section, '| **steer** | acc ↑ | 0 |  |  | 0.3030 ± 0.0027 |')
  const [entry] = modelIndex(comparison, 'x', undefined)
  assert.is(Array.isArray(entry?.results) && entry.results.length, 11)
  assert.match(
    JSON.stringify(entry),
    '"value":0.6998605855407289,"args":{"stderr":0.004573817163007456}',
  )
  const files = evalResultsFiles(comparison)
  assert.equal(
    files.map(({ name }) => name),
    ['lm-evaluation-harness-0-shot.yaml'],
  )
  assert.match(files[0]?.text ?? '', 'value: 0.6998605855407289')
})

test('two models side by side: the card’s own first, differences only of like with like', async () => {
  const runs = [await readEvalRun(oldFile), await readEvalRun(newFile)]
  const [run] = runs
  assert.ok(run)
  const other = { ...run, model: { ...run.model, name: 'someone/other' } }
  const changed = other.scores.map((score) => ({ ...score, value: score.value + 0.5 }))
  const { models, rows, warnings } = compareRuns(
    [{ ...other, scores: changed }, run],
    ['me/tiny-v2'],
  )
  assert.equal(
    models.map(({ label }) => label),
    ['tiny-v2', 'other'],
  )
  assert.equal(warnings, [])
  assert.equal(
    rows.find(({ metric }) => metric === 'acc')?.scores.map((score) => score?.value),
    [0.25, 0.75],
  )
  const otherShots = { ...other, scores: other.scores.map((score) => ({ ...score, shots: 0 })) }
  const apart = compareRuns([run, otherShots], ['me/tiny-v2'])
  assert.is(apart.rows.length, 10)
  assert.ok(apart.rows.every(({ scores }) => scores.filter((score) => score).length === 1))
})

test('runs of one model are put together, unless they contradict each other', async () => {
  const run = await readEvalRun(oldFile)
  assert.is(compareRuns([run, { ...run, path: 'again.json' }], []).models.length, 1)
  const scores = run.scores.map((score) => ({ ...score, value: 0.75 }))
  await fails(
    () => compareRuns([run, { ...run, path: 'again.json', scores }], []),
    'input',
    'again.json',
    0.75,
    0.25,
    'old.json',
  )
})

test('a model-index: other results stay, ours are replaced', async () => {
  const theirs = {
    task: { type: 'text-generation' },
    dataset: { type: 'a/b', name: 'B' },
    metrics: [{ type: 'acc', value: 1 }],
  }
  const comparison = compareRuns([await readEvalRun(newFile)], ['tiny-v2'])
  const once = modelIndex(comparison, 'm', [{ name: 'm', results: [theirs] }])
  assert.equal(modelIndex(comparison, 'm', once), once)
  assert.match(JSON.stringify(once), JSON.stringify(theirs))
  // Renamed: ours go along, theirs stay where they are.
  const renamed = modelIndex(comparison, 'n', once)
  assert.equal(
    renamed.map(({ name, results }) => [name, Array.isArray(results) && results.length]),
    [
      ['n', 4],
      ['m', 1],
    ],
  )
})

test('.eval_results: one value a task, none for data that are not on the Hub', async () => {
  const files = evalResultsFiles(compareRuns([await readEvalRun(newFile)], ['tiny-v2']))
  assert.equal(
    files.map(({ name }) => name),
    ['lm-evaluation-harness-0-shot.yaml', 'lm-evaluation-harness-8-shot.yaml'],
  )
  const [zero = '', eight = ''] = files.map(({ text }) => text)
  assert.match(
    zero,
    'id: allenai/ai2_arc\n    task_id: arc_easy\n  value: 0.5\n  date: "2025-01-01"',
  )
  assert.match(
    zero,
    /notes: "arc_easy acc_norm; standard error 0\.0100; 0-shot; .*0\.4\.9.*bfloat16.*its own fast tokenizer; at most 100 examples"/,
  )
  assert.not.match(zero, 'own_task')
  assert.not.match(zero, 'pair')
  assert.match(eight, 'value: 0.125')
  assert.not.match(eight, '0.1875')
})

test('arguments that may be secrets are nowhere', async () => {
  const comparison = compareRuns([await readEvalRun(oldFile)], ['tiny-v2'])
  const all = [
    resultsSection(comparison, bareSubject),
    JSON.stringify(modelIndex(comparison, 'm', undefined)),
    ...evalResultsFiles(comparison).map(({ text }) => text),
  ]
  for (const text of all) assert.not.match(text, 'notforyoureyes')
})

const written: [
  version: string,
  results: string,
  rest: string,
  scores: unknown[],
  notes: number,
][] = [
  // lm_eval/evaluator.py of 0.3.0: names without filters; forks put lists of samples beside them.
  [
    '0.3.0',
    '"wikitext": {"word_perplexity": 12.5, "byte_perplexity": Infinity, "details": [1, 2], "name": "x"}',
    '"versions": {"wikitext": 1}, "config": {"num_fewshot": 0}',
    [['wikitext', 'word_perplexity', undefined, 12.5, undefined, 0]],
    1,
  ],
  // evaluator.py of 0.4.0: `samples` where a group's are left, `N/A` as a version.
  [
    '0.4.0',
    '"g": {"acc,none": 0.5, "acc_stderr,none": 0.25, "samples": 14, "alias": "g"}, "t": {"acc,none": 0.5, "acc_stderr,none": "N/A"}',
    '"groups": {"g": {"acc,none": 0.5}}, "versions": {"g": "N/A", "t": 1.0}, "n-shot": {"g": [0, 5], "t": 0}',
    [
      ['g', 'acc', undefined, 0.5, 0.25, undefined],
      ['t', 'acc', undefined, 0.5, undefined, 0],
    ],
    0,
  ],
  // evaluator_utils.py of 0.4.5: a blank under a blank for a group that has no figures of its own.
  [
    '0.4.5',
    '"g": {" ": " ", "alias": "g"}, "t": {"alias": " - t", "exact_match,strict": NaN, "exact_match_stderr,strict": NaN, "exact_match,get, last": 0.5, "exact_match_stderr,get, last": -Infinity}',
    '"configs": {"t": {"num_fewshot": null}}, "config": {"model_args": "pretrained=a/NaN \\" Infinity"}',
    [['t', 'exact_match', 'get, last', 0.5, undefined, undefined]],
    1,
  ],
  // api/group.py and evaluator_utils.py of 0.4.13: counts of samples, by metric for groups.
  [
    '0.4.13',
    '"t": {"name": "t", "alias": "t", "sample_len": 7, "acc,none": 0.5, "acc_stderr,none": 0.25}, "g": {"alias": "g", "name": "g", "sample_len": 14, "acc,none": 0.5, "acc_stderr,none": "N/A", "sample_count": {"acc,none": 14}}',
    '"groups": {"g": {"sample_count": {"acc,none": 14}}}, "configs": {"t": {"num_fewshot": 0}}, "n-shot": {"t": 0, "g": 0}',
    [
      ['t', 'acc', undefined, 0.5, 0.25, 0],
      ['g', 'acc', undefined, 0.5, undefined, 0],
    ],
    0,
  ],
]

for (const [version, results, rest, scores, notes] of written) {
  test(`what ${version} writes: its metrics and nothing else`, () => {
    const text = `{"results": {${results}}, ${rest}}`
    const run = parseEvalRun(new TextEncoder().encode(text), 'r.json')
    assert.equal(
      run.scores.map(({ task, metric, filter, value, stderr, shots }) => [
        ...[task, metric, filter],
        ...[value, stderr, shots],
      ]),
      scores,
    )
    assert.is(run.notes.length, notes, run.notes.join())
    assert.equal(compareRuns([run], []).warnings, run.notes)
  })
}

test('.eval_results: the metric of the task, or nothing', () => {
  const task = (name: string, metrics: string, list: string) =>
    [
      `"${name}": {"sample_len": 7, ${metrics}}`,
      `"${name}": {"dataset_path": "some/data", "metric_list": [${list}]}`,
    ] as const
  const tasks = [
    task('wikitext', '"bits_per_byte,none": 1, "word_perplexity,none": 2', ''),
    task('ifeval', '"inst_level_loose_acc,none": 3, "prompt_level_strict_acc,none": 4', ''),
    task('humaneval', '"pass@1,create_test": 5', ''),
    task('one', '"rouge_l,none": 6', '{"metric": "rouge_l"}'),
    task('several', '"x,none": 7, "y,none": 8', '{"metric": "x"}, {"metric": "y"}'),
  ]
  const [results, configs] = [0, 1].map((i) => tasks.map((each) => each[i]).join())
  const text = `{"results": {${results}}, "configs": {${configs}}}`
  const run = parseEvalRun(new TextEncoder().encode(text), 'r.json')
  const [file] = evalResultsFiles(compareRuns([run], []))
  assert.equal(
    [...(file?.text ?? '').matchAll(/^ {2}value: (\d+)$/gm)].map(([, value]) => Number(value)),
    [2, 4, 5, 6],
  )
})

test('megabytes of text with NaN at their end are read in one pass', () => {
  const long = '\\"'.repeat(1e6)
  const text = `{"a": "${long}", "results": {"t": {"acc,none": 0.5, "x,none": NaN}}}`
  const began = performance.now()
  assert.is(parseEvalRun(new TextEncoder().encode(text), 'r.json').scores.length, 1)
  assert.ok(performance.now() - began < 5000)
})

const malformed: [what: string, text: string, ...parts: string[]][] = [
  ['cut off', '{"results": {"a": {"acc": 0.', 'not valid JSON'],
  ['another JSON', '{"a": 1}', 'no "results"', '--output_path'],
  ['a list', '[]', 'a JSON object is expected'],
  ['no figures', '{"results": {"a": {"alias": "a"}}}', 'no figure'],
  ['a task that is a number', '{"results": {"a": 1}}', 'results.a is no object'],
  ['a figure that is an object', '{"results": {"a": {"acc": {}}}}', 'no figure'],
  ['no figure but NaN', '{"results": {"a": {"acc": NaN}}}', 'no figure'],
  ['no figure but an infinite one', '{"results": {"a": {"acc": 1e999}}}', 'no figure'],
  ['NaN without the rest of it', '{"results": {"a": {"acc": NaN', 'not valid JSON'],
  [
    'a negative error',
    '{"results": {"a": {"acc": 0.5, "acc_stderr": -1}}}',
    'standard error of results.a.acc is -1',
  ],
  [
    'half an example',
    '{"results": {"a": {"acc": 0.5}}, "config": {"num_fewshot": 0.5}}',
    'number of examples of a is 0.5',
  ],
]

for (const [what, text, ...parts] of malformed) {
  test(`refused: ${what}`, () =>
    fails(
      () => parseEvalRun(new TextEncoder().encode(text), 'r.json'),
      'input',
      'r.json',
      ...parts,
    ).then(() => {}))
}

test.run()
