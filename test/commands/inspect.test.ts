import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openllama } from '../support/cli-here.js'
import { configJson } from '../support/listing.js'
import { type Model, small, tensorsOf } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { readsIn } from '../support/reads.js'
import { makeSparse } from '../support/sparse.js'
import { arraysOf, streamOf } from '../support/stream.js'
import { tempDir } from '../support/temp.js'

const test = suite('commands: inspect')

const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')

test('text: format, sizes, heads, types, tokenizer', async () => {
  const { code, stdout } = await openllama(['inspect', source, '--heads', '8', '--tensors'])
  assert.is(code, 0)
  for (const part of [
    'easylm',
    '984 k in 21 tensors',
    'bf16 × 21',
    '8 and 2 key-value heads of 32',
    'tokenizer.model',
    'transformer/h/1/attention/wk/kernel',
    '[64, 256]',
    'transposed interleaved',
  ])
    assert.ok(stdout.includes(part), `${part}: ${stdout}`)
})

test('--json: one document, with tensors by both names and where their bytes are', async () => {
  const folder = tempDir()
  const weights = join(folder, 'weights')
  const arrays = arraysOf(small, 'float32')
  writeFileSync(weights, streamOf(arrays))
  writeFileSync(join(folder, 'config.json'), configJson(small))
  const { code, stdout, stderr } = await openllama(['inspect', folder, '--tensors', '--json'])
  assert.is(code, 0, stdout)
  assert.is(stderr, '')
  const result = JSON.parse(stdout)
  assert.is(result.format, 'easylm')
  assert.equal(result.dtypes, { f32: 21 })
  assert.is(result.parameters * 4, result.bytes)
  assert.is(result.config.num_key_value_heads, 2)
  const key = (stored: string) => arrays.find((array) => array.key === stored)
  for (const [i, tensor] of tensorsOf(small).entries()) {
    const found = result.tensors[i]
    assert.equal(
      [found.name, found.stored_name, found.shape],
      [tensor.hf, tensor.easylm, tensor.shape],
    )
    assert.is(found.extents[0].length, key(tensor.easylm)?.data.length)
    assert.is(found.layout.transposed, tensor.kernel)
  }
})

test('of 27 GB, only what says where weights are is read', async () => {
  const model: Model = {
    vocab: 32_000,
    hidden: 4096,
    intermediate: 11_008,
    layers: 32,
    heads: 32,
    kvHeads: 32,
    headDim: 128,
  }
  const path = join(tempDir(), 'streaming_params')
  assert.ok((await makeSparse(path, model, 'f32')) > 26.9e9)
  let large: Awaited<ReturnType<typeof openllama>> | undefined
  const reads = await readsIn(dirname(path), async () => {
    large = await openllama(['inspect', path])
  })
  assert.is(large?.code, 0, large?.stderr)
  assert.match(large?.stdout ?? '', '6.74 B in 291 tensors')
  assert.match(large?.stderr ?? '', 'open_llama_7b')
  const { stretches } = reads.get('streaming_params') ?? { stretches: [] }
  const bytes = stretches.reduce((sum, { begin, end }) => sum + end - begin, 0)
  assert.ok(bytes > 10_000 && bytes < 10_000_000, `${bytes} bytes were read`)
})

test('what cannot be read: exit 3, in JSON as well', async () => {
  const { code, stdout } = await openllama(['inspect', fixture('tiny-v2', 'config.json'), '--json'])
  assert.is(code, 3)
  const { error } = JSON.parse(stdout)
  assert.equal(
    [error.code, error.exit, error.path],
    ['input', 3, fixture('tiny-v2', 'config.json')],
  )
  assert.match(error.message, 'known formats')
})

test.run()
