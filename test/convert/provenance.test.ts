import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ConvertOptions, type RunOptions, runConversion } from '../../src/convert/convert.js'
import { recordName } from '../../src/record/record.js'

import { equalBytes, sha256 } from '../support/bytes.js'
import { type Made, makeSource, prepare, runOptions, withValues } from '../support/conversion.js'
import { small } from '../support/llama.js'
import { fixture, root } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: provenance')

async function convert(
  made: Made,
  options: Partial<ConvertOptions> = {},
  run: Partial<RunOptions> = {},
) {
  const result = await runConversion(await prepare(made, options), { ...runOptions, ...run })
  const bytes = readFileSync(join(result.out, recordName))
  return { result, bytes, record: JSON.parse(bytes.toString()) }
}

test('the hashes are those of the files, of the source and of the output', async () => {
  const made = makeSource()
  const { record } = await convert(made, { maxShardSize: 30_000, dtype: 'bf16' })
  const written = readdirSync(made.out).filter((name) => name !== recordName)
  assert.equal(record.target.files.map(({ name }: { name: string }) => name).sort(), written.sort())
  for (const { name, bytes, sha256: hash } of record.target.files) {
    const content = readFileSync(join(made.out, name))
    assert.equal([bytes, hash], [content.length, sha256(content)], name)
  }
  const source = readFileSync(made.source)
  assert.equal(record.source, {
    format: 'easylm',
    files: [{ name: 'stream', bytes: source.length, sha256: sha256(source) }],
  })
})

test('without hashes, and the same otherwise', async () => {
  const hashed = await convert(makeSource(), { dtype: 'bf16' })
  const bare = await convert(makeSource(), { dtype: 'bf16' }, { sha256: false })
  const unhashed = (files: object[]) => files.map((file) => ({ ...file, sha256: null }))
  const { source, target } = hashed.record
  assert.equal(bare.record, {
    ...hashed.record,
    source: { ...source, files: unhashed(source.files) },
    target: { ...target, files: unhashed(target.files) },
  })
})

test('tool, options, casts and counts', async () => {
  const { record } = await convert(makeSource(), { dtype: 'bf16', heads: 8, maxShardSize: 1e6 })
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.equal(record.tool, { name: 'openllama', version })
  assert.is(record.schema, 2)
  // What was not given is not there.
  const given = { dtype: 'bf16', heads: 8, max_shard_size: 1e6, allow_loss: true }
  assert.equal(record.options, given)
  assert.is(record.tensors, 21)
  assert.equal(record.casts, [
    { from: 'f32', to: 'bf16', tensors: 21, parameters: record.parameters },
  ])
  assert.equal(record.values, {})
})

test('the same source and options give the same bytes, wherever they lie, however it is run', async () => {
  const made = makeSource()
  const first = await convert(made)
  const folder = tempDir()
  mkdirSync(join(folder, 'elsewhere'))
  for (const name of ['stream', 'config.json'])
    copyFileSync(join(made.folder, 'in', name), join(folder, 'elsewhere', name))
  const moved = { folder, source: join(folder, 'elsewhere', 'stream'), out: join(folder, 'other') }
  await convert(moved, { maxMemory: 17e6, threads: 2 })
  assert.equal(readdirSync(made.out), readdirSync(moved.out))
  for (const name of readdirSync(made.out))
    equalBytes(readFileSync(join(moved.out, name)), readFileSync(join(made.out, name)), name)
  const text = first.bytes.toString()
  for (const place of [made.folder, tmpdir(), root, '/home', '\\\\'])
    assert.not(text.includes(place), `${place} is in the record`)
  assert.not(/"\/|\d{4}-\d{2}-\d{2}T/.test(text), 'a path or a date')
})

test('a configuration that is given is named without its folder', async () => {
  const made = makeSource()
  const { record, bytes } = await convert(made, { config: join(made.folder, 'in', 'config.json') })
  assert.is(record.options.config, 'config.json')
  assert.not(bytes.includes(made.folder))
})

test('what else went into it is there with the hash of its bytes', async () => {
  const folder = tempDir()
  const beside = (name: string) => join(folder, name)
  const made = { folder, source: beside('streaming_params_bf16'), out: beside('out') }
  copyFileSync(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), made.source)
  copyFileSync(fixture('tiny-v2', 'config.json'), beside('config.json'))
  writeFileSync(beside('generation_config.json'), '{"temperature": 0.6}')
  copyFileSync(fixture('tiny-v2', 'easylm', 'tokenizer.model'), beside('tokenizer.model'))
  writeFileSync(beside('tokenizer_config.json'), '{"add_bos_token": true}')
  writeFileSync(beside('README.md'), '---\nlicense: mit\n---\n')
  const other = join(made.folder, 'other.json')
  copyFileSync(beside('config.json'), other)
  const expected = (role: string, path: string) => {
    const content = readFileSync(path)
    return { role, name: basename(path), bytes: content.length, sha256: sha256(content) }
  }
  const folderFiles = [
    expected('config', other),
    expected('tokenizer', beside('tokenizer.model')),
    expected('tokenizer', beside('tokenizer_config.json')),
    expected('generation_config', beside('generation_config.json')),
  ]
  const inputs = async (options: Partial<ConvertOptions>) => {
    const { inputs: found } = await prepare(made, { config: other, ...options })
    return found.toSorted((a, b) => a.sha256.localeCompare(b.sha256))
  }
  const sorted = (files: typeof folderFiles) =>
    files.toSorted((a, b) => a.sha256.localeCompare(b.sha256))
  assert.equal(await inputs({}), sorted(folderFiles))
  assert.equal(
    await inputs({ to: 'gguf' }),
    sorted([...folderFiles, expected('card', beside('README.md'))]),
  )
  assert.equal(await inputs({ to: 'meta' }), sorted(folderFiles.slice(0, 2)))
  const { record } = await convert(made, { config: other })
  assert.equal(record.inputs.length, 4)
})

test('what was seen in the values is in it, and in the warnings', async () => {
  const edit = withValues('lm_head/kernel', [Number.NaN, Number.NEGATIVE_INFINITY, 1e30, 1e-30])
  const made = makeSource(small, 'float32', edit)
  const { record, result } = await convert(
    made,
    { dtype: 'f16' },
    { allowNonFinite: true, allowOverflow: true },
  )
  assert.is(record.options.allow_non_finite, true)
  assert.is(record.options.allow_overflow, true)
  const { nan, infinite, overflowed, vanished } = record.values['lm_head.weight']
  assert.equal([nan, infinite, overflowed, vanished], [1, 1, 1, 1])
  const warnings = result.warnings.join('\n')
  for (const part of [
    'lm_head.weight: 1 NaN values were kept',
    'lm_head.weight: 1 infinite values were kept',
    '1 values were too large for f16',
    '1 values were too small for f16',
  ])
    assert.ok(warnings.includes(part), warnings)
})

test.run()
