import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { metadataLookup } from '../../src/checkpoint/metadata.js'
import { convertTokenizer } from '../../src/convert/tokenizer.js'
import { findTokenizer } from '../../src/open/find-tokenizer.js'
import { openCheckpoint } from '../../src/open/open.js'
import { openTokenizer } from '../../src/open/tokenizer.js'
import { tokenizerJsonEngine } from '../../src/tokenizer/engine.js'
import { filesOfRanks } from '../../src/tokenizer/load.js'
import { summarizeTokenizer } from '../../src/tokenizer/summary.js'
import {
  filesFromTiktoken,
  isTiktoken,
  mergesOf,
  parseRanks,
} from '../../src/tokenizer/tiktoken.js'
import { equalBytes } from '../support/bytes.js'
import { fails } from '../support/errors.js'
import { small } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { arraysOf, streamOf } from '../support/stream.js'
import { tempDir } from '../support/temp.js'
import { convert } from '../support/tensors.js'

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

test('Meta’s layout with it: to folders as a tokenizer.json, to GGUF, and to Meta’s as it is', async () => {
  const model = { ...small, vocab: 352 + 256 }
  const stream = join(tempDir(), 'stream')
  writeFileSync(stream, streamOf(arraysOf(model, 'float32')))
  const { out: source } = await convert(stream, { to: 'meta', heads: model.heads })
  copyFileSync(path, join(source, 'tokenizer.model'))
  const made = await filesFromTiktoken(bytes, join(source, 'tokenizer.model'))
  const folder = await convert(source, { to: 'safetensors' })
  assert.is(readFileSync(join(folder.out, 'tokenizer.json'), 'utf8'), made['tokenizer.json'])
  assert.not(existsSync(join(folder.out, 'tokenizer.model')))
  const { inputs } = JSON.parse(readFileSync(join(folder.out, 'openllama.json'), 'utf8'))
  assert.equal(
    inputs.map(({ role, name }: Record<string, string>) => [role, name]),
    [
      ['config', 'params.json'],
      ['tokenizer', 'tokenizer.model'],
    ],
  )
  const again = await convert(source, { to: 'meta' })
  equalBytes(readFileSync(join(again.out, 'tokenizer.model')), bytes, 'tokenizer.model')
  const { out } = await convert(source, { to: 'gguf', out: join(tempDir(), 'm.gguf') })
  const metadata = metadataLookup((await openCheckpoint(out)).metadata ?? [])
  assert.is(metadata.text('tokenizer.ggml.model'), 'gpt2')
  assert.is(metadata.text('tokenizer.ggml.pre'), 'llama-bpe')
  assert.is(metadata.integer('tokenizer.ggml.bos_token_id'), 352)
  assert.is(metadata.integer('tokenizer.ggml.eos_token_id'), 353)
  const { summary } = await summarizeTokenizer(await openCheckpoint(source))
  assert.equal([summary?.kind, summary?.tokens], ['byte-level-bpe', 608])
})

test('tokenizer convert and check take the list itself, whatever it is called', async () => {
  for (const name of ['tokenizer.model', 'llama3.tiktoken']) {
    const copy = join(tempDir(), name)
    copyFileSync(path, copy)
    const opened = await openTokenizer(copy)
    assert.equal(
      opened.made?.map((file) => file.name),
      ['tokenizer.json', 'tokenizer_config.json'],
    )
    const out = join(tempDir(), 'tokenizer.json')
    await convertTokenizer(opened, { to: 'tokenizer.json', out, force: false })
    assert.is(readFileSync(out, 'utf8'), (await filesFromTiktoken(bytes, copy))['tokenizer.json'])
  }
})

test('a tokenizer.json beside it goes first, unless the list is named', async () => {
  const folder = tempDir()
  copyFileSync(path, join(folder, 'tokenizer.model'))
  writeFileSync(join(folder, 'tokenizer.json'), '{}')
  const found = await findTokenizer(folder)
  assert.equal(await filesOfRanks(found), undefined)
  const named = await findTokenizer(folder, join(folder, 'tokenizer.model'))
  assert.is((await filesOfRanks(named))?.length, 2)
})

test.run()
