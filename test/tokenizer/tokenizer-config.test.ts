import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SettingsFile, TokenizerConfigOptions } from '../../src/tokenizer/tokenizer-config.js'
import { tokenizerFiles } from '../../src/tokenizer/tokenizer-files.js'
import { fixtureModel } from './fixtures.js'

function write(options: TokenizerConfigOptions = {}, model = 'tiny-v1') {
  const { files, warnings, settings } = tokenizerFiles(fixtureModel(model), model, options)
  return {
    config: JSON.parse(files['tokenizer_config.json']),
    map: JSON.parse(files['special_tokens_map.json']),
    json: JSON.parse(files['tokenizer.json']),
    warnings,
    settings,
  }
}

const source = (name: string, json: unknown): SettingsFile => ({ name, json })

test('says what the model file says', () => {
  const { config, map, warnings } = write({ modelMaxLength: 2048 })
  assert.equal(config, {
    add_bos_token: true,
    add_eos_token: false,
    additional_special_tokens: ['<unk>', '<s>', '</s>'],
    bos_token: '<s>',
    clean_up_tokenization_spaces: false,
    eos_token: '</s>',
    model_input_names: ['input_ids', 'attention_mask'],
    model_max_length: 2048,
    split_special_tokens: true,
    tokenizer_class: 'PreTrainedTokenizerFast',
    unk_token: '<unk>',
  })
  assert.equal(map, { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>' })
  assert.equal(warnings, [])
})

test("agrees with config.json's ids, of which -1 is none", () => {
  assert.is(write({ ids: { bos: 1, eos: 2, pad: 0 } }).config.pad_token, '<unk>')
  const none = write({ ids: { bos: 1, eos: 2, pad: -1 } })
  assert.is(none.config.pad_token, undefined)
  assert.equal(none.warnings, [])
  assert.is(write({}, 'bpe-symbols').config.pad_token, '<pad>')
})

test('a map that calls </s> the BOS is reported, and the model file decides', () => {
  const { config, map, json, warnings } = write({
    sources: [
      source('special_tokens_map.json', { bos_token: '</s>', eos_token: { content: '</s>' } }),
      source('tokenizer_config.json', { bos_token: '<s>' }),
    ],
  })
  assert.equal(warnings, [
    'special_tokens_map.json calls "</s>" the BOS, against the model file; "<s>" (id 1) is written.',
  ])
  assert.is(config.bos_token, '<s>')
  assert.is(map.bos_token, '<s>')
  assert.equal(json.post_processor.special_tokens, {
    '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] },
  })
})

test('a piece that tokenizer_config.json calls the EOS is it, as to transformers and llama.cpp', () => {
  // 300 is a piece like any other to the model file, which has </s>.
  const piece = fixtureModel('tiny-v1').pieces[300]?.text
  const named = write({
    ids: { eos: [300, 2] },
    sources: [source('tokenizer_config.json', { eos_token: piece })],
  })
  assert.is(named.settings.tokens.eos?.id, 300)
  assert.is(named.map.eos_token, piece)
  assert.equal(named.warnings, [])
  const agreed = write({
    ids: { eos: 300 },
    sources: [source('special_tokens_map.json', { eos_token: { content: piece } })],
  })
  assert.is(agreed.settings.tokens.eos?.id, 300)
  // A map alone was often copied from another model; and what begins a text does not end it.
  const alone = write({
    ids: { eos: 2 },
    sources: [source('special_tokens_map.json', { eos_token: piece })],
  })
  assert.is(alone.settings.tokens.eos?.id, 2)
  const begin = write({ sources: [source('tokenizer_config.json', { eos_token: '<s>' })] })
  assert.is(begin.settings.tokens.eos?.id, 2)
  assert.equal(begin.warnings, [
    'tokenizer_config.json calls "<s>" the EOS, against the model file; "</s>" (id 2) is written.',
  ])
})

test("config.json's ids that contradict the model file are reported", () => {
  const { config, warnings } = write({ ids: { bos: 0, eos: 7777 } })
  assert.is(config.bos_token, '<s>')
  assert.equal(warnings, [
    'config.json calls id 0 ("<unk>") the BOS, against the model file; "<s>" (id 1) is written.',
    'config.json calls id 7777 the EOS, which is no token of the model; "</s>" (id 2) is written.',
  ])
})

test('a pad token that the model has not is reported and left out', () => {
  const { config, warnings } = write({
    sources: [source('special_tokens_map.json', { pad_token: '[PAD]' })],
  })
  assert.is(config.pad_token, undefined)
  assert.equal(warnings, [
    'special_tokens_map.json calls "[PAD]" the PAD, which is no token of the model; none is written.',
  ])
})

test("keeps a fine-tune's own tokens, template and end", () => {
  const { config, json, warnings, settings } = write({
    sources: [
      source('tokenizer_config.json', {
        add_bos_token: false,
        added_tokens_decoder: { 512: { content: '<|im_end|>', special: true } },
        chat_template: '{{ messages }}',
        eos_token: '<|im_end|>',
        model_max_length: 1e30,
      }),
      source('added_tokens.json', { '<|im_end|>': 512, plain: 513 }),
    ],
  })
  assert.equal(warnings, [])
  assert.is(config.add_bos_token, false)
  assert.is(config.eos_token, '<|im_end|>')
  assert.is(config.chat_template, '{{ messages }}')
  assert.is(config.model_max_length, undefined)
  // A template writes special tokens as text, so they must be read there.
  assert.is(config.split_special_tokens, undefined)
  assert.equal(
    json.added_tokens.map((token: { id: number; content: string; special: boolean }) => [
      token.id,
      token.content,
      token.special,
    ]),
    [
      [0, '<unk>', true],
      [1, '<s>', true],
      [2, '</s>', true],
      [512, '<|im_end|>', true],
      [513, 'plain', false],
    ],
  )
  assert.is(settings.tokens.eos?.id, 512)
})

test('an added token keeps what it does to the spaces around it', () => {
  const token = { content: '<|end|>', special: true, rstrip: true, single_word: true }
  const { config, json } = write({
    sources: [source('tokenizer_config.json', { added_tokens_decoder: { 512: token } })],
  })
  const written = { lstrip: false, normalized: false, rstrip: true, single_word: true }
  const found = json.added_tokens.find(({ id }: { id: number }) => id === 512)
  assert.equal(found, { id: 512, content: '<|end|>', ...written, special: true })
  assert.equal(config.added_tokens_decoder['512'], {
    content: '<|end|>',
    ...written,
    special: true,
  })
})

test('tokens that only a list of old calls special are special', () => {
  const { settings } = write({
    sources: [
      source('special_tokens_map.json', { additional_special_tokens: ['<|im_end|>'] }),
      source('added_tokens.json', { '<|im_end|>': 512, plain: 513 }),
    ],
  })
  assert.equal(
    settings.added.map(({ text, special }) => [text, special]),
    [
      ['<|im_end|>', true],
      ['plain', false],
    ],
  )
})

test('of two chat templates the first is written, and the other is told of', () => {
  const first = source('chat_template.jinja', { chat_template: 'of its own' })
  const other = source('tokenizer_config.json', { chat_template: 'older' })
  const { config, warnings } = write({ sources: [first, other] })
  assert.is(config.chat_template, 'of its own')
  assert.equal(warnings, [
    'tokenizer_config.json has another chat template than chat_template.jinja, which is written.',
  ])
  assert.equal(write({ sources: [first, first] }).warnings, [])
})

test('another spelling of a piece is reported', () => {
  const { warnings } = write({
    sources: [source('tokenizer.json', { added_tokens: [{ id: 1, content: '<bos>' }] })],
  })
  assert.equal(warnings, [
    'tokenizer.json calls token 1 "<bos>"; the model file says "<s>", which is written.',
  ])
})

test('tells llama.cpp that no space is put before the text', () => {
  assert.is(write({}, 'bpe-no-prefix').config.add_prefix_space, false)
  assert.is('add_prefix_space' in write().config, false)
})

test('sources of any shape are survived', () => {
  const shapes = [null, 5, 'x', [], [null], { added_tokens: 3, added_tokens_decoder: [1] }]
  const named = { chat_template: [{ name: 'default', template: 'x' }], bos_token: 5 }
  for (const json of [...shapes, named]) write({ sources: [source('tokenizer.json', json)] })
})

test.run()
