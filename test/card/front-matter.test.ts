import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  editFrontMatter,
  type FieldChange,
  readFrontMatter,
  splitCard,
} from '../../src/card/front-matter.js'
import { frontMatterFaults } from '../../src/card/validate.js'
import { toYaml } from '../../src/card/yaml.js'
import { fails } from '../support/errors.js'

const test = suite('card: front matter')

const edit = (yaml: string, ...changes: FieldChange[]) =>
  editFrontMatter(yaml, changes, '\n', 'README.md')

const cases: [what: string, before: string, changes: FieldChange[], after: string][] = [
  [
    'a value is replaced, the comment behind it stays',
    '# mine\nlicense:   mit   # why not\nother: {a:  1}\n',
    [{ key: 'license', set: 'apache-2.0' }],
    '# mine\nlicense: apache-2.0   # why not\nother: {a:  1}\n',
  ],
  [
    'what is right already keeps its form',
    "license:   'apache-2.0'\n",
    [{ key: 'license', set: 'apache-2.0' }],
    "license:   'apache-2.0'\n",
  ],
  [
    'a value is filled in only where there is none',
    'license: mit\nlanguage:\nx: 1\n',
    [
      { key: 'license', fill: 'apache-2.0' },
      { key: 'language', fill: ['en'] },
    ],
    'license: mit\nlanguage:\n- en\nx: 1\n',
  ],
  [
    'a list gets what it lacks, its comments stay',
    'tags:\n    - a # first\n    # between\n    - "b"  # last\n\nx: 1\n',
    [{ key: 'tags', add: ['b', 'c', 'a', 'd'] }],
    'tags:\n    - a # first\n    # between\n    - "b"  # last\n    - c\n    - d\n\nx: 1\n',
  ],
  [
    'a list in brackets stays in them',
    'tags: [a, "b"]  # c\n',
    [{ key: 'tags', add: ['d'] }],
    'tags: [a, "b", "d"]  # c\n',
  ],
  ['an empty list in brackets', 'tags: []\n', [{ key: 'tags', add: ['d'] }], 'tags: ["d"]\n'],
  [
    'a single text becomes a list',
    'datasets: a/b\n',
    [{ key: 'datasets', add: ['c/d'] }],
    'datasets:\n- a/b\n- c/d\n',
  ],
  [
    'a key goes with its lines',
    'a: 1\nbase_model_relation: quantized\nb: 2\n',
    [{ key: 'base_model_relation', dropIf: 'quantized' }],
    'a: 1\nb: 2\n',
  ],
  [
    'another value does not go',
    'base_model_relation: finetune\n',
    [{ key: 'base_model_relation', dropIf: 'quantized' }],
    'base_model_relation: finetune\n',
  ],
  ['a new key comes last', 'a: 1', [{ key: 'b', set: 'no' }], 'a: 1\nb: "no"\n'],
  [
    'a block of text is replaced as a whole',
    'a: |\n  one\n\n  two\n\n# note\nb: 1\n',
    [{ key: 'a', set: 'x' }],
    'a: x\n\n# note\nb: 1\n',
  ],
]

for (const [what, before, changes, after] of cases) {
  test(what, () => {
    assert.is(edit(before, ...changes), after)
    assert.is(edit(after, ...changes), after, 'once more')
    const crlf = before.replaceAll('\n', '\r\n')
    const edited = editFrontMatter(crlf, changes, '\r\n', 'README.md')
    assert.is(edited, after.replaceAll('\n', '\r\n'), 'with CRLF')
  })
}

const refused: [what: string, yaml: string, ...parts: string[]][] = [
  ['an open bracket', 'a: 1\nb: [', 'README.md, line 3', 'not valid'],
  ['a key twice', 'a: 1\na: 2\n', 'not valid', 'line 3', '"a" is there twice'],
  ['a list', '- a\n', 'no list of keys'],
  ['braces', '{a: 1}\n', 'in braces'],
  ['an alias of nothing', 'a: *x\n', 'README.md, line 2', '*x stands for &x'],
  ['an alias in what it stands for', 'a: &x [*x]\n', 'aliases'],
  [
    'aliases of aliases',
    `a: &a [x, x, x, x, x, x, x, x]\n${[...'bcdefghi'].map((c, i) => `${c}: &${c} [${`*${'abcdefgh'[i]}, `.repeat(8)}]\n`).join('')}`,
    'aliases',
  ],
  ['an anchor that others use', 'k: &x [1]\nz: *x\n', '"k"', 'cannot be changed'],
]

for (const [what, yaml, ...parts] of refused) {
  test(`refused: ${what}`, async () => {
    await fails(() => edit(yaml, { key: 'k', set: 2 }), 'input', ...parts)
  })
}

test('a card is split where the Hub splits it', () => {
  const whole = '---\na: 1\n---\ntext\n---\nmore'
  const { before, yaml, after, body } = splitCard(whole, '\n')
  assert.equal([before, yaml, after, body], ['---\n', 'a: 1\n', '---\n', 'text\n---\nmore'])
  assert.is(splitCard('no front matter\n---\n', '\n').body, '\nno front matter\n---\n')
  assert.is(splitCard('---\n---\nx', '\n').yaml, '')
  const windows = splitCard('\uFEFF---\r\na: 1\r\n---\r\nx', '\r\n')
  assert.equal([windows.before, windows.yaml], ['\uFEFF---\r\n', 'a: 1\r\n'])
})

test('texts that YAML would take for something else are quoted', () => {
  const texts = ['no', 'Yes', 'n', 'null', '2025-01-15', '1e5', '1:30', '0x1f', '=', '<<', '~']
  const tricky = [
    'a: b',
    'a #b',
    '- a',
    '*a',
    '&a',
    '!a',
    '%a',
    '@a',
    '`a',
    "'",
    '"',
    'a\nb: c',
    '',
  ]
  for (const text of [...texts, ...tricky]) {
    assert.match(toYaml([text]), /^- "/, text)
    assert.equal(readFrontMatter(`k:\n${toYaml([text])}`, 'x'), { k: [text] })
  }
  assert.is(toYaml(['apache-2.0', 'a/b', 'x y']), '- apache-2.0\n- a/b\n- x y\n')
  // To Python 1e-7 is a text.
  assert.is(toYaml({ a: 1e-7, b: [-2e22] }), 'a: 1.0e-7\nb:\n- -2.0e+22\n')
})

const faulty: [what: string, yaml: string, fault: RegExp][] = [
  ['no license', 'tags: [a]', /no license/],
  ['an unknown license', 'license: apache2', /license "apache2"/],
  ['another license without its name', 'license: other', /license_name/],
  ['a language in capitals', 'license: mit\nlanguage: EN', /language "EN"/],
  ['a number for a tag', 'license: mit\ntags: [1]', /tags/],
  ['a base model that is an address', 'license: mit\nbase_model: https://x/y', /base_model/],
  [
    'a relation that there is not',
    'license: mit\nbase_model: a/b\nbase_model_relation: copy',
    /relation/,
  ],
  [
    'results without a name',
    'license: mit\nmodel-index:\n- results: []',
    /model-index\[0\] has no name/,
  ],
  [
    'a metric without a value',
    'license: mit\nmodel-index:\n- name: a\n  results:\n  - {task: {type: t}, dataset: {type: d, name: d}, metrics: [{type: acc}]}',
    /results\[0\]\.metrics\[0\]\.value is missing/,
  ],
]

for (const [what, yaml, fault] of faulty) {
  test(`a fault is found: ${what}`, () => {
    const faults = frontMatterFaults(readFrontMatter(yaml, 'x'))
    assert.is(faults.length, 1, faults.join('\n'))
    assert.match(faults[0] ?? '', fault)
  })
}

test('a good card has no fault', () => {
  const yaml =
    'license: apache-2.0\nlanguage: [en, zh-hant, code]\ntags: [a]\ndatasets: a/b\nbase_model: [a/b, c]\nbase_model_relation: merge\nown: {x: [1]}'
  assert.equal(frontMatterFaults(readFrontMatter(yaml, 'x')), [])
})

test.run()
