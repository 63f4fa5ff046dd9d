import { readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { findRecord, keepCheck } from '../../src/check/recorded.js'
import { openRunnable } from '../../src/open/runnable.js'
import type { CheckRecord } from '../../src/record/check.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('check: recorded')
const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
const config = fixture('tiny-v2', 'config.json')
const folder = tempDir()

const found: CheckRecord = {
  verdict: 'passed',
  engine: 'llama.cpp',
  device: 'cpu',
  smoke: { prompt: 'Q:', continuation: ' A', tokens: 1, faults: [] },
  parity: {
    against: { name: 'a', format: 'easylm', dtype: 'bf16', engine: 'onnxruntime' },
    engine: 'onnxruntime',
    positions: 1,
    metrics: [{ name: 'kld_mean', value: 1.23456e-7, limit: 1e-6, passed: true }],
    rounded: [{ name: 'nmse', value: 1.23456e-5, limit: null, passed: true }],
    faults: [],
    greedy: { common: 1, of: 1 },
  },
  notes: [],
}

for (const [to, name, record] of [
  ['gguf', 'model.gguf', 'model.gguf.openllama.json'],
  ['safetensors', 'folder', 'folder/openllama.json'],
  ['onnx', 'graph', 'graph/openllama.json'],
] as const) {
  test(`${record} of ${to} is found, and only its check changes, to three figures`, async () => {
    const { out } = await convert(source, join(folder, name), { to, dtype: 'f16', config })
    const { checkpoint } = await openRunnable(out)
    const place = await findRecord(checkpoint)
    assert.is(place, join(folder, record))
    const before = JSON.parse(readFileSync(place, 'utf8'))
    await keepCheck(place, found)
    const { check, ...rest } = JSON.parse(readFileSync(place, 'utf8'))
    assert.equal(rest, before)
    assert.is(check.parity.metrics[0].value, 1.23e-7)
    assert.is(check.parity.rounded[0].value, 1.23e-5)
    assert.equal(check.smoke, found.smoke)
    await keepCheck(place, { ...found, verdict: 'failed' })
    assert.is(JSON.parse(readFileSync(place, 'utf8')).check.verdict, 'failed')
  })
}

test('files that are not as their record lists them, and none at all, are refused', async () => {
  const { out } = await convert(source, join(folder, 'other'), { to: 'safetensors', config })
  const { checkpoint } = await openRunnable(out)
  const [file] = checkpoint.files
  assert.ok(file)
  const shorter = { ...checkpoint, files: [{ ...file, size: file.size - 1 }] }
  await fails(() => findRecord(shorter), 'input', `${file.size - 1} bytes`, `says ${file.size}`)
  const { checkpoint: theirs } = await openRunnable(source, { config })
  await fails(() => findRecord(theirs), 'input', 'no openllama.json', '`record`')
  truncateSync(join(out, 'openllama.json'), 10)
  await fails(() => findRecord(checkpoint), 'input', 'not valid JSON')
})

test.run()
