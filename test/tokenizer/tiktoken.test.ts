import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { tokenizerJsonEngine } from '../../src/tokenizer/engine.js'
import {
  filesFromTiktoken,
  isTiktoken,
  mergesOf,
  parseRanks,
} from '../../src/tokenizer/tiktoken.js'
import { fails } from '../support/errors.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('tokenizer: tiktoken')

const path = fixture('kinds', 'tiktoken', 'tokenizer.model')
const bytes = readFileSync(path)
const expected: { text: string; ids: number[] }[] = JSON.parse(
  readFileSync(fixture('kinds', 'tiktoken', 'expected.json'), 'utf8'),
)

test('the tokenizer.json splits text as tiktoken itself', async () => {
  const files = await filesFromTiktoken(bytes, path)
  const engine = await tokenizerJsonEngine(files['tokenizer.json'])
  for (const { text, ids } of expected) {
    assert.equal(engine.encode(text), ids, text)
    assert.is(engine.decode(ids), text)
  }
})

test('special tokens: those of LLaMA 3, and of 3.1 where params.json says so', async () => {
  const folder = tempDir()
  const copy = join(folder, 'tokenizer.model')
  copyFileSync(path, copy)
  const special = async () => {
    const json = JSON.parse((await filesFromTiktoken(bytes, copy))['tokenizer.json'])
    const added: { id: number; content: string }[] = json.added_tokens
    assert.is(added.length, 256)
    assert.is(new Set(added.map(({ content }) => content)).size, 256)
    assert.equal(
      added.map(({ id }) => id),
      Array.from({ length: 256 }, (_, i) => 352 + i),
    )
    const at = (id: number) => added.find((token) => token.id === 352 + id)?.content
    return [0, 1, 4, 6, 7, 8, 9, 10, 255].map((id) => at(id)?.replaceAll(/<\||\|>/g, ''))
  }
  const both = ['begin_of_text', 'end_of_text']
  const third = [
    ...both,
    'reserved_special_token_2',
    'start_header_id',
    'end_header_id',
    'reserved_special_token_4',
    'eot_id',
    'reserved_special_token_5',
    'reserved_special_token_250',
  ]
  assert.equal(await special(), third)
  writeFileSync(join(folder, 'params.json'), '{"use_scaled_rope": false}')
  assert.equal(await special(), third)
  writeFileSync(join(folder, 'params.json'), '{"use_scaled_rope": true}')
  assert.equal(await special(), [
    ...both,
    'finetune_right_pad_id',
    'start_header_id',
    'end_header_id',
    'eom_id',
    'eot_id',
    'python_tag',
    'reserved_special_token_247',
  ])
})

test('merges: every way to part a token, by its rank and then by those of its parts', () => {
  const ranks = ['a', 'b', 'c', 'bc', 'ab', 'abc'].map((text) => Buffer.from(text))
  assert.equal(mergesOf(ranks), ['b c', 'a b', 'a bc', 'ab c'])
})

test('what is no such list is refused by its line', async () => {
  assert.ok(isTiktoken(bytes))
  assert.not(isTiktoken(readFileSync(fixture('tiny-v1', 'easylm', 'tokenizer.model'))))
  const lines = bytes.toString('latin1').split('\n')
  const edited = (line: number, text: string) =>
    Buffer.from(lines.map((each, i) => (i === line ? text : each)).join('\n'))
  for (const [changed, ...parts] of [
    [edited(3, 'AA== 4'), 'line 4', 'rank 4, 3 is expected'],
    [edited(300, lines[299]?.replace('299', '300') ?? ''), 'line 301', 'there before'],
    [edited(2, ' 2'), 'line 3', 'base64 rank'],
    [edited(2, 'A=== 2'), 'line 3'],
    [edited(2, 'AB== 2'), 'line 3', 'no base64'],
    [edited(2, 'AA== 2 3'), 'line 3'],
    [Buffer.from('IQ== 0\n'), '1 of 256 bytes'],
  ] as const) {
    await fails(() => parseRanks(changed, path), 'input', path, ...parts)
  }
  const cut = bytes.subarray(0, -2)
  await fails(() => parseRanks(cut, path), 'input', 'line 352')
})

test.run()
