import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openllama } from '../support/cli.js'
import { convert } from '../support/convert.js'
import { fixture } from '../support/paths.js'
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
  assert.match(stderr, /^warning: there is no license/m)
  assert.match(
    readFileSync(join(folder, 'README.md'), 'utf8'),
    /^---\nlibrary_name: transformers\n/,
  )
})

test('--json, --out, several --eval, --loss: one document, files beside the card', async () => {
  const folder = await model()
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

const refused: [what: string, exit: number, args: (folder: string) => string[], message: RegExp][] =
  [
    ['no directory', 2, () => [], /dir/],
    ['an unknown release', 2, (folder) => [folder, '--model', 'gpt'], /open_llama_13b/],
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
