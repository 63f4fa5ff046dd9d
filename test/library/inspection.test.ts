import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { inspect, OpenLlamaError } from '../../src/index.js'
import { type RawFile, rawGguf, text, texts } from '../support/gguf.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

function ggufOf(file: RawFile): string {
  const path = join(tempDir(), 'file.gguf')
  writeFileSync(path, rawGguf(file))
  return path
}

test('a checkpoint, with its tokenizer and what is assumed', async () => {
  const source = fixture('tiny-v1', 'easylm', 'streaming_params_bf16')
  const found = await inspect(source, { config: fixture('tiny-v1', 'config.json') })
  if (found.kind !== 'checkpoint') throw new Error(found.kind)
  const { checkpoint, tokenizer, warnings } = found
  assert.is(checkpoint.format, 'easylm')
  assert.is(checkpoint.tensors.size, 9 * checkpoint.config.num_hidden_layers + 3)
  assert.is(tokenizer?.kind, 'sentencepiece-bpe')
  assert.is(tokenizer?.tokens, checkpoint.config.vocab_size)
  assert.equal(warnings, [])
})

test('a GGUF that is a vocabulary, and one of a model that is not known', async () => {
  const tokens = texts('tokenizer.ggml.tokens', ['a', 'b'])
  const bert = text('general.architecture', 'bert')
  const vocabulary = await inspect(ggufOf({ entries: [bert, tokens], tensors: [] }))
  assert.is(vocabulary.kind === 'vocabulary' && vocabulary.vocabulary.tokens, 2)
  const tensors = [{ name: 'w', dimensions: [32], type: 0, data: new Uint8Array(128) }]
  const opaque = await inspect(ggufOf({ entries: [bert, tokens], tensors }))
  if (opaque.kind !== 'opaque') throw new Error(opaque.kind)
  assert.match(opaque.opaque.reason, 'bert')
  assert.equal(opaque.opaque.tensors, [{ name: 'w', type: 'f32', shape: [32] }])
})

test('what is none of them is refused', async () => {
  const error = await inspect(join(tempDir(), 'nothing')).catch((error: unknown) => error)
  assert.instance(error, OpenLlamaError)
})

test.run()
