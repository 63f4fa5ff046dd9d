import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listFile } from '../../src/formats/hf/safetensors.js'
import { equalBytes, sha256 } from '../support/bytes.js'
import { openllama } from '../support/cli-here.js'
import { type FixtureName, fixtureValues, inF16 } from '../support/fixtures.js'
import { fixture, shared } from '../support/paths.js'
import { bytesOfArray, decode, expectedTensors, hashOfF32, inMemory } from '../support/sources.js'
import { tempDir } from '../support/temp.js'

const test = suite('commands: the fixtures')

const folder = tempDir()
const config = (name: FixtureName) => fixture(name, 'config.json')

/** Starts a conversion to safetensors; the test that is interested waits for it. */
function start(name: FixtureName, source: string, out: string, ...flags: string[]) {
  return openllama([
    'convert',
    source,
    '--to',
    'safetensors',
    '--config',
    config(name),
    '--out',
    out,
    ...flags,
  ])
}

const files: [FixtureName, string, string][] = [
  ['tiny-v1', 'params::', 'streaming_params_bf16'],
  ['tiny-v1', '', 'streaming_params_fp32'],
  ['tiny-v1', '', 'streaming_params_fp16'],
  ['tiny-v2', '', 'streaming_params_bf16'],
  ['tiny-v2', 'params::', 'streaming_params_fp32'],
  ['tiny-v2', '', 'streaming_params_fp16'],
  ['tiny-v2', 'trainstate_params::', 'streaming_train_state_bf16'],
  ['tiny-v2', '', 'streaming_train_state_bf16'],
  ['tiny-v2', '', 'flax_params.msgpack'],
  ['tiny-v2', 'flax_params::', 'flax_params_chunked.msgpack'],
]

for (const [name, prefix, file] of files) {
  const ours = fixture(name, 'easylm', file)
  const path = existsSync(ours)
    ? ours
    : shared('EasyLM’s own files', 'fixtures', name, 'easylm', file)
  if (path === undefined) continue
  const what = `${name}: ${prefix}${file}`
  const out = join(folder, `${name}-${prefix.replace('::', '')}-${file}`)
  const ran = start(name, prefix + path, out, '--dtype', 'f32')

  test(`${what} to f32: every tensor is as expected`, async () => {
    const { code, stderr } = await ran
    assert.is(code, 0, stderr)
    assert.is(/train state/.test(stderr), file.includes('train_state'), stderr)
    await holds(name, join(out, 'model.safetensors'), 'f32', file.includes('fp16'))
    assert.not(existsSync(`${out}.partial`))
    const { torch_dtype } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))
    assert.is(torch_dtype, 'float32')
    const tokenizer = fixture(name, 'easylm', 'tokenizer.model')
    equalBytes(
      readFileSync(join(out, 'tokenizer.model')),
      readFileSync(tokenizer),
      'tokenizer.model',
    )
  })
}

for (const name of ['tiny-v1', 'tiny-v2'] as const) {
  const source = fixture(name, 'easylm', 'streaming_params_bf16')
  const outs = ['once', 'again'].map((turn) => join(folder, `${name}-${turn}`))
  const runs = outs.map((out) =>
    start(name, source, out, '--dtype', 'bf16', '--max-shard-size', '600kB'),
  )
  const kept = join(folder, `${name}-auto`)
  const auto = start(name, source, kept)

  test(`${name}: bf16 to bf16, kept by auto and by name: every tensor is as expected`, async () => {
    assert.is((await auto).code, 0, (await auto).stderr)
    await holds(name, join(kept, 'model.safetensors'), 'bf16', false)
    const [first = ''] = outs
    assert.is((await runs[0])?.code, 0)
    const index = JSON.parse(readFileSync(join(first, 'model.safetensors.index.json'), 'utf8'))
    const values = await fixtureValues(name)
    assert.equal(Object.keys(index.weight_map).sort(), [...values.keys()].sort())
    const shards = readdirSync(first).filter((entry) => entry.endsWith('.safetensors'))
    assert.equal([...new Set(Object.values(index.weight_map))].sort(), shards.sort())
    let total = 0
    for (const shard of shards) {
      const bytes = readFileSync(join(first, shard))
      const arrays = await listFile(inMemory(bytes).source)
      let inShard = 0
      for (const array of arrays) {
        assert.is(index.weight_map[array.name], shard)
        const stored = bytesOfArray(array, bytes)
        inShard += stored.length
        const expected = values.get(array.name)
        assert.ok(expected)
        assert.is(hashOfF32(decode(stored, array.dtype)), hashOfF32(expected), array.name)
      }
      assert.ok(inShard <= 600_000 || arrays.length === 1, `${shard} has ${inShard} bytes`)
      total += inShard
    }
    assert.is(index.metadata.total_size, total)
  })

  test(`${name}: two runs give the same bytes of every file`, async () => {
    for (const run of runs) assert.is((await run).code, 0, (await run).stderr)
    const [once = '', again = ''] = outs
    const names = readdirSync(once).sort()
    assert.ok(names.includes('openllama.json'))
    assert.equal(readdirSync(again).sort(), names)
    for (const each of names)
      equalBytes(readFileSync(join(again, each)), readFileSync(join(once, each)), each)
  })

  test(`${name}: the record has the hashes, and the options that were given`, async () => {
    await Promise.all(runs)
    const [out = ''] = outs
    const record = JSON.parse(readFileSync(join(out, 'openllama.json'), 'utf8'))
    for (const file of record.target.files)
      assert.is(file.sha256, sha256(readFileSync(join(out, file.name))), file.name)
    assert.is(record.source.files[0].sha256, sha256(readFileSync(source)))
    assert.is(record.options.max_shard_size, 600_000)
    assert.not.ok('allow_non_finite' in record.options)
    assert.not.ok('allow_overflow' in record.options)
  })
}

test.run()

/** Every tensor of the file is of `dtype` and has the fixture's values, or those that f16 holds. */
async function holds(
  name: FixtureName,
  path: string,
  dtype: string,
  halved: boolean,
): Promise<void> {
  const bytes = readFileSync(path)
  const arrays = await listFile(inMemory(bytes).source)
  const values = await fixtureValues(name)
  const expected = expectedTensors(name)
  assert.equal(arrays.map((array) => array.name).sort(), [...expected.keys()].sort())
  for (const array of arrays) {
    assert.is(array.dtype, dtype)
    assert.equal(array.shape, expected.get(array.name)?.shape, array.name)
    const hash = halved
      ? hashOfF32(inF16(values.get(array.name)))
      : expected.get(array.name)?.sha256_f32
    assert.is(hashOfF32(decode(bytesOfArray(array, bytes), dtype)), hash, array.name)
  }
}
