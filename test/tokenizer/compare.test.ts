import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { textOf } from '../../src/io/text.js'
import { compareEngines, showExample, unexplained } from '../../src/tokenizer/compare.js'
import { readLines } from '../../src/tokenizer/corpus.js'
import type { TokenizerEngine } from '../../src/tokenizer/engine.js'
import { llamaCppLimits, tokenizerFacts } from '../../src/tokenizer/generation.js'
import { probes } from '../../src/tokenizer/probes.js'
import { parseSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import { fails } from '../support/errors.js'
import { fixtureModel, realFile } from './fixtures.js'

/** One id for each code point. */
const points: TokenizerEngine = {
  name: 'points',
  encode: (text) => Array.from(text, (character) => character.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
}
const drops: TokenizerEngine = {
  ...points,
  name: 'drops x',
  encode: (text) => points.encode(text.replaceAll('x', '')),
}
const shouts: TokenizerEngine = {
  ...points,
  name: 'shouts',
  decode: (ids) => points.decode(ids).toUpperCase(),
}

test('counts, pair by pair, and keeps the shortest examples', async () => {
  const texts = ['plain', 'xylophone', 'ax', 'UPPER', 'box of x']
  const report = await compareEngines([points, drops, shouts], texts, { maxExamples: 2 })
  assert.is(report.texts, 5)
  assert.is(report.characters, texts.join('').length)
  assert.equal(
    report.pairs.map(({ engines, encodeMismatches, decodeMismatches }) => [
      engines.join(' and '),
      encodeMismatches,
      decodeMismatches,
    ]),
    [
      ['points and drops x', 3, 0],
      ['points and shouts', 0, 4],
      ['drops x and shouts', 3, 1],
    ],
  )
  assert.equal(
    report.pairs[0]?.examples.map(({ text }) => text),
    ['ax', 'box of x'],
  )
  // Each decodes the ids that the first engine gave, not its own.
  assert.is(report.pairs[0]?.examples[0]?.sides[1].decoded, 'ax')
  assert.ok(report.engines.every(({ charactersPerSecond }) => charactersPerSecond > 0))
})

test('what a known limit explains is counted apart, and shown last', async () => {
  const limit = {
    engine: 'drops x',
    what: 'it drops x',
    advice: 'use no x',
    explains: (text: string) => text.startsWith('x'),
  }
  const report = await compareEngines([points, drops], ['x', 'a', 'ax', 'xx'], {
    limits: [limit],
    maxExamples: 2,
  })
  const pair = report.pairs[0]
  assert.ok(pair)
  if (pair === undefined) return
  assert.is(pair.encodeMismatches, 3)
  assert.is(pair.explained, 2)
  assert.equal(
    pair.limits.map((met) => [met.limit.advice, met.count]),
    [['use no x', 2]],
  )
  assert.is(unexplained(pair), 1)
  assert.equal(
    pair.examples.map(({ text, explained }) => [text, explained]),
    [
      ['ax', false],
      ['xx', true],
    ],
  )
})

test('an example can be read', async () => {
  const report = await compareEngines([points, drops], ['one\u00a0two  x three'])
  const example = report.pairs[0]?.examples[0]
  assert.ok(example)
  if (example === undefined) return
  assert.equal(
    showExample(example, (id) => String.fromCodePoint(id)),
    [
      'text "one\\u{a0}two␣␣x three"',
      '  points   …  "w" 119  "o" 111  "␣" 32  "␣" 32  "x" 120  "␣" 32  "t" 116  "h" 104  …',
      '  drops x  …  "w" 119  "o" 111  "␣" 32  "␣" 32  "␣" 32  "t" 116  "h" 104  "r" 114  …',
    ],
  )
  const decoded = await compareEngines([points, shouts], ['ab'])
  const other = decoded.pairs[0]?.examples[0]
  assert.ok(other)
  if (other === undefined) return
  assert.equal(showExample(other, String), [
    'ids 97 98 are decoded differently',
    '  points  "ab"',
    '  shouts  "AB"',
  ])
})

test('progress comes to the end', async () => {
  let last: number[] = []
  await compareEngines([points], ['a', 'bc'], { onProgress: (...now) => (last = now) })
  assert.equal(last, [2, 3])
})

async function linesOf(content: string | Uint8Array): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'openllama-'))
  try {
    const path = join(directory, 'corpus.txt')
    writeFileSync(path, content)
    const lines: string[] = []
    for await (const line of readLines(path)) lines.push(line)
    return lines
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('reads lines as they are', async () => {
  assert.equal(await linesOf(''), [])
  assert.equal(await linesOf('a\nb'), ['a', 'b'])
  assert.equal(await linesOf('a\r\n\n b \n'), ['a\r', '', ' b '])
  assert.equal(await linesOf('\ufeffa'), ['\ufeffa'])
})

test('a corpus that is no text is refused, whatever it is', async () => {
  await fails(
    () => linesOf(Uint8Array.of(0x61, 0xff, 0x0a)),
    'input',
    'corpus.txt',
    'no text in UTF-8',
  )
  await fails(() => linesOf(new Uint8Array(1000)), 'input', 'corpus.txt', 'byte 0 is 0')
  await fails(() => linesOf(Uint8Array.of(0x61, 0xe2, 0x82)), 'input', 'no text in UTF-8')
  const late = Buffer.concat([Buffer.alloc(100_000, 'a\n'), Uint8Array.of(0)])
  await fails(() => linesOf(late), 'input', 'byte 100000 is 0')
  await fails(() => linesOf(Buffer.from('\ufeffab', 'utf16le')), 'input', 'It is UTF-16')
  assert.is(textOf(Buffer.from('\ufeffab'), 'x'), 'ab')
  await fails(() => textOf(new Uint8Array(9), 'x'), 'input', 'byte 0 is 0')
})

test('characters that two reads share arrive whole', async () => {
  // 64 KiB are read at a time; the odd byte in front makes one end within a character.
  const line = `a${'😀'.repeat(40_000)}`
  assert.is((await linesOf(line)).join(''), line)
})

test('a line without end is cut, and not through a character', async () => {
  const line = `a${'😀'.repeat(100_000)}\nnext`
  const lines = await linesOf(line)
  assert.ok(lines.every((part) => part.length <= 65_536 && !/\p{Surrogate}/u.test(part)))
  assert.is(lines.slice(0, -1).join(''), line.slice(0, -5))
  assert.is(lines.at(-1), 'next')
})

test('a corpus that is not there is a clear error', async () => {
  try {
    for await (const _ of readLines('nowhere/corpus.txt')) assert.unreachable()
  } catch (error) {
    assert.match(String(error), /nowhere\/corpus\.txt: cannot read the corpus: no such file/)
  }
})

test('the probes are as varied as they must be', () => {
  const all = probes.join('\n')
  assert.is(new Set(probes).size, probes.length)
  for (const script of ['Hangul', 'Hiragana', 'Han', 'Arabic', 'Cyrillic', 'Devanagari', 'Thai']) {
    assert.match(all, new RegExp(`\\p{Script=${script}}`, 'u'), script)
  }
  for (const text of [
    '\0',
    '\t',
    '\r\n',
    '\u200d',
    '\ufeff',
    '▁',
    '\u0301',
    '<s>',
    'x</s>'.slice(1),
  ]) {
    assert.ok(all.includes(text), JSON.stringify(text))
  }
})

test('facts of the fixtures', () => {
  const facts = tokenizerFacts(fixtureModel('tiny-v1'))
  assert.equal(facts.whitespace, { merged: true, dummyPrefix: true, runPieces: 0 })
  assert.equal(facts.special.bos, { id: 1, text: '<s>' })
  assert.equal(facts.special.eos, { id: 2, text: '</s>' })
  assert.is(facts.vocabSize, 512)
  assert.is(facts.generation, 'other')
  assert.is(tokenizerFacts(fixtureModel('tiny-v2')).whitespace.merged, false)
  assert.ok(tokenizerFacts(fixtureModel('unigram-nfkc')).normalizer.charsmap)
})

test("llama.cpp's limits", () => {
  const limits = llamaCppLimits(fixtureModel('tiny-v1'))
  assert.is(limits.length, 1)
  const explains = (text: string) => limits.some((limit) => limit.explains(text))
  for (const text of ['a  b', ' a', 'a ', '▁']) assert.ok(explains(text), text)
  for (const text of ['a b', '', 'a\n b', 'a\tb']) assert.not(explains(text), text)
  assert.equal(llamaCppLimits(fixtureModel('tiny-v2')), [])
  assert.match(llamaCppLimits(fixtureModel('bpe-symbols'))[0]?.what ?? '', /user-defined/)
})

for (const [generation, expected] of [
  ['v1', 'openllama-v1'],
  ['v2', 'openllama-v2'],
] as const) {
  const path = realFile(`openllama-tokenizers/${generation}/tokenizer.model`)
  if (path === undefined) continue
  test(`OpenLLaMA ${generation} is known, and a changed flag is seen`, () => {
    const bytes = new Uint8Array(readFileSync(path))
    assert.is(tokenizerFacts(parseSentencePiece(bytes, path)).generation, expected)
    // remove_extra_whitespaces, field 4 of the normaliser, turned over in the file.
    const at = Buffer.from(bytes).lastIndexOf(Buffer.from([0x18, 1, 0x20])) + 3
    const changed = bytes.slice()
    changed[at] = bytes[at] === 1 ? 0 : 1
    assert.is(
      tokenizerFacts(parseSentencePiece(changed, path)).generation,
      generation === 'v1' ? 'openllama-v1-keeps-spaces' : 'other',
    )
  })
}

test.run()
