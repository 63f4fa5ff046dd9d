import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { MetadataEntry } from '../../src/checkpoint/metadata.js'
import { llamaVocabulary } from '../../src/engines/llama-vocabulary.js'
import { bpeVocab } from '../../src/tokenizer/bpe-vocab.js'
import { byteLevelFromGguf } from '../../src/tokenizer/byte-level-from-gguf.js'
import { spellBytes } from '../../src/tokenizer/byte-level-json.js'
import { tokenizerJsonEngine } from '../../src/tokenizer/engine.js'
import { probes } from '../../src/tokenizer/probes.js'
import { fails } from '../support/errors.js'
import { modelEntries, type RawEntry, rawGguf, text, texts, valueTypes } from '../support/gguf.js'
import { small } from '../support/llama.js'
import { tempDir } from '../support/temp.js'
import { fixture } from './fixtures.js'

// As trained and written by Hugging Face's tokenizers.
const trained = Buffer.from(fixture('byte-level.json')).toString()

test('a tokenizer.json of the LLaMA 3 kind comes back from the GGUF that it went into', () => {
  const json = JSON.parse(trained)
  const { entries } = bpeVocab(
    { ...json, chat_template: '{{ messages }}' },
    'tokenizer.json',
    // Rows without a token are padded, and the padding is none of the tokenizer.
    { ids: { bos: 400, eos: 401 }, vocabSize: 410 },
  )
  const model: MetadataEntry[] = [{ key: 'llama.context_length', type: 'uint32', value: 8192 }]
  const files = byteLevelFromGguf([...entries, ...model], 'model.gguf')
  const back = JSON.parse(files['tokenizer.json'])
  assert.equal(back.model.vocab, json.model.vocab)
  assert.equal(Object.keys(back.model.vocab), Object.keys(json.model.vocab))
  assert.equal(
    back.model.merges.map(String),
    json.model.merges.map((merge: unknown) => [merge].flat().join(' ')),
  )
  assert.equal(back.model.ignore_merges, json.model.ignore_merges)
  const added = (from: typeof json) =>
    from.added_tokens.map(({ id, content, special }: typeof json) => ({ id, content, special }))
  assert.equal(added(back), added(json))
  assert.equal(back.post_processor.single[0], {
    SpecialToken: { id: json.added_tokens[0].content, type_id: 0 },
  })
  assert.equal(back.post_processor.special_tokens[json.added_tokens[0].content].ids, [400])
  const config = JSON.parse(files['tokenizer_config.json'])
  assert.is(config.bos_token, json.added_tokens[0].content)
  assert.is(config.eos_token, json.added_tokens[1].content)
  assert.is(config.chat_template, '{{ messages }}')
  assert.is(config.model_max_length, 8192)
  // And once more into a GGUF: the same vocabulary.
  const again = bpeVocab(back, 'back', { ids: { bos: 400, eos: 401 }, vocabSize: 410 })
  assert.equal(
    again.entries,
    entries.filter(({ key }) => !key.includes('chat_template')),
  )
})

/** A vocabulary that joins any two of these: where a text is cut shows in every token. */
const alphabet = ' \n\r\t0179azAZé½\'",.-_(/=$'

function pairs(): { tokens: string[]; merges: string[] } {
  const bytes = Array.from({ length: 256 }, (_, byte) => spellBytes(Uint8Array.of(byte)))
  const used = [...new Set(new TextEncoder().encode(alphabet))].map((byte) => bytes[byte] ?? '')
  const merges = used.flatMap((left) => used.map((right) => `${left} ${right}`))
  return { tokens: [...bytes, ...merges.map((merge) => merge.replace(' ', ''))], merges }
}

const names = [
  ...['llama-bpe', 'smaug-bpe', 'qwen2', 'gpt-2', 'smollm', 'tekken', 'gpt-4o', 'default'],
  ...['deepseek-llm', 'deepseek-coder', 'deepseek-v3'],
  // Other names for some of them.
  ...['falcon3', 'dbrx', 'stablelm2', 'olmo', 'command-r', 'llama4'],
]

test('texts are cut as llama.cpp cuts them, whatever the pre-tokenizer', async () => {
  const { tokens, merges } = pairs()
  const types: RawEntry = {
    key: 'tokenizer.ggml.token_type',
    type: valueTypes.array,
    value: (writer) => {
      writer.u32(valueTypes.int32).u64(tokens.length)
      for (const _ of tokens) writer.i32(1)
    },
  }
  const lines = [
    // The long ones say nothing new here.
    ...probes.filter((probe, i) => probe.length < 60 && i % 3 === 0),
    "it's I'LL we'Re 'tis  don't",
    '12 345 6789012 a1b22c333 ½¾ x½',
    'a.b,c ... (x) /path/to == $5.00 -- "quoted"  ',
    '\n\n  two\r\n\tlines \n ',
    'é1éÉ aéz AéZz HTTPServer camelCase',
  ]
  const folder = tempDir()
  for (const pre of names) {
    const path = join(folder, `${pre}.gguf`)
    const entries = [
      text('tokenizer.ggml.model', 'gpt2'),
      text('tokenizer.ggml.pre', pre),
      texts('tokenizer.ggml.tokens', tokens),
      texts('tokenizer.ggml.merges', merges),
    ]
    writeFileSync(
      path,
      rawGguf({ entries: [...modelEntries(small), ...entries, types], tensors: [] }),
    )
    const metadata: MetadataEntry[] = [
      { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
      { key: 'tokenizer.ggml.pre', type: 'string', value: pre },
      { key: 'tokenizer.ggml.tokens', type: 'string[]', value: tokens },
      { key: 'tokenizer.ggml.merges', type: 'string[]', value: merges },
    ]
    const ours = await tokenizerJsonEngine(byteLevelFromGguf(metadata, path)['tokenizer.json'])
    const theirs = await llamaVocabulary(path)
    for (const line of lines) {
      // llama.cpp cuts words before combining marks, where these patterns do not.
      if (['tekken', 'gpt-4o', 'llama4'].includes(pre) && /\p{M}/u.test(line)) continue
      assert.equal(ours.encode(line), theirs.encode(line), `${pre}: ${JSON.stringify(line)}`)
    }
    await theirs.close()
  }
})

test('a pre-tokenizer that is not known is refused by name', async () => {
  const metadata: MetadataEntry[] = [
    { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' },
    { key: 'tokenizer.ggml.pre', type: 'string', value: 'kimi-k2' },
    { key: 'tokenizer.ggml.tokens', type: 'string[]', value: ['a', 'b', 'ab'] },
    { key: 'tokenizer.ggml.merges', type: 'string[]', value: ['a b'] },
  ]
  await fails(
    () => byteLevelFromGguf(metadata, 'x.gguf'),
    'input',
    'kimi-k2',
    'llama-bpe',
    '`tokenizer`',
  )
  const twice: MetadataEntry[] = metadata.map((entry) => {
    if (entry.key === 'tokenizer.ggml.pre')
      return { key: entry.key, type: 'string', value: 'qwen2' }
    return entry.key === 'tokenizer.ggml.tokens'
      ? { key: entry.key, type: 'string[]', value: ['a', 'a'] }
      : entry
  })
  await fails(() => byteLevelFromGguf(twice, 'x.gguf'), 'input', 'two of its tokens')
})

test('bytes are spelled as GPT-2 spells them', () => {
  // From GPT-2's own vocabulary: a space is Ġ, a line feed Ċ, and é two characters.
  assert.is(spellBytes(new TextEncoder().encode(' the\n')), 'ĠtheĊ')
  assert.is(spellBytes(new TextEncoder().encode('é')), 'Ã©')
  assert.is(spellBytes(Uint8Array.of(0, 0x7f, 0xad)), 'ĀġŃ')
})

test.run()
