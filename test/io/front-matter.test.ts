import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listOf, parseFrontMatter } from '../../src/io/front-matter.js'

const test = suite('io: front matter')

const read = (text: string) => Object.fromEntries(parseFrontMatter(text))

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
  assert.equal(listOf('a'), ['a'])
  assert.equal(listOf(['a', 'b']), ['a', 'b'])
  assert.equal(listOf(undefined), [])
})

test.run()
