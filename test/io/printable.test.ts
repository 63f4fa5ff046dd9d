import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { inputError } from '../../src/io/errors.js'
import {
  printable,
  printableJson,
  printableLines,
  printableSentence,
  shorten,
} from '../../src/io/printable.js'

const test = suite('printable text')

// By their Unicode names: what a terminal obeys, and what nobody sees.
const unseen: [string, string][] = [
  ['\u001b]0;owned\u0007', '\\x1b]0;owned\\x07'],
  ['\u0000\u007f', '\\x00\\x7f'],
  ['\u009b31m', '\\x9b31m'],
  ['a\rb\nc\td', 'a\\rb\\nc\\td'],
  ['\u202egpj.exe\u2066\u061c', '\\u202egpj.exe\\u2066\\u061c'],
  ['\u200b\u2060\ufeff\u00ad', '\\u200b\\u2060\\ufeff\\xad'],
  ['\u2028\u2029', '\\u2028\\u2029'],
  ['\u3164\u034f', '\\u3164\\u034f'],
  ['\u{e0041}', '\\u{e0041}'],
  ['\ud800x\udc00', '\\ud800x\\udc00'],
]

test('shows what is not seen, and leaves every other letter', () => {
  for (const [text, shown] of unseen) assert.is(printable(text), shown)
  const seen = 'model.layers.0 größer 日本語 😀 → ≤ ✓ \\x1b'
  assert.is(printable(seen), seen)
})

test('leaves the ends of lines that are ours', () => {
  assert.is(printableLines('a\nb\u001b\r\n'), 'a\nb\\x1b\\r\n')
})

test('is the same value as JSON', () => {
  for (const [text] of unseen) {
    const json = printableJson(JSON.stringify({ [text]: text }, null, 2))
    assert.equal(JSON.parse(json), { [text]: text })
    assert.not.match(json.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u)
  }
})

test('cuts a long text in its middle, and no character in two', () => {
  assert.is(shorten('abcdefghij', 10), 'abcdefghij')
  assert.is(shorten('abcdefghijk', 7), 'abcd…jk')
  for (let most = 3; most < 20; most++) {
    const short = shorten('😀'.repeat(20), most)
    assert.ok(short.length <= most && !/\p{Cs}/u.test(short), short)
  }
})

test('cuts long words of a sentence before the sentence', () => {
  const sentence = printableSentence(`"${'x'.repeat(6e7)}" is not there, take another`, 300)
  assert.match(sentence, /^"x+…x+" is not there, take another$/)
  assert.ok(sentence.length < 300)
})

test('an error is short and in one line, whatever is in it', () => {
  const name = `a\u001b[31m\n${'\u202e'.repeat(5e5)}`
  const error = inputError(`${name} is not like ${name} or ${'b '.repeat(1e5)}`, {
    path: `/models/${name}`,
    format: 'safetensors',
    tensor: name,
    suggestions: Array.from({ length: 9 }, () => `Rename ${name}.`),
  })
  assert.ok(error.message.length < 2000, String(error.message.length))
  assert.ok(error.suggestions.join('\n').length < 2000)
  for (const text of [error.message, error.what, ...error.suggestions]) {
    assert.not.match(text, /[\p{Cc}\p{Cf}]/u)
  }
  assert.match(error.message, /^safetensors: \/models\/a\\x1b\[31m\\n/)
  // Who opens the file again needs its real path.
  assert.is(error.path, `/models/${name}`)
})

test.run()
