import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { writeCard } from '../../src/card/card.js'
import { splitCard } from '../../src/card/front-matter.js'
import { setMetadata } from '../../src/convert/apply-edit.js'
import { fails } from '../support/errors.js'
import { tempDir } from '../support/temp.js'
import { cardOf, converted } from './made.js'

const test = suite('card: what is not to be trusted')

test('hostile names do no harm', async () => {
  const names = [
    '# x <script>alert(1)<!-- [a](http:b) `c` | d',
    "'; rm -rf ~ #$(touch x)`touch y`",
    '<!-- openllama:files -->',
    'a\n<!-- \u2044openllama:about -->\n---\nlicense: x',
    '-rf $(x) "\\',
  ]
  for (const name of names) {
    const folder = await converted('tiny-v2', { to: 'gguf', dtype: 'q8_0' }, name)
    const file = readdirSync(folder).find((each) => each.endsWith('.gguf')) ?? ''
    renameSync(join(folder, file), join(folder, `${name}.gguf`))
    const path = join(folder, 'openllama.json')
    const record = JSON.parse(readFileSync(path, 'utf8').replaceAll(file, 'FILE'))
    record.target.files[0].name = `${name}.gguf`
    record.source.files[0].name = name
    record.tool.name = name
    record.notes = [name]
    writeFileSync(path, JSON.stringify(record))
    const { text, keys } = await cardOf(folder)
    assert.equal(Object.keys(keys), ['library_name', 'pipeline_tag', 'tags'])
    // Without code, nothing of it is markup.
    const prose = splitCard(text, '\n')
      .body.replace(/^(`{3,})\w*\n[\s\S]*?^\1$/gm, '')
      .replace(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, '')
    assert.not.match(prose, /<script|(?<!\\)\]\(http:/)
    assert.is(prose.match(/^#{1,6} /gm)?.length, text.match(/^(?:# |## |### )/gm)?.length)
    assert.is(prose.match(/^# /gm)?.length, 1)
    // The example gives llama.cpp the file, and runs nothing else.
    const [, example = ''] = /^```+sh\n([\s\S]*?)^```+$/m.exec(text) ?? []
    const stub = 'llama-completion() { printf %s "$2"; }\n'
    const given = execFileSync('bash', ['-c', stub + example], { cwd: folder, encoding: 'utf8' })
    assert.is(given, `${name.startsWith('-') ? './' : ''}${name}.gguf`)
    assert.is((await cardOf(folder)).text, text)
  }
})

/** Each would be something else than text in one of the places that texts get to. */
const evil = [
  '</script></style><script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  'a | b \\| c',
  'x\n\n# Owned\n\n| a |\n| - |\n',
  '---\nlicense: mit\n---\n',
  '```\n</code>`` ` ```` <b>',
  '[x](javascript:alert(1)) ![y](https://evil.example/z)',
  '<https://evil.example> https://evil.example www.evil.example',
  '\u202egnp.exe\u2066 \u0085 \u001b]0;x\u0007 \u{e0041}',
  '<!-- /openllama:about --> -->',
  '&lt;script&gt; &#60;',
  '*x ~ null: {a: [1',
]

const wholeText = (text: string) => text.replace(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, '')

test('hostile metadata, records, results and configurations do no harm', async () => {
  const folder = await converted('tiny-v2', {
    to: 'gguf',
    dtype: 'q8_0',
    metadata: ['general.license=other'],
  })
  const clean = (await cardOf(folder)).text
  const record = JSON.parse(readFileSync(join(folder, 'openllama.json'), 'utf8'))
  const file = readdirSync(folder).find((each) => each.endsWith('.gguf')) ?? ''
  for (const text of evil) {
    await setMetadata(
      join(folder, file),
      ['general.name', 'general.license.name', 'general.license.link', 'general.description'].map(
        (key) => ({ key, type: 'string', text }),
      ),
      { dryRun: false },
    )
    const files = [{ name: file, bytes: 1, sha256: text }]
    const metric = { name: text, value: 1, limit: 2, passed: true }
    const hostile = {
      ...record,
      tool: { name: text, version: text },
      source: { ...record.source, format: text, repository: text, commit: text, files },
      target: { ...record.target, format: text, files },
      options: { dtype: text, [text]: text },
      casts: [{ from: text, to: text, tensors: 1, parameters: 1 }],
      quantization: {
        bits_per_weight: 8,
        fallbacks: [{ tensor: text, wanted: text, got: text, reason: text }],
      },
      notes: [text],
      values: { [text]: { [text]: 1 } },
      check: {
        verdict: 'failed',
        engine: text,
        device: text,
        smoke: { prompt: text, continuation: text, tokens: 1, faults: [text] },
        parity: {
          against: { name: text, format: text, dtype: text, engine: text },
          positions: 1,
          metrics: [metric],
          rounded: [metric],
          faults: [`${text}!`],
          greedy: { common: 1, of: 2 },
          departure: { layer: 0, cause: text, detail: `${text}?` },
        },
        notes: [text],
      },
    }
    writeFileSync(join(folder, 'openllama.json'), JSON.stringify(hostile))
    const results = join(tempDir(), 'results.json')
    const scores = { [`${text.replace(/,/g, '')},${text}`]: 0.5, [`x,${text}`]: null }
    writeFileSync(
      results,
      JSON.stringify({
        results: { [text]: scores },
        groups: { [text]: scores },
        versions: { [text]: text },
        configs: { [text]: { dataset_path: text, metric_list: [{ metric: text }] } },
        config: { model_args: { pretrained: text, revision: text, dtype: text, peft: text } },
        lm_eval_version: text,
        transformers_version: text,
        date: 1.7e9,
      }),
    )
    rmSync(join(folder, 'README.md'))
    const { text: card, keys } = await cardOf(folder, { evals: [results] })
    const { body } = splitCard(card, '\n')
    assert.equal(
      Object.keys(keys).filter((key) => !key.startsWith('license')),
      ['library_name', 'pipeline_tag', 'tags', 'model-index'],
    )
    assert.is(keys.license, 'other')
    assert.not.match(String(keys.license_link ?? ''), /script|[<>"\n]/)
    // Once more: its own sections and keys are found again.
    assert.is((await cardOf(folder, { evals: [results] })).text, card)
    const blocks = /^(`{3,})\w*\n[\s\S]*?^\1$/gm
    const prose = wholeText(body.replace(blocks, ''))
    assert.not.match(prose, /<(?!code>|\/code>|br>|!-- \/?openllama:)/, text)
    assert.not.match(
      prose,
      /(?<!\\)\]\((?!https:\/\/(?:huggingface\.co|github\.com)\/|openllama-)/,
      text,
    )
    assert.not.match(prose, /(?<!\]\()https?:\/\/(?!huggingface)|(?<!\\)www\./, text)
    // Headings and tables are those of any card: no text has made one.
    const heads = [...prose.matchAll(/^#{1,6} .*$/gm)].map(([line]) => line)
    assert.is(heads.length, 8 + (clean.match(/^### /gm)?.length ?? 0), heads.join(' / '))
    for (const block of prose.match(/(?:^\|.*\n)+/gm) ?? []) {
      const columns = block
        .trim()
        .split('\n')
        .map((line) => line.split(/(?<!\\)\|/).length)
      assert.is(new Set(columns).size, 1, block)
    }
    assert.not.match(card, /[^\P{Cc}\n]|[\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u)
  }
})

test('refused: nothing there, a broken file, a card that is no text', async () => {
  const empty = tempDir()
  await fails(() => writeCard(empty), 'input', empty, 'no model')
  await fails(() => writeCard(join(empty, 'not there')), 'input', 'no such file')
  writeFileSync(join(empty, 'model.gguf'), 'version https://git-lfs.github.com/spec/v1\nsize 12\n')
  await fails(() => writeCard(empty), 'input', 'Git LFS pointer')
  const folder = await converted('tiny-v2', { to: 'easylm' })
  await fails(() => writeCard(folder, { repo: 'no owner' }), 'usage', '`repo`')
  writeFileSync(join(folder, 'README.md'), Buffer.from([0x23, 0x20, 0xff, 0xfe]))
  await fails(() => writeCard(folder), 'input', 'README.md', 'UTF-8')
  writeFileSync(join(folder, 'README.md'), '---\na: [\n---\n')
  const files = readdirSync(folder)
  await fails(() => writeCard(folder), 'input', 'README.md', 'not valid')
  writeFileSync(join(folder, 'openllama.json'), '{"target": ')
  await fails(() => writeCard(folder), 'input', 'openllama.json', 'not valid JSON')
  assert.equal(readdirSync(folder), files)
  assert.is(basename(folder), 'model')
})

test.run()
