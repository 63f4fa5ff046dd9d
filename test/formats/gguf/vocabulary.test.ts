import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.js'
import { configDefaults } from '../../../src/checkpoint/config.js'
import type { MetadataEntry } from '../../../src/checkpoint/metadata.js'
import { presets } from '../../../src/checkpoint/presets.js'
import { vocabularyEntries } from '../../../src/formats/gguf/vocabulary.js'
import { fixture } from '../../support/paths.js'

const test = suite('formats: GGUF vocabulary')

const [[, preset] = []] = presets
const byteLevel = JSON.parse(readFileSync(fixture('tokenizer', 'byte-level.json'), 'utf8'))

function checkpointOf(more: Partial<Checkpoint> & { ids?: object }): Checkpoint {
  assert.ok(preset)
  return {
    format: 'safetensors',
    path: 'x',
    naming: 'hf',
    files: [],
    config: { ...preset, ...configDefaults, vocab_size: 512, ...more.ids },
    tensors: new Map(),
    tokenizer: { beside: [] },
    notes: [],
    ...more,
  }
}

const idsOf = (entries: readonly MetadataEntry[]) =>
  Object.fromEntries(
    entries.flatMap(({ key, value }) => {
      const role = /^tokenizer\.ggml\.(\w+)_token_id$/.exec(key)?.[1]
      return role === undefined ? [] : [[role, value]]
    }),
  )

test('ids of another GGUF that no row belongs to are not passed on', () => {
  const id = (role: string, value: number): MetadataEntry => ({
    key: `tokenizer.ggml.${role}_token_id`,
    type: 'uint32',
    value,
  })
  // 2^32 - 1 is how old converters say "none".
  const tokens = Array.from({ length: 512 }, (_, i) => `t${i}`)
  const vocabulary: MetadataEntry = {
    key: 'tokenizer.ggml.tokens',
    type: 'string[]',
    value: tokens,
  }
  const kind: MetadataEntry = { key: 'tokenizer.ggml.model', type: 'string', value: 'gpt2' }
  const metadata = [
    kind,
    vocabulary,
    id('bos', 1),
    id('eos', 512),
    id('padding', 0xffffffff),
    id('eot', 511),
  ]
  const { entries } = vocabularyEntries(checkpointOf({ metadata }), { dtype: 'auto' })
  assert.equal(idsOf(entries), { bos: 1, padding: 0xffffffff, eot: 511 })
})

/** Expected from gguf-py's SpecialVocab, which llama.cpp's converter asks. */
test('what a template puts after a text is the EOS, and the tokenizer’s own ends a turn', () => {
  const template = (last: string) => ({
    type: 'TemplateProcessing',
    single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: last, type_id: 0 } }],
  })
  const ids = (last: string) => {
    const json = { ...byteLevel, post_processor: template(last) }
    const config = new TextEncoder().encode('{"eos_token": "<|end_of_text|>"}')
    const { entries } = vocabularyEntries(checkpointOf({ ids: { eos_token_id: [401, 400] } }), {
      dtype: 'auto',
      tokenizerJson: { name: 'tokenizer.json', json },
      keptTokenizer: [{ name: 'tokenizer_config.json', bytes: config }],
    })
    return idsOf(entries)
  }
  assert.equal(ids('<|end_of_text|>').eos, 401)
  assert.is(ids('<|end_of_text|>').eot, undefined)
  const { eos, eot } = ids('<|begin_of_text|>')
  assert.equal([eos, eot], [400, 401])
})

test.run()
