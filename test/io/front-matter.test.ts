import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fieldList, findFrontMatter, parseFrontMatter } from '../../src/io/front-matter.js'
import { fails } from '../support/errors.js'

const test = suite('io: front matter')

const read = (text: string) => Object.fromEntries(parseFrontMatter(text, 'README.md'))

test('texts, lists, and what is nested deeper', () => {
  assert.equal(
    read(`---
license: apache-2.0   # as the weights
license_name: 'a # b'
language:
- en
-   "no"
tags: [a, "b c", ]
datasets:
  - one/two
  - https://example.com/x#y

description: >
  Two
  lines.
note: |
  Two
  lines.
url: https://example.com/a:b
empty:
map: {a: 1}
widget:
- text: hello
model-index:
- name: x
  results:
  - task: {}
last: yes
---
license: not this
`),
    {
      license: 'apache-2.0',
      license_name: 'a # b',
      language: ['en', 'no'],
      tags: ['a', 'b c'],
      datasets: ['one/two', 'https://example.com/x#y'],
      description: 'Two lines.',
      note: 'Two\nlines.',
      url: 'https://example.com/a:b',
      last: 'yes',
    },
  )
})

test('with Windows’ line ends and a byte order mark', () => {
  assert.equal(read('\uFEFF---\r\nlicense: mit\r\n---\r\n'), { license: 'mit' })
})

test('no front matter, or one without an end', () => {
  for (const text of ['', '# Title\n---\nlicense: mit\n---\n', '---\nlicense: mit\n']) {
    assert.equal(read(text), {})
  }
})

test('one text is a list of one', () => {
  assert.equal(fieldList('a'), ['a'])
  assert.equal(fieldList(['a', 'b']), ['a', 'b'])
  assert.equal(fieldList(undefined), [])
})

test('aliases, and the ways of saying nothing', () => {
  assert.equal(
    read('---\na: &x one\nb: *x\nc: [*x, two]\nd: ~\ne: null\nf: "null"\ng: &y [1]\nh: *y\n---\n'),
    { a: 'one', b: 'one', c: ['one', 'two'], f: 'null', g: ['1'], h: ['1'] },
  )
})

const hostile: [what: string, yaml: string, ...parts: string[]][] = [
  ['an alias of nothing', 'a: b\nc: *x\n', 'README.md, line 3', '*x stands for &x'],
  ['an alias before its anchor', 'a: *x\nb: &x 1\n', '*x stands for &x'],
  ['a thousand aliases', `a: &x 1\nb: [${'*x, '.repeat(1000)}]\n`, 'more than 100 aliases'],
  ['a key twice', 'a: b\na: c\n', 'line 3', '"a" is there twice'],
  ['no YAML', 'a: [\n', 'not valid'],
  ['lists in lists on a line', `a:\n${'- '.repeat(131072)}`, 'nests more than 100 levels'],
  ['keys in keys on a line', '? '.repeat(131072), 'nests more than 100 levels'],
  ['brackets', `a: ${'['.repeat(400_000)}`, 'nests more than 100 levels'],
  ['indentation', `a:\n${' '.repeat(500_000)}b: c`, 'indented by more than 1000'],
  ['keys without end', 'k: v\n'.repeat(150_000), 'more than 100000 words'],
  ['empty lines without end', `a:${'\n'.repeat(1_000_000)}b: c\n`, 'more than 100000 words'],
  ['16 MB of it', 'a: b\n'.repeat(3_200_000), 'characters, 1048576 are the most'],
]

for (const [what, yaml, ...parts] of hostile) {
  test(`refused: ${what}`, () =>
    fails(() => read(`---\n${yaml}\n---\n`), 'input', ...parts).then(() => {}))
}

test('16 MB of what it may look like are passed over at once', () => {
  const size = 16 * 1024 * 1024
  const texts = [
    ['---', 'a:', '\t ', ''],
    ['---', '---', ' ', 'x'],
    ['', '', '\n', '---'],
    ['', '', ' ', '---'],
    ['---', '', '---x\n', ''],
    ['---', '', '--- \t', ''],
  ].map(([first, key = '', filling = '', end]) => {
    return `${first}\n${key}${filling.repeat(size / filling.length)}${end}`
  })
  const began = performance.now()
  assert.equal(
    texts.map(findFrontMatter),
    texts.map(() => undefined),
  )
  assert.ok(performance.now() - began < 5000)
})

test('80 kB of blanks behind a key', () => {
  assert.equal(read(`---\na:${' '.repeat(80_000)}b\n---\n`), { a: 'b' })
})

test.run()
