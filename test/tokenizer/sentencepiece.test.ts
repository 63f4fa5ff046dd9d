import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { OpenLlamaError } from '../../src/io/errors.js'
import { bytesField, concatenate, floatField, varintField } from '../../src/tokenizer/protobuf.js'
import { parseSentencePiece, writeSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import { buildSentencePiece } from '../../src/tokenizer/sentencepiece-build.js'
import { fixture, fixtureModel } from './fixtures.js'

const names = [
  'tiny-v1',
  'tiny-v2',
  'bpe-symbols',
  'bpe-symbols-merging',
  'bpe-unknown',
  'bpe-no-prefix',
  'unigram',
  'unigram-nfkc',
]

// A model as small as can be, to break in one place each.
const piece = (text: string | Uint8Array, type = 1) =>
  bytesField(1, concatenate([bytesField(1, text), floatField(2, 0), varintField(3, type)]))
const unk = piece('<unk>', 2)

for (const name of names) {
  test(`${name}: is written back byte for byte`, () => {
    const bytes = fixture(`${name}.model`)
    assert.is(Buffer.compare(bytes, writeSentencePiece(parseSentencePiece(bytes, name))), 0)
  })
}

test('reads pieces, specs and special ids', () => {
  const model = fixtureModel('tiny-v1')
  assert.is(model.pieces.length, 512)
  assert.equal(model.pieces[0], { text: '<unk>', score: 0, type: 'unknown' })
  assert.equal(model.pieces[2], { text: '</s>', score: 0, type: 'control' })
  assert.equal(model.pieces[13], { text: '<0x0A>', score: 0, type: 'byte' })
  assert.equal(model.pieces[261], { text: '▁is', score: -2, type: 'normal' })
  assert.equal(model.specialIds, { unk: 0, bos: 1, eos: 2, pad: undefined })
  assert.is(model.trainer.modelType, 'bpe')
  assert.is(model.trainer.byteFallback, true)
  assert.is(model.trainer.unkSurface, ' ⁇ ')
  assert.is(model.normalizer.name, 'identity')
  assert.is(model.normalizer.removeExtraWhitespaces, true)
  assert.is(model.normalizer.addDummyPrefix, true)
  assert.is(fixtureModel('tiny-v2').normalizer.removeExtraWhitespaces, false)
  assert.is(fixtureModel('bpe-no-prefix').normalizer.addDummyPrefix, false)
  assert.is(fixtureModel('unigram').trainer.modelType, 'unigram')
  assert.ok(fixtureModel('unigram-nfkc').normalizer.precompiledCharsmap.length > 100_000)
  assert.equal(fixtureModel('bpe-symbols').specialIds.pad, 3)
})

test('a small file that claims much is refused before it takes much memory', () => {
  const many = Buffer.alloc(2 * 2_000_001, Uint8Array.of(0x50, 0x01))
  assert.throws(() => parseSentencePiece(many, 'many'), /more than 2000000 fields/)
  // As many as a call has no room for, and as a training with many symbols leaves.
  const symbols = concatenate(Array.from({ length: 300_000 }, () => bytesField(31, 'x')))
  const model = concatenate([fixture('tiny-v1.model'), bytesField(2, symbols)])
  assert.is(parseSentencePiece(model, 'symbols').pieces.length, 512)
  const half = Buffer.alloc(2 * 1_200_000, Uint8Array.of(0x50, 0x01))
  const twice = concatenate([bytesField(2, half), bytesField(2, half)])
  assert.throws(() => parseSentencePiece(twice, 'twice'), /trainer_spec: there are more than/)
})

for (const score of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
  test(`a score of ${score} is refused: no JSON can hold it`, () => {
    const piece = bytesField(1, concatenate([bytesField(1, 'xyz'), floatField(2, score)]))
    const bytes = concatenate([fixture('tiny-v1.model'), piece])
    assert.throws(() => parseSentencePiece(bytes, 'x'), `the score of "xyz" is ${score}`)
  })
}

test('a piece of 512 characters is read, and a longer one where a user defines it', () => {
  const long = [piece('𝄞'.repeat(512)), piece('b'.repeat(5000), 4)]
  assert.is(parseSentencePiece(concatenate([unk, ...long]), 'long').pieces.length, 3)
})

test('keeps unknown fields, self tests and the denormaliser', () => {
  const bytes = concatenate([
    fixture('tiny-v1.model'),
    bytesField(4, bytesField(1, concatenate([bytesField(1, 'in'), bytesField(2, 'out')]))),
    bytesField(5, bytesField(1, 'reverse')),
    bytesField(200, 'of a later version'),
  ])
  const model = parseSentencePiece(bytes, 'extended')
  assert.is(model.denormalizer?.name, 'reverse')
  assert.is(Buffer.compare(bytes, writeSentencePiece(model)), 0)
})

test('builds a model that it reads back', () => {
  const original = fixtureModel('tiny-v2')
  const model = buildSentencePiece(
    {
      pieces: original.pieces,
      modelType: 'bpe',
      normalizer: original.normalizer,
      bosPiece: '<s>',
      eosPiece: '</s>',
    },
    'built',
  )
  assert.equal(model.pieces, original.pieces)
  assert.equal(model.specialIds, original.specialIds)
  assert.equal(model.normalizer, original.normalizer)
  assert.is(model.trainer.byteFallback, true)
})

const huge = [0xff, 0xff, 0xff, 0xff, 0x0f] // 2^32 - 1

const malformed: [name: string, bytes: Uint8Array, message: RegExp][] = [
  ['an empty file', new Uint8Array(), /empty/],
  ['a Git LFS pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\n'), /wire type 6/],
  ['half a file', fixture('tiny-v1.model').subarray(0, 3000), /promised, \d+ are left/],
  [
    'a piece of 2^32 - 1 bytes',
    Uint8Array.from([0x0a, ...huge]),
    /4294967295 bytes are promised, 0/,
  ],
  [
    '2^31 pieces claimed',
    concatenate([unk, bytesField(2, varintField(4, 2 ** 31))]),
    /2147483648, which exceeds an int32/,
  ],
  [
    '2^31 - 1 pieces claimed',
    concatenate([unk, bytesField(2, varintField(4, 2 ** 31 - 1))]),
    /2147483647 pieces are claimed/,
  ],
  [
    'no UTF-8',
    concatenate([unk, piece(Uint8Array.of(0x61, 0xff))]),
    /pieces\[1\].*no UTF-8: 61 ff/,
  ],
  ['an overlong character', concatenate([unk, piece(Uint8Array.of(0xc0, 0x80))]), /no UTF-8/],
  ['a surrogate', concatenate([unk, piece(Uint8Array.of(0xed, 0xa0, 0x80))]), /no UTF-8/],
  ['one piece twice', concatenate([unk, piece('a'), piece('a')]), /pieces 1 and 2 are both "a"/],
  [
    'a piece of megabytes',
    concatenate([unk, piece('a'), piece('a'.repeat(3_000_000))]),
    /pieces\[2\].*3000000 bytes; SentencePiece makes none of more than 2048/,
  ],
  ['an empty piece', concatenate([unk, piece('')]), /the piece is empty/],
  [
    'a score of NaN',
    bytesField(1, concatenate([bytesField(1, 'a'), floatField(2, Number.NaN)])),
    /NaN/,
  ],
  ['a type 9', concatenate([unk, piece('a', 9)]), /type 9; there are types 1 to 6/],
  ['two unknown pieces', concatenate([unk, piece('b', 2)]), /both the unknown piece/],
  ['no unknown piece', piece('a'), /no piece is the unknown one/],
  ['no piece', bytesField(2, varintField(3, 2)), /there is no piece/],
  [
    'a byte without byte fallback',
    concatenate([unk, piece('<0x00>', 6)]),
    /takes 0 byte pieces; there are 1/,
  ],
  [
    'byte fallback without bytes',
    concatenate([unk, bytesField(2, varintField(35, true))]),
    /takes 256 byte pieces; there are 0/,
  ],
  ['a byte that is none', concatenate([unk, piece('<0xZZ>', 6)]), /called a byte/],
  ['a model type 7', concatenate([unk, bytesField(2, varintField(3, 7))]), /type 7/],
  ['a number for a piece', varintField(1, 5), /sent as varint, where bytes/],
  ['bytes for a score', bytesField(1, bytesField(2, 'abcd')), /where 32 bits/],
  ['a number for a text', bytesField(1, varintField(1, 5)), /where bytes/],
  ['bytes for a flag', concatenate([unk, bytesField(3, bytesField(3, 'x'))]), /where a varint/],
  ['one byte too few', Uint8Array.of(0x0a, 0x01), /1 bytes are promised, 0 are left/],
  ['a varint cut off', Uint8Array.of(0x80), /cut off/],
  [
    'a varint of 11 bytes',
    Uint8Array.from([0x08, ...Array(10).fill(0xff), 0x01]),
    /goes on after 10/,
  ],
  ['a varint of 2^69', Uint8Array.from([0x08, ...Array(9).fill(0xff), 0x7f]), /exceeds 64 bits/],
  ['a field number 0', Uint8Array.of(0x00, 0x00), /names no field/],
  ['a group', Uint8Array.of(0x0b), /wire type 3/],
]

for (const [name, bytes, message] of malformed) {
  test(`refuses ${name}`, () => {
    try {
      parseSentencePiece(bytes, 'broken.model')
    } catch (error) {
      assert.instance(error, OpenLlamaError)
      if (!(error instanceof OpenLlamaError)) return
      assert.is(error.exit, 3)
      assert.is(error.path, 'broken.model')
      assert.match(error.message, message)
      assert.ok(error.suggestions.length > 0)
      return
    }
    assert.unreachable('it was accepted')
  })
}

test('every way to cut a model short is refused or leaves a model', () => {
  const bytes = fixture('bpe-unknown.model')
  for (let length = 0; length < bytes.length; length++) {
    try {
      parseSentencePiece(bytes.subarray(0, length), 'cut')
    } catch (error) {
      assert.instance(error, OpenLlamaError, `cut at ${length}: ${String(error)}`)
    }
  }
})

test.run()
