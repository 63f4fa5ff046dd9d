import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { putSections } from '../../../src/card/sections/sections.js'
import { fails } from '../../support/errors.js'

const test = suite('card: sections')

const put = (text: string, sections: Parameters<typeof putSections>[1]) =>
  putSections(text, sections, 'README.md')

test('new sections come in their order, and once', () => {
  const sections = { files: 'F', about: 'A', limits: '' }
  const once = put('# T\n', sections)
  assert.is(
    once,
    '# T\n\n<!-- openllama:about -->\nA\n<!-- /openllama:about -->\n\n<!-- openllama:files -->\nF\n<!-- /openllama:files -->\n',
  )
  assert.is(put(once, sections), once)
})

test('what stands around them stays, byte for byte', () => {
  const own = ['top \t\n\n\n', 'between  \n* a\n\n', '\nend without a line break']
  const card = (a: string, f: string) =>
    `${own[0]}<!-- openllama:files -->\n${f}<!-- /openllama:files -->\n${own[1]}<!-- openllama:about -->\n${a}<!-- /openllama:about -->\n${own[2]}`
  assert.is(put(card('old\n', 'old\n'), { about: 'A', files: 'F\n\nG' }), card('A\n', 'F\n\nG\n'))
  // Absent: stays. Empty: emptied.
  assert.is(put(card('old\n', 'old\n'), { files: '' }), card('old\n', ''))
})

test('a new one comes behind those that precede it', () => {
  const card = 'x\n<!-- openllama:files -->\n<!-- /openllama:files -->\nmine\n'
  const result = put(card, { files: 'F', use: 'U', about: 'A' })
  const order = ['x', 'about', 'files', 'use', 'mine'].map((word) => result.indexOf(word))
  assert.equal(
    order,
    order.toSorted((a, b) => a - b),
  )
  assert.is(put(result, { files: 'F', use: 'U', about: 'A' }), result)
  assert.match(result, /<!-- \/openllama:use -->\n\nmine\n$/)
})

test('one that is not wanted does not come', () => {
  const card = 'x\n<!-- openllama:without citation -->\n'
  assert.is(put(card, { citation: 'C' }), card)
})

test('line ends are the card’s', () => {
  const result = put('# T\r\n\r\nmine\r\n', { about: 'A\nB' })
  assert.not.match(result.replaceAll('\r\n', ''), '\n')
  assert.match(result, 'A\r\nB\r\n')
})

test('markers in a block of code are nobody’s', () => {
  const card = '```\n<!-- openllama:about -->\n```\n~~~md\n```\n<!-- /openllama:files -->\n~~~\n'
  assert.is(put(card, { about: 'A' }).startsWith(card), true)
})

const refused: [what: string, text: string, ...parts: string[]][] = [
  ['no end', 'a\n<!-- openllama:about -->\nb\n', 'line 2', 'does not end'],
  ['no beginning', '<!-- /openllama:about -->\n', 'line 1', 'has not begun'],
  ['an unknown name', '<!-- openllama:abuot -->\n', '"abuot"', 'about'],
  ['one in another', '<!-- openllama:about -->\n<!-- openllama:use -->\n', 'line 2', '"about"'],
  [
    'twice',
    '<!-- openllama:use -->\n<!-- /openllama:use -->\n<!-- openllama:use -->\n',
    'line 3',
    'twice',
  ],
]

for (const [what, text, ...parts] of refused) {
  test(`refused: ${what}`, async () => {
    await fails(() => put(text, { about: 'A' }), 'input', 'README.md', ...parts)
  })
}

test('megabytes of lines of any kind are looked through once', () => {
  const began = performance.now()
  for (const line of ['\n', '\r\n', '---\n', '```\n', '~~~ ~~~\n', '<!-- \n', ' \n']) {
    const text = line.repeat(2 ** 20 / line.length)
    assert.ok(put(text, { about: 'A' }).includes(text.slice(0, 2 ** 19)))
  }
  assert.ok(performance.now() - began < 4000)
})

test.run()
