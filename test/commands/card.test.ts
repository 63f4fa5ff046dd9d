import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openllama } from '../support/cli-here.js'
import { convert } from '../support/convert.js'
import { fixture } from '../support/paths.js'
import { makeSparse } from '../support/sparse.js'
import { tempDir } from '../support/temp.js'

const test = suite('commands: card')

async function model(): Promise<string> {
  const folder = join(tempDir(), 'model')
  await convert(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), folder, {
    to: 'safetensors',
    config: fixture('tiny-v2', 'config.json'),
  })
  return folder
}

test('writes a card and says what it wrote', async () => {
  const folder = await model()
  const { code, stdout, stderr } = await openllama(['card', folder])
  assert.is(code, 0, stderr)
  assert.match(stdout, join(folder, 'README.md'))
  assert.match(stdout, /sections about, files, use, provenance, citation/)
  assert.match(stderr, /^warning: there is no license.*openllama card --license ID/m)
  assert.match(
    readFileSync(join(folder, 'README.md'), 'utf8'),
    /^---\nlibrary_name: transformers\n/,
  )
})

test('--json, --out, several --eval, --loss: one document, files beside the card', async () => {
  const folder = join(tempDir(), 'open_llama_3b_v2')
  mkdirSync(folder)
  const geometry = { vocab: 32000, hidden: 3200, intermediate: 8640, layers: 26 }
  const heads = { heads: 32, kvHeads: 32, headDim: 100 }
  await makeSparse(join(folder, 'streaming_params'), { ...geometry, ...heads }, 'bf16')
  const place = tempDir()
  writeFileSync(join(place, 'log.jsonl'), '{"step":1,"loss":3}\n{"step":2,"loss":2}\n')
  const out = join(place, 'cards', 'CARD.md')
  const { code, stdout } = await openllama([
    ...[
      'card',
      folder,
      '--json',
      '--model',
      'open_llama_3b_v2',
      '--repo',
      'me/tiny-v2',
      '--out',
      out,
    ],
    ...['--eval', fixture('lm-eval', 'old.json'), '--eval', fixture('lm-eval', 'new.json')],
    ...['--loss', join(place, 'log.jsonl')],
  ])
  assert.is(code, 0, stdout)
  const result = JSON.parse(stdout)
  assert.equal(Object.keys(result), ['out', 'files', 'model', 'formats', 'sections', 'warnings'])
  assert.is(result.out, out)
  assert.is(result.model, 'open_llama_3b_v2')
  assert.equal(
    result.files.map(({ path }: { path: string }) => path.slice(place.length + 1)),
    [
      'cards/CARD.md',
      'cards/openllama-evaluation.svg',
      'cards/openllama-loss.svg',
      'cards/.eval_results/lm-evaluation-harness-5-shot.yaml',
    ],
  )
  for (const { path, bytes } of result.files) assert.is(readFileSync(path).length, bytes)
  assert.not.ok(existsSync(join(folder, 'README.md')))
})

test('a conversion’s own check: the card has the record’s figures, one by one', async () => {
  const folder = join(tempDir(), 'model')
  const source = fixture('tiny-v1', 'easylm', 'streaming_params_bf16')
  const config = ['--config', fixture('tiny-v1', 'config.json')]
  const to = ['--to', 'gguf', '--dtype', 'q4_k_m', '--out', folder]
  const converted = await openllama(['convert', source, ...config, ...to], { checked: true })
  assert.is(converted.code, 0, converted.stderr)
  const { check } = JSON.parse(readFileSync(join(folder, 'openllama.json'), 'utf8'))
  assert.is(check.verdict, 'passed')
  assert.ok(check.parity.metrics.length >= 8)
  const { code, stdout } = await openllama(['card', folder])
  assert.is(code, 0)
  assert.match(stdout, /sections about, files, use, check, /)
  const card = readFileSync(join(folder, 'README.md'), 'utf8')
  const [, section = ''] =
    /<!-- openllama:check -->([\s\S]*)<!-- \/openllama:check -->/.exec(card) ?? []
  const rows = section
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2)
    .map((line) => line.split('|').map((cell) => cell.trim()))
  assert.is(rows.length, check.parity.metrics.length)
  const number = (cell = '') =>
    cell.endsWith(' %') ? Number(cell.slice(0, -2)) / 100 : Number(cell)
  check.parity.metrics.forEach(
    (metric: { name: string; value: number; limit: number | null; passed: boolean }, i: number) => {
      const [, , value, limit = '', within] = rows[i] ?? []
      const near = (cell: string | undefined, wanted: number) =>
        assert.ok(Math.abs(number(cell) - wanted) <= 1e-12 * wanted, `${metric.name}: ${cell}`)
      near(value, metric.value)
      assert.is(limit === '', metric.limit === null, metric.name)
      assert.is(within, metric.limit === null ? '' : metric.passed ? 'yes' : '**no**')
      if (metric.limit === null) return
      assert.is(limit.slice(0, 1), metric.name === 'top1_agreement' ? '≥' : '≤')
      near(limit.slice(2), metric.limit)
    },
  )
  assert.match(section, `at ${check.parity.positions} positions`)
  assert.match(
    section,
    'compared with its source, `streaming_params_bf16` (EasyLM, bf16, run in ONNX Runtime)',
  )
  assert.match(section, `the same ${check.parity.greedy.of} tokens`)
  assert.match(section, `\`\`\`text\n${check.smoke.prompt}\n\`\`\``)
  assert.match(section, `\`\`\`text\n${check.smoke.continuation.trimEnd()}\n\`\`\``)
})

const refused: [what: string, exit: number, args: (folder: string) => string[], message: RegExp][] =
  [
    ['no directory', 2, () => [], /dir/],
    [
      'another model than the release',
      2,
      (folder) => [folder, '--model', 'open_llama_3b_v2'],
      /hidden_size is 256, open_llama_3b_v2 has 3200/,
    ],
    ['an unknown release', 2, (folder) => [folder, '--model', 'gpt'], /open_llama_13b/],
    [
      'a file in place of its folder',
      2,
      (folder) => [join(folder, 'model.safetensors')],
      /it is a file; .*\n.*openllama card \S+model$/m,
    ],
    ['no such folder', 3, (folder) => [`${folder}-not`], /no such file or directory/],
    ['a license that is none', 2, (folder) => [folder, '--license', 'mine'], /apache-2\.0 or mit/],
    ['a repository without an owner', 2, (folder) => [folder, '--repo', 'x'], /owner and name/],
    [
      'results that are none',
      3,
      (folder) => [folder, '--eval', join(folder, 'config.json')],
      /config\.json: it has no "results"/,
    ],
    [
      'a log that is none',
      3,
      (folder) => [folder, '--loss', join(folder, 'config.json')],
      /config\.json: line 1 is no JSON/,
    ],
    [
      'results that are not there',
      3,
      (folder) => [folder, '--eval', 'nowhere.json'],
      /nowhere\.json/,
    ],
    ['a folder without weights', 3, () => [fixture('lm-eval')], /no model is in this directory/],
  ]

test('refused, with the exit code and what to do, and nothing is written', async () => {
  const folder = await model()
  for (const [what, exit, args, message] of refused) {
    const { code, stderr } = await openllama(['card', ...args(folder)])
    assert.is(code, exit, `${what}: ${stderr}`)
    assert.match(stderr, message, what)
    assert.not.match(stderr, / {4}at /)
  }
  assert.not.ok(existsSync(join(folder, 'README.md')))
})

test.run()
