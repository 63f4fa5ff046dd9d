import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { OpenLlamaError } from '../../src/io/errors.js'
import { bpeVocab } from '../../src/tokenizer/bpe-vocab.js'
import { tokenizerJsonEngine } from '../../src/tokenizer/engine.js'
import { fails } from '../support/errors.js'
import { fixture } from './fixtures.js'

// As trained and written by Hugging Face's tokenizers.
const text = Buffer.from(fixture('byte-level.json')).toString()

interface Parsed {
  added_tokens: object[]
  pre_tokenizer: unknown
  normalizer: unknown
  post_processor: unknown
  model: {
    type: string
    byte_fallback: boolean
    ignore_merges: boolean
    vocab: { [token: string]: number }
    merges: unknown[]
  }
}

function parsed(change: (json: Parsed) => void = () => {}): Parsed {
  const json: Parsed = JSON.parse(text)
  change(json)
  return json
}

const lookup = (json: unknown, options = {}) => {
  const { entries } = bpeVocab(json, 'tokenizer.json', options)
  return new Map(entries.map(({ key, value }) => [key.replace('tokenizer.ggml.', ''), value]))
}

test('a tokenizer.json of the LLaMA 3 kind becomes a gpt2 vocabulary', () => {
  const json = parsed()
  const entries = lookup(json, { ids: { bos: 400, eos: 401, pad: -1 } })
  assert.equal(
    [...entries.keys()],
    [
      'model',
      'pre',
      'tokens',
      'token_type',
      'merges',
      'bos_token_id',
      'eos_token_id',
      'add_bos_token',
      'add_eos_token',
    ],
  )
  assert.is(entries.get('model'), 'gpt2')
  assert.is(entries.get('pre'), 'llama-bpe')
  assert.is(entries.get('add_bos_token'), true)
  assert.is(entries.get('add_eos_token'), false)
  const tokens = entries.get('tokens')
  const types = entries.get('token_type')
  assert.ok(Array.isArray(tokens) && types instanceof Int32Array)
  if (!Array.isArray(tokens) || !(types instanceof Int32Array)) return
  assert.is(tokens.length, 402)
  for (const [token, id] of Object.entries(json.model.vocab)) assert.is(tokens[id], token)
  assert.equal([tokens[400], tokens[401]], ['<|begin_of_text|>', '<|end_of_text|>'])
  assert.equal([types[0], types[399], types[400], types[401]], [1, 1, 3, 3])
  const merges = entries.get('merges')
  assert.ok(Array.isArray(merges))
  assert.is(
    String(merges),
    String(json.model.merges.map((pair) => (Array.isArray(pair) ? pair.join(' ') : pair))),
  )
})

// The patterns as they stand in the tokenizer.json of each kin.
const isolated = (regex: string) => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
})
const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
const gpt2 = { ...bytes, use_regex: true }
const sequence = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers })
const digits = { type: 'Digits', individual_digits: true }

const llama3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const qwen2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const tekken =
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const gpt4o =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const kins: [pre: string, preTokenizer: object, ignoreMerges: boolean][] = [
  ['llama-bpe', sequence(isolated(llama3), bytes), true],
  ['smaug-bpe', sequence(isolated(llama3), bytes), false],
  ['qwen2', sequence(isolated(qwen2), bytes), false],
  ['gpt-2', gpt2, false],
  ['smollm', sequence(digits, gpt2), false],
  ['tekken', sequence(isolated(tekken), bytes), true],
  ['gpt-4o', sequence(isolated(gpt4o), bytes), false],
  [
    'deepseek-coder',
    sequence(
      isolated('[\r\n]'),
      isolated('\\s?\\p{L}+'),
      isolated('\\s?\\p{P}+'),
      isolated('[一-龥ࠀ-一가-퟿]+'),
      digits,
      bytes,
    ),
    false,
  ],
]

for (const [pre, preTokenizer, ignoreMerges] of kins) {
  test(`recognises ${pre}`, () => {
    const json = parsed((changed) => {
      changed.pre_tokenizer = preTokenizer
      changed.model.ignore_merges = ignoreMerges
    })
    assert.is(lookup(json).get('pre'), pre)
  })
}

test('a normaliser that llama.cpp passes over is reported', () => {
  const json = parsed((changed) => {
    changed.normalizer = { type: 'NFC' }
  })
  assert.match(bpeVocab(json, 'x').warnings.join(), /NFC/)
  assert.equal(bpeVocab(parsed(), 'x').warnings, [])
})

test('pads to the embedding, and fills ids that nobody has', () => {
  const json = parsed((changed) =>
    changed.added_tokens.push({ id: 403, content: 'x y', special: false }),
  )
  const entries = lookup(json, { vocabSize: 405 })
  assert.is(String(entries.get('tokens')).split(',').slice(-3).join(), '[PAD402],x y,[PAD404]')
  assert.is(String(entries.get('token_type')).split(',').slice(-3).join(), '5,4,5')
})

const malformed: [string, (json: Parsed) => void, RegExp][] = [
  [
    'an unknown pattern',
    (j) => {
      j.pre_tokenizer = sequence(isolated('\\w+'), bytes)
    },
    /no pre-tokenizer for "Split \\w\+, then ByteLevel"/,
  ],
  [
    'a known pattern with other merging',
    (j) => {
      j.pre_tokenizer = gpt2
    },
    /ByteLevel with its own pattern" with whole words/,
  ],
  [
    'a pre-tokenizer of another kind',
    (j) => {
      j.pre_tokenizer = { type: 'Whitespace' }
    },
    /nothing like.*Whitespace/,
  ],
  [
    'no pre-tokenizer',
    (j) => {
      j.pre_tokenizer = null
    },
    /nothing like the pre-tokenizer null/,
  ],
  [
    'a space before the text',
    (j) => {
      j.pre_tokenizer = { ...gpt2, add_prefix_space: true }
    },
    /nothing like/,
  ],
  [
    'another model',
    (j) => {
      j.model.type = 'WordPiece'
    },
    /"WordPiece", not BPE/,
  ],
  [
    'a SentencePiece model in disguise',
    (j) => {
      j.model.byte_fallback = true
    },
    /SentencePiece/,
  ],
  [
    'no merges',
    (j) => {
      Object.assign(j.model, { merges: undefined })
    },
    /no merges/,
  ],
  [
    'a merge of a missing token',
    (j) => {
      j.model.merges[3] = ['zz', 'top']
    },
    /merge 3 .* needs "zz", no token/,
  ],
  [
    'a merge into a missing token',
    (j) => {
      j.model.merges[3] = ['!', '~']
    },
    /needs "!~", no token/,
  ],
  [
    'a merge with nothing',
    (j) => {
      j.model.merges[3] = ['a', '']
    },
    /merge 3 is cyclic/,
  ],
  [
    'a merge twice',
    (j) => {
      j.model.merges.push(j.model.merges[0])
    },
    /is there twice/,
  ],
  [
    'a merge of three',
    (j) => {
      j.model.merges[0] = 'a b c'
    },
    /merge 0 is no pair/,
  ],
  [
    'an id twice',
    (j) => {
      j.model.vocab['!'] = 5
    },
    /both have the id 5/,
  ],
  [
    'a huge id',
    (j) => {
      j.model.vocab['!'] = 2 ** 31
    },
    /has the id 2147483648/,
  ],
  [
    'a negative id',
    (j) => {
      j.model.vocab['!'] = -1
    },
    /has the id -1/,
  ],
  [
    'an added token without text',
    (j) => {
      j.added_tokens.push({ id: 402 })
    },
    /no text/,
  ],
]

for (const [name, change, message] of malformed) {
  test(`refuses ${name}`, () => {
    try {
      bpeVocab(parsed(change), 'broken/tokenizer.json')
    } catch (error) {
      assert.instance(error, OpenLlamaError)
      if (!(error instanceof OpenLlamaError)) return
      assert.is(error.exit, 3)
      assert.match(error.message, message)
      assert.match(error.message, /broken\/tokenizer\.json/)
      assert.ok(error.suggestions.length > 0)
      return
    }
    assert.unreachable('it was accepted')
  })
}

test('fewer rows than tokens are refused', () => {
  assert.throws(() => bpeVocab(parsed(), 'x', { vocabSize: 10 }), /402 tokens, and only 10 rows/)
  assert.throws(() => bpeVocab(parsed(), 'x', { vocabSize: 2 ** 40 }), /are believed/)
})

test('what is no tokenizer.json at all is refused', () => {
  for (const json of [null, [], 'x', 5, {}, { model: null }]) {
    assert.throws(() => bpeVocab(json, 'x'), /not BPE/)
  }
})

test('a malformed tokenizer.json is a clear error, whatever stands in it', async () => {
  const hostile = { toString: 1, valueOf: 'x' }
  const refused: ((json: Parsed) => void)[] = [
    (json) => Reflect.set(json.model.vocab, '!', hostile),
    (json) => Reflect.set(json.model.vocab, '!', 2 ** 40),
    (json) => json.added_tokens.push({ id: hostile, content: 'x' }),
    (json) => json.added_tokens.push({ id: 3, content: hostile }),
    (json) => json.model.merges.push([hostile, hostile]),
    (json) => json.model.merges.push('x'.repeat(100_000)),
    (json) => Reflect.set(json.model, 'type', hostile),
    (json) => Reflect.set(json, 'pre_tokenizer', { type: 'x'.repeat(100_000) }),
  ]
  for (const change of refused) {
    const error = await fails(async () => lookup(parsed(change)), 'input', 'tokenizer.json')
    assert.ok(error.message.length < 2000, String(error.message.length))
  }
  // What does not concern a vocabulary is passed over.
  for (const post of [{ type: 'Sequence', processors: hostile }, { single: ['x'] }, hostile, 7]) {
    lookup(parsed((json) => Reflect.set(json, 'post_processor', post)))
  }
})

for (const post of [
  { type: 'TemplateProcessing', single: ['x'] },
  { type: 'TemplateProcessing' },
]) {
  test(`a malformed post-processor is a clear error in the engine: ${JSON.stringify(post)}`, async () => {
    const json = parsed((each) => Reflect.set(each, 'post_processor', post))
    try {
      const engine = await tokenizerJsonEngine(JSON.stringify(json), 'tokenizer.json')
      engine.decode(engine.encode('a text'))
    } catch (error) {
      assert.ok(error instanceof OpenLlamaError, String(error))
      assert.is(error.code, 'input')
    }
  })
}

test.run()
