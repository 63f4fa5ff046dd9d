import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { proveRebuilt } from '../../src/convert/tokenizer-proof.js'
import { writeSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import {
  isSentencePieceJson,
  sentencePieceFromJson,
} from '../../src/tokenizer/sentencepiece-from-json.js'
import { tokenizerFiles } from '../../src/tokenizer/tokenizer-files.js'
import { fails } from '../support/errors.js'
import { modelOf, normal } from '../support/pieces.js'
import { fixtureModel } from './fixtures.js'

/** What transformers 5.23 writes in the place of a normaliser. */
const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false }
/** What transformers 4 wrote. */
const prepend = {
  type: 'Sequence',
  normalizers: [
    { type: 'Prepend', prepend: '▁' },
    { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  ],
}
const specials = ['<unk>', '<s>', '</s>'].map((content, id) => ({ id, content, special: true }))

for (const [who, changes] of Object.entries({
  'transformers 5': { normalizer: null, pre_tokenizer: metaspace, added_tokens: specials },
  'transformers 4': { normalizer: prepend, pre_tokenizer: null, added_tokens: specials },
  'this program': {},
})) {
  test(`a tokenizer.json as ${who} writes it becomes the model that sentencepiece trained`, async () => {
    const trained = fixtureModel('tiny-v2')
    const { files } = tokenizerFiles(trained, 'tiny-v2')
    const json = { ...JSON.parse(files['tokenizer.json']), ...changes }
    const config = { name: 'tokenizer_config.json', json: { bos_token: '<s>', eos_token: '</s>' } }
    assert.ok(isSentencePieceJson(json))
    const model = sentencePieceFromJson(json, 'tokenizer.json', [config])
    assert.equal(model.pieces, trained.pieces)
    assert.equal(model.specialIds, trained.specialIds)
    assert.equal(model.normalizer, { ...trained.normalizer, name: 'identity' })
    const bytes = writeSentencePiece(model)
    const loaded = { path: 'tokenizer.json', model, bytes, sources: [config] }
    const notes = await proveRebuilt(loaded, JSON.stringify(json))
    assert.match(notes[0] ?? '', /scores are rebuilt .* same tokens on \d+ of 7\d\d texts/)
  })
}

test('merging of spaces and user-defined pieces are read from what we write', () => {
  for (const trained of [
    fixtureModel('tiny-v1'),
    modelOf([
      ...['[a|b]', '\\n'].map((text) => ({ text, score: 0, type: 'userDefined' }) as const),
      ...normal('ab', 'a', 'b', '▁'),
    ]).model,
  ]) {
    const json: unknown = JSON.parse(tokenizerFiles(trained, 'tiny').files['tokenizer.json'])
    const model = sentencePieceFromJson(json, 'tokenizer.json', [])
    const { removeExtraWhitespaces } = trained.normalizer
    assert.is(model.normalizer.removeExtraWhitespaces, removeExtraWhitespaces)
    const types = (from: typeof model) => from.pieces.map(({ text, type }) => `${text} ${type}`)
    assert.equal(types(model), types(trained))
  }
})

test('merges in another order than the ids give scores in the order of the merges', () => {
  const { model: trained } = modelOf(normal('ab', 'bc', 'a', 'b', 'c', '▁'))
  const json = JSON.parse(tokenizerFiles(trained, 'x').files['tokenizer.json'])
  json.model.merges.reverse()
  const model = sentencePieceFromJson(json, 'x', [])
  const scores = new Map(model.pieces.map(({ text, score }) => [text, score]))
  assert.equal(
    ['bc', 'ab', 'a', 'b', 'c', '▁'].map((text) => scores.get(text)),
    [0, -1, -2, -3, -4, -5],
  )
})

test('what SentencePiece has nothing like is refused by name', async () => {
  const trained = fixtureModel('tiny-v2')
  const json = JSON.parse(tokenizerFiles(trained, 'tiny-v2').files['tokenizer.json'])
  const refuses = (changes: object, ...said: string[]) =>
    fails(
      async () => sentencePieceFromJson({ ...json, ...changes }, 'tokenizer.json', []),
      'input',
      ...said,
      'tokenizer.model',
    )
  await refuses({ pre_tokenizer: { type: 'Whitespace' } }, 'Whitespace')
  await refuses({ normalizer: { type: 'Lowercase' } }, 'Lowercase')
  await refuses({ pre_tokenizer: { ...metaspace, split: true }, normalizer: null }, 'Metaspace')
})

test('a rebuilt model that gives other tokens is refused, with an example', async () => {
  const { model: trained } = modelOf(normal('xx', 'xxx', 'xc', 'cq', 'xxxcq', 'x', 'c', 'q', '▁'))
  const json = JSON.parse(tokenizerFiles(trained, 'x').files['tokenizer.json'])
  assert.equal(json.model.merges.slice(0, 4), ['x x', 'xx x', 'x xx', 'x c'])
  // One way to make a piece comes after another piece, and the other way before it: no score says that.
  json.model.merges.splice(0, 4, 'x x', 'x xx', 'x c', 'xx x')
  const model = sentencePieceFromJson(json, 'tokenizer.json', [])
  const loaded = { path: 'tokenizer.json', model, bytes: writeSentencePiece(model), sources: [] }
  await fails(() => proveRebuilt(loaded, JSON.stringify(json)), 'check', 'differs', 'text "')
})

test.run()
