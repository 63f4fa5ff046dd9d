import { execFileSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  code,
  codeBlock,
  link,
  literal,
  oneLine,
  plain,
  shellWord,
  table,
} from '../../src/card/markdown.js'

const test = suite('card: Markdown')

const texts: [text: string, markdown: string][] = [
  ['open_llama_3b_v2', 'open_llama_3b_v2'],
  ['_bold_ __x__', '\\_bold\\_ \\_\\_x\\_\\_'],
  ['<script>alert(1)</script>', '&lt;script\\>alert(1)&lt;/script\\>'],
  ['a & b &lt;', 'a &amp; b &amp;lt;'],
  ['![x](http://y)', '\\!\\[x\\](http\\://y)'],
  ['www.x.org', 'www\\.x.org'],
  ['a|b', 'a\\|b'],
  ['- item', '\\- item'],
  ['1. item', '1\\. item'],
  ['# head\n## two', '\\# head\ufffd\\#\\# two'],
  ['$$x$$ `y` ~~z~~', '\\$\\$x\\$\\$ \\`y\\` \\~\\~z\\~\\~'],
  ['a\u202eb\u200bc\u0000d', 'a\ufffdb\ufffdc\ufffdd'],
]

for (const [text, markdown] of texts) {
  test(`text stays text: ${JSON.stringify(text)}`, () => assert.is(plain(text), markdown))
}

test('code: its fence is none that is in it', () => {
  assert.is(code('a`b``c'), '```a`b``c```')
  assert.is(code('`a`'), '`` `a` ``')
  assert.is(code(''), '` `')
  assert.is(code('a\n```\nb'), '`a\ufffd```\ufffdb`')
  assert.is(codeBlock('sh', 'a\n````\nb\n'), '`````sh\na\n````\nb\n`````')
})

test('a table keeps its columns', () => {
  assert.is(
    table(['a', 'b'], [[code('x|y'), plain('x|y')]], [1]),
    '| a | b |\n| --- | ---: |\n| `x\\|y` | x\\|y |',
  )
})

test('a bar behind a backslash keeps the columns too', () => {
  assert.is(code('a\\|b'), '<code>a&#92;&#124;b</code>')
  assert.is(code('<i>\\|`'), '<code>&#60;i&#62;&#92;&#124;&#96;</code>')
})

test('a name of megabytes takes no time', () => {
  const long = `x${'\u202e'.repeat(2 ** 23)}`
  const began = performance.now()
  for (let i = 0; i < 200; i++) assert.is([...oneLine(long)].length, 300)
  assert.ok(performance.now() - began < 2000)
})

test('a link only to the web', () => {
  assert.is(link('a', 'https://x.org/y'), '[a](https://x.org/y)')
  for (const url of ['javascript:alert(1)', 'https://x) [b](https://y', 'http://x', 'https://x y'])
    assert.is(link('a', url), 'a')
})

test('a name has an end', () => {
  assert.is([...oneLine('🐋'.repeat(1000))].length, 300)
})

test('words come out of a shell as they went in', () => {
  const words = [
    'a b',
    "it's",
    '$(id)',
    '`id`',
    'a;b',
    '"',
    '\\',
    'a\nb',
    "'\n$(id)",
    '-rf',
    'é\u0085',
    '*',
    'a\u202egpj.sh',
    'x\u{e0041}y',
    '',
  ]
  for (const word of words) {
    const out = execFileSync('bash', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' })
    assert.is(out, word.startsWith('-') ? `./${word}` : word)
    assert.not.match(shellWord(word), /[\n\u202e\u{e0041}]/u)
  }
})

test('literals are what they were', () => {
  for (const text of [
    '"',
    '\\',
    'a\nb',
    '\u{e0041}',
    '\u2028',
    '\u202e',
    'é',
    '"""',
    '</script>',
  ]) {
    assert.is(JSON.parse(literal(text)), text)
    assert.is(oneLine(literal(text)), literal(text))
  }
})

test.run()
