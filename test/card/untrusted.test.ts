import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { writeCard } from '../../src/card/card.js'
import { splitCard } from '../../src/card/front-matter.js'
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

test('refused: nothing there, a broken file, a card that is no text', async () => {
  const empty = tempDir()
  await fails(() => writeCard(empty), 'input', empty, 'no model')
  await fails(() => writeCard(join(empty, 'not there')), 'input', 'no such file')
  writeFileSync(join(empty, 'model.gguf'), 'version https://git-lfs.github.com/spec/v1\nsize 12\n')
  await fails(() => writeCard(empty), 'input', 'Git LFS pointer')
  const folder = await converted('tiny-v2', { to: 'easylm' })
  await fails(() => writeCard(folder, { repo: 'no owner' }), 'usage', '--repo')
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
