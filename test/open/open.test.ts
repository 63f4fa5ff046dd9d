import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openCheckpoint } from '../../src/open/open.js'
import { fails } from '../support/errors.js'
import { configJson } from '../support/listing.js'
import { fixtures, small } from '../support/llama.js'
import { fixture, shared } from '../support/paths.js'
import { arrayRecord, arraysOf, packed, record, streamOf, treeOf } from '../support/stream.js'
import { tempDir } from '../support/temp.js'

const test = suite('formats: open')

const arrays = arraysOf(small, 'float32')
const stream = streamOf(arrays)
const tree = treeOf(arrays)
const state = Buffer.concat([
  record('step', packed(1)),
  ...arrays.map((array) => arrayRecord({ ...array, key: `params/params/${array.key}` })),
])

/** A directory of these files. */
function folder(files: Record<string, string | Uint8Array>): string {
  const path = tempDir()
  for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content)
  return path
}

const all = folder({ stream, tree, state, 'config.json': configJson(small) })

test('the format is found out from the bytes', async () => {
  for (const [name, format] of [
    ['stream', 'easylm'],
    ['state', 'easylm'],
    ['tree', 'flax'],
  ] as const) {
    const checkpoint = await openCheckpoint(join(all, name))
    assert.is(checkpoint.format, format)
    assert.is(checkpoint.tensors.size, 21)
    assert.is(checkpoint.config.num_key_value_heads, small.kvHeads)
  }
})

test('the fixtures, without any prefix', async () => {
  for (const [name, { heads, kvHeads, headDim }] of Object.entries(fixtures)) {
    const path = fixture(name, 'easylm', 'streaming_params_bf16')
    const { format, config, tokenizer } = await openCheckpoint(path, { heads })
    assert.is(format, 'easylm')
    assert.equal([config.num_key_value_heads, config.head_dim], [kvHeads, headDim])
    assert.is(tokenizer.model, fixture(name, 'easylm', 'tokenizer.model'))
  }
})

test('every load string', async () => {
  for (const [source, format] of [
    [`params::${join(all, 'stream')}`, 'easylm'],
    [`trainstate_params::${join(all, 'state')}`, 'easylm'],
    [`trainstate::${join(all, 'state')}`, 'easylm'],
    [`flax_params::${join(all, 'tree')}`, 'flax'],
    [`flax::${join(all, 'tree')}`, 'flax'],
  ] as const) {
    const checkpoint = await openCheckpoint(source)
    assert.is(checkpoint.format, format, source)
    assert.is(checkpoint.tensors.size, 21, source)
    assert.is(checkpoint.path, source)
  }
})

test('load strings that do not fit', async () => {
  const cases: [string, 'input' | 'usage', string][] = [
    [`weights::${join(all, 'stream')}`, 'usage', 'trainstate_params::'],
    [`params::${join(all, 'tree')}`, 'input', 'EasyLM'],
    [`flax_params::${join(all, 'stream')}`, 'input', 'tree of parameters'],
    [`params::${join(all, 'state')}`, 'input', 'trainstate_params::'],
    [`params::${join(all, 'nothing')}`, 'input', 'no such file'],
    [`params::${all}`, 'input', 'directory'],
    ['params::', 'input', 'no such file'],
  ]
  for (const [source, code, part] of cases) await fails(() => openCheckpoint(source), code, part)
})

test('a directory with one checkpoint in it, and what is beside it', async () => {
  const path = folder({
    'config.json': configJson(small),
    checkpoint: stream,
    'README.md': '# A',
    '.gitattributes': '',
  })
  copyFileSync(fixture('tiny-v1', 'easylm', 'tokenizer.model'), join(path, 'tokenizer.model'))
  mkdirSync(join(path, 'logs'))
  symlinkSync(join(path, 'gone'), join(path, 'dangling'))
  const checkpoint = await openCheckpoint(path)
  assert.is(checkpoint.format, 'easylm')
  assert.equal(
    checkpoint.files.map((file) => file.path),
    [join(path, 'checkpoint')],
  )
  assert.is(checkpoint.tokenizer.model, join(path, 'tokenizer.model'))
})

test('a directory with two, or with none', async () => {
  await fails(
    () => openCheckpoint(all),
    'input',
    '3 checkpoints',
    'state, stream, tree',
    'Name one',
  )
  await fails(() => openCheckpoint(folder({})), 'input', 'no checkpoint', 'EasyLM')
  await fails(
    () => openCheckpoint(folder({ 'a.txt': 'text', 'b.json': '{}' })),
    'input',
    'no checkpoint',
  )
})

const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 13476838400\n'
const page = '\n<!DOCTYPE html>\n<html><body>Access to this model is restricted</body></html>'

test('what is often saved in a checkpoint’s place is called by its name', async () => {
  for (const [content, ...parts] of [
    [pointer, 'Git LFS pointer', '13476838400', 'git lfs pull'],
    [page, 'web page'],
    ['<html lang="en">', 'web page'],
    ['<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 'web page'],
    ['', 'empty'],
    ['{"error": "Repository not found"}', 'none of the known formats', 'EasyLM'],
    [new Uint8Array(5000), 'none of the known formats'],
    [Uint8Array.of(0x92), 'none of the known formats'],
  ] as const) {
    const path = folder({ weights: content })
    await fails(
      () => openCheckpoint(join(path, 'weights')),
      'input',
      join(path, 'weights'),
      ...parts,
    )
    if (typeof content === 'string' && !content.startsWith('{'))
      await fails(() => openCheckpoint(`params::${join(path, 'weights')}`), 'input', ...parts)
  }
})

test('the same within a directory: a clone without Git LFS has nothing but pointers', async () => {
  const clone = folder({
    'README.md': '# A model',
    checkpoint: pointer,
    'tokenizer.model': pointer,
  })
  await fails(
    () => openCheckpoint(clone),
    'input',
    join(clone, 'checkpoint'),
    'Git LFS pointer',
    'git lfs pull',
  )
  await fails(
    () => openCheckpoint(folder({ 'model.safetensors': pointer })),
    'input',
    'Git LFS pointer',
  )
  await fails(() => openCheckpoint(folder({ weights: page })), 'input', 'web page')
  const shards = { 'lm_head.weight': 'model-00001-of-00002.safetensors' }
  const index = JSON.stringify({ weight_map: shards })
  const half = folder({
    'model.safetensors.index.json': index,
    'model-00001-of-00002.safetensors': pointer,
  })
  await fails(() => openCheckpoint(half), 'input', 'model-00001-of', 'Git LFS pointer')
})

test('a path that is not there', async () => {
  await fails(
    () => openCheckpoint(join(all, 'nothing')),
    'input',
    join(all, 'nothing'),
    'no such file',
  )
  await fails(
    () => openCheckpoint(join(all, 'stream', 'x')),
    'resources',
    'a file, not a directory',
  )
})

test('a pipe is refused, and not waited for', async () => {
  if (process.platform === 'win32') return
  const pipe = join(tempDir(), 'pipe')
  execFileSync('mkfifo', [pipe])
  await fails(() => openCheckpoint(pipe), 'input', pipe, 'no regular file')
})

test('--config: a preset, a file, and what is neither', async () => {
  const bare = folder({ stream })
  const path = join(bare, 'stream')
  const open = (config: string) => openCheckpoint(path, { config })
  assert.is((await open(join(all, 'config.json'))).config.num_attention_heads, 8)
  await fails(() => open('llama_7b'), 'input', 'the preset llama_7b', 'hidden_size', 4096, 40)
  await fails(() => open('llama_9b'), 'usage', 'llama_9b', 'open_llama_3b_v2', 'llama3_70b')
  await fails(() => open(all), 'input', all, 'directory')
  await fails(() => openCheckpoint(path), 'usage', '`heads`', '`config`')
})

test('a config.json beside that is no configuration of this model', async () => {
  for (const [config, ...parts] of [
    ['{"model_type": "gpt2"}', 'gpt2', 'config.json'],
    ['{', 'JSON', 'config.json'],
    ['[]', 'JSON object', 'config.json'],
    ['', 'JSON', 'config.json'],
    [configJson({ ...small, hidden: 44 }), 'hidden_size', 44, 40, 'config.json'],
  ] as const) {
    const path = folder({ stream, 'config.json': config })
    await fails(() => openCheckpoint(join(path, 'stream')), 'input', ...parts)
  }
  const other = folder({ stream, 'config.json': '{"model_type": "gpt2"}' })
  const chosen = await openCheckpoint(join(other, 'stream'), { config: join(all, 'config.json') })
  assert.is(chosen.config.num_attention_heads, 8)
})

test('a configuration that nests without end', async () => {
  const path = join(folder({ stream }), 'stream')
  const config = join(
    folder({ 'config.json': `{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}` }),
    'config.json',
  )
  await fails(() => openCheckpoint(path, { config }), 'input', config, '100 levels')
})

test('--tokenizer: a file, or the directory that it is in', async () => {
  const source = join(all, 'stream')
  const model = fixture('tiny-v2', 'easylm', 'tokenizer.model')
  assert.is((await openCheckpoint(source)).tokenizer.model, undefined)
  for (const tokenizer of [model, fixture('tiny-v2', 'easylm')])
    assert.is((await openCheckpoint(source, { tokenizer })).tokenizer.model, model)
  await fails(() => openCheckpoint(source, { tokenizer: all }), 'input', 'tokenizer.model', all)
  await fails(
    () => openCheckpoint(source, { tokenizer: join(all, 'no') }),
    'input',
    join(all, 'no'),
  )
})

test('directories as others made them', async () => {
  for (const [name, { kvHeads }] of Object.entries(fixtures)) {
    for (const [entry, format, files] of [
      ['hf-bf16', 'safetensors', 1],
      ['hf-f32-sharded', 'safetensors', 4],
    ] as const) {
      const path = shared('folders by transformers', 'fixtures', name, entry)
      if (path === undefined) continue
      const checkpoint = await openCheckpoint(path)
      assert.is(checkpoint.format, format)
      assert.ok(checkpoint.files.length >= files)
      assert.is(checkpoint.config.num_key_value_heads, kvHeads)
      assert.ok(checkpoint.tokenizer.model)
    }
  }
})

test.run()
