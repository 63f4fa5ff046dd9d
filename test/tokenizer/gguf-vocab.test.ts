import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { OpenLlamaError } from '../../src/io/errors.js'
import { compareEngines } from '../../src/tokenizer/compare.js'
import { sentencePieceEngine, tokenizerJsonEngine } from '../../src/tokenizer/engine.js'
import { type GgufEntry, ggufVocab, sentencePieceFromGguf } from '../../src/tokenizer/gguf-vocab.js'
import { probes } from '../../src/tokenizer/probes.js'
import { parseSentencePiece, type SentencePieceModel } from '../../src/tokenizer/sentencepiece.js'
import { tokenizerJson } from '../../src/tokenizer/tokenizer-json.js'
import { fixture, fixtureModel, goldens, realFile, visible } from './fixtures.js'

interface ReferenceEntry {
  readonly key: string
  /** gguf-py's names of the types: of the value, or ARRAY and of its items. */
  readonly types: string[]
  readonly value: unknown
}

function reference(name: string): ReferenceEntry[] {
  return JSON.parse(Buffer.from(fixture(`${name}.gguf-vocab.json`)).toString())
}

const typeNames: { [type in GgufEntry['type']]: string[] } = {
  string: ['STRING'],
  uint32: ['UINT32'],
  bool: ['BOOL'],
  'string[]': ['ARRAY', 'STRING'],
  'float32[]': ['ARRAY', 'FLOAT32'],
  'int32[]': ['ARRAY', 'INT32'],
  'uint8[]': ['ARRAY', 'UINT8'],
}

function comparable({ key, type, value }: GgufEntry): ReferenceEntry {
  return {
    key,
    types: typeNames[type],
    value: ArrayBuffer.isView(value) ? Array.from(value) : value,
  }
}

for (const name of ['tiny-v1', 'tiny-v2']) {
  test(`${name}: every key, type and value is that of llama.cpp's converter`, () => {
    const ids = { bos: 1, eos: 2, pad: 0 }
    const entries = ggufVocab(fixtureModel(name), name, { ids, keepNormalizer: false })
    const expected = reference(name)
    assert.equal(
      entries.map(({ key }) => key),
      expected.map(({ key }) => key),
    )
    for (const [i, entry] of entries.entries()) {
      // JSON has no -0, which the first learned piece's score is.
      assert.is(JSON.stringify(comparable(entry)), JSON.stringify(positive(expected[i])), entry.key)
    }
  })
}

function positive(entry: ReferenceEntry | undefined): ReferenceEntry | undefined {
  if (entry === undefined || !Array.isArray(entry.value)) return entry
  return { ...entry, value: entry.value.map((item) => (item === 0 ? 0 : item)) }
}

function lookup(entries: readonly { key: string; value: unknown }[]) {
  return (key: string) => entries.find((entry) => entry.key === key)?.value
}

for (const name of [
  'tiny-v1',
  'tiny-v2',
  'bpe-symbols',
  'bpe-symbols-merging',
  'bpe-no-prefix',
  'bpe-unknown',
  'unigram',
  'unigram-nfkc',
]) {
  test(`${name}: comes back from a GGUF with the same ids`, async () => {
    const original = fixtureModel(name)
    const model = sentencePieceFromGguf(lookup(ggufVocab(original, name)), 'model.gguf')
    assert.equal(model.pieces, original.pieces)
    const engine = await sentencePieceEngine(model)
    for (const { text, ids, decoded } of goldens(name)) {
      assert.equal(engine.encode(text), ids, `encodes ${visible(text)}`)
      assert.is(engine.decode(ids), decoded, `decodes ${visible(text)}`)
    }
  })
}

test('a GGUF of the peers gives a tokenizer that keeps spaces, as llama.cpp does', async () => {
  const model = sentencePieceFromGguf(lookup(reference('tiny-v2')), 'f16.gguf')
  const engine = await tokenizerJsonEngine(tokenizerJson(model, 'f16.gguf').text)
  for (const { text, ids } of goldens('tiny-v2')) {
    assert.equal(engine.encode(text), ids, `encodes ${visible(text)}`)
  }
  // Which is not what tiny-v1's own tokenizer does: the converter lost its rule.
  assert.is(
    sentencePieceFromGguf(lookup(reference('tiny-v1')), 'f16.gguf').normalizer
      .removeExtraWhitespaces,
    false,
  )
})

test('the key that keeps the rule of v1, and no more', () => {
  const added = (model: SentencePieceModel) =>
    ggufVocab(model, 'm')
      .map(({ key, value }) => `${key} ${String(value)}`)
      .filter((line) => line.includes('whitespaces') || line.includes('space_prefix'))
  assert.equal(added(fixtureModel('tiny-v1')), ['tokenizer.ggml.remove_extra_whitespaces true'])
  assert.equal(added(fixtureModel('tiny-v2')), [])
  assert.equal(added(fixtureModel('bpe-no-prefix')), ['tokenizer.ggml.add_space_prefix false'])
})

test('pads to the embedding, and adds the tokens of a fine-tune', () => {
  const entries = ggufVocab(fixtureModel('tiny-v1'), 'm', {
    added: [
      { id: 512, text: '<|im_start|>', special: true },
      { id: 513, text: 'extra', special: false },
    ],
    vocabSize: 516,
  })
  const get = lookup(entries)
  const tokens = get('tokenizer.ggml.tokens')
  const scores = get('tokenizer.ggml.scores')
  const types = get('tokenizer.ggml.token_type')
  assert.ok(Array.isArray(tokens) && scores instanceof Float32Array && types instanceof Int32Array)
  if (!Array.isArray(tokens)) return
  assert.equal(tokens.slice(512), ['<|im_start|>', 'extra', '[PAD514]', '[PAD515]'])
  assert.is(String(scores).split(',').slice(512).join(), '-1000,-1000,-10000,-10000')
  assert.is(String(types).split(',').slice(512).join(), '3,4,5,5')
})

test('a tokenizer larger than the embedding is refused with both numbers', () => {
  const vocab = (vocabSize: number) => () => ggufVocab(fixtureModel('tiny-v1'), 'm', { vocabSize })
  assert.throws(vocab(511), /512 tokens, and only 511 rows/)
  assert.not.throws(vocab(512))
})

test('an added token far beyond the embedding is refused before there is padding up to it', () => {
  const added = [{ id: Number.MAX_SAFE_INTEGER, text: 'far', special: false }]
  const vocab = (options: object) => () => ggufVocab(fixtureModel('tiny-v1'), 'm', options)
  assert.throws(vocab({ added, vocabSize: 516 }), /"far" has the id 9007199254740991, .* 516 rows/)
  assert.throws(vocab({ added }), /only 2000000 rows/)
})

const good = lookup(ggufVocab(fixtureModel('tiny-v1'), 'm'))
const replaced = (name: string, value: unknown) => (key: string) =>
  key === `tokenizer.ggml.${name}` ? value : good(key)

const malformed: [string, (key: string) => unknown, RegExp][] = [
  ['another kind of vocabulary', replaced('model', 'gpt2'), /kind "gpt2"/],
  ['no vocabulary', () => undefined, /kind undefined/],
  ['no tokens', replaced('tokens', undefined), /no tokenizer.ggml.tokens/],
  ['no scores', replaced('scores', undefined), /no tokenizer.ggml.scores/],
  ['too few scores', replaced('scores', new Float32Array(3)), /3 entries for 512 tokens/],
  ['types out of range', replaced('token_type', new Int32Array(512).fill(9)), /type 9/],
  ['a token that is no text', replaced('tokens', [1]), /token 0 is no text/],
  ['a token twice', replaced('tokens', Array(512).fill('a')), /both "a"/],
]

for (const [name, get, message] of malformed) {
  test(`refuses ${name}`, () => {
    try {
      sentencePieceFromGguf(get, 'broken.gguf')
    } catch (error) {
      assert.instance(error, OpenLlamaError)
      if (error instanceof OpenLlamaError) {
        assert.is(error.exit, 3)
        assert.match(error.message, message)
        assert.match(error.message, /broken\.gguf/)
      }
      return
    }
    assert.unreachable('it was accepted')
  })
}

for (const generation of ['v1', 'v2']) {
  const path = realFile(`openllama-tokenizers/${generation}/tokenizer.model`)
  if (path === undefined) continue
  test(`OpenLLaMA ${generation}: comes back from a GGUF with the same ids`, async () => {
    const original = parseSentencePiece(new Uint8Array(readFileSync(path)), path)
    const model = sentencePieceFromGguf(lookup(ggufVocab(original, path)), 'model.gguf')
    const engines = [
      { ...(await sentencePieceEngine(original)), name: 'original' },
      { ...(await sentencePieceEngine(model)), name: 'from the GGUF' },
    ]
    const report = await compareEngines(engines, probes)
    assert.equal(report.pairs[0]?.examples, [])
  })
}

test.run()
