import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listDevices } from '../../src/engines/devices.js'
import { openLlamaEngine } from '../../src/engines/llama.js'
import { openCheckpoint } from '../../src/open/open.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { expectedAnswers, expectedLogits } from '../support/expected.js'
import { fixtures } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('engines: llama.cpp')
const expected = fixture('tiny-v2', 'expected')
const { vocab } = fixtures['tiny-v2']
const folder = tempDir()
const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')

/** The fixture as one GGUF in f32, made once. */
const whole = convert(source, join(folder, 'f32.gguf'), {
  to: 'gguf',
  dtype: 'f32',
  config: fixture('tiny-v2', 'config.json'),
})

async function engineOn(path: string, device: 'auto' | 'cpu' | 'vulkan' = 'cpu') {
  const { files, config } = await openCheckpoint(path)
  return openLlamaEngine(files[0]?.path ?? path, config, { device, threads: 1 })
}

/** The largest difference of two runs' log probabilities. */
function logDifference(actual: Float32Array, logits: Float32Array): number {
  let largest = 0
  for (let row = 0; row < logits.length; row += vocab) {
    const reference = logits.subarray(row, row + vocab)
    const most = Math.max(...reference)
    const sum = reference.reduce((total, value) => total + Math.exp(value - most), 0)
    const zero = most + Math.log(sum)
    reference.forEach((value, i) => {
      largest = Math.max(largest, Math.abs((actual[row + i] ?? Number.NaN) - (value - zero)))
    })
  }
  return largest
}

test('computes what transformers computes, in f32 to 1e-4', async () => {
  const engine = await engineOn((await whole).out)
  assert.is(engine.device, 'cpu')
  for (const { ids, logits } of expectedLogits(expected)) {
    const difference = logDifference(await engine.logits(ids), logits)
    assert.ok(difference < 1e-4, `${difference}`)
  }
  await engine.dispose()
})

test('continues as transformers does; a draft changes nothing, right or wrong', async () => {
  const engine = await engineOn((await whole).out)
  for (const { prompt_ids, ids } of expectedAnswers(expected)) {
    const made = ids.slice(prompt_ids.length)
    assert.equal(await engine.generate(prompt_ids, 64), made)
    const steps: number[] = []
    const onStep = (seconds: number) => steps.push(seconds)
    assert.equal(await engine.generate(prompt_ids, 64, { draft: made, onStep }), made)
    assert.is(steps.length, 0)
    const wrong = made.with(2, ((made[2] ?? 0) + 1) % vocab)
    assert.equal(await engine.generate(prompt_ids, 64, { draft: wrong, onStep }), made)
  }
  await engine.dispose()
})

test('a full context shifts nothing: 256 tokens at once are as 256 in two runs', async () => {
  const engine = await engineOn((await whole).out)
  const tokens = Array.from({ length: 256 }, (_, i) => (i * 37) % vocab)
  const all = await engine.logits(tokens)
  const more = await engine.logits([...tokens, 5])
  assert.ok(logDifference(all, more.subarray(0, all.length)) < 1e-4)
  await engine.dispose()
})

test('a split file opens by any of its parts', async () => {
  const { out } = await convert(source, join(folder, 'split'), {
    to: 'gguf',
    dtype: 'f32',
    config: fixture('tiny-v2', 'config.json'),
    maxShardSize: 1_500_000,
  })
  const engine = await engineOn(out)
  const [text] = expectedLogits(expected)
  assert.ok(text)
  assert.ok(logDifference(await engine.logits(text.ids), text.logits) < 1e-4)
  await engine.dispose()
})

test('tokens that the model has not, and devices of others, are refused', async () => {
  const path = (await whole).out
  const engine = await engineOn(path)
  await fails(() => engine.logits([1, vocab]), 'input', vocab)
  await fails(() => engine.logits([]), 'input', 'no tokens')
  await engine.dispose()
  const { config } = await openCheckpoint(path)
  for (const device of ['webgpu', 'dml'] as const) {
    await fails(
      () => openLlamaEngine(path, config, { device, threads: 1 }),
      'resources',
      device,
      'vulkan',
    )
  }
})

// A device in software, such as Mesa's lavapipe, is used only where it is named.
process.env.GGML_VK_VISIBLE_DEVICES ??= '0'
const vulkan = (await listDevices()).find(
  ({ engine, device }) => engine === 'llama.cpp' && device === 'vulkan',
)
if (vulkan?.there) {
  test(`on Vulkan (${vulkan.detail}) the same answers`, async () => {
    const engine = await engineOn((await whole).out, 'vulkan')
    assert.is(engine.device, 'vulkan')
    assert.match(engine.notes.join(), vulkan.detail)
    for (const { prompt_ids, ids } of expectedAnswers(expected).slice(0, 2)) {
      assert.equal([...prompt_ids, ...(await engine.generate(prompt_ids, 64))], ids)
    }
    const [text] = expectedLogits(expected)
    assert.ok(text)
    const difference = logDifference(await engine.logits(text.ids), text.logits)
    assert.ok(difference < 0.05, `${difference}`)
    // Nothing is equal to the last bit: it did not run on the CPU.
    assert.ok(difference > 1e-5, `${difference}`)
    await engine.dispose()
  })
} else {
  console.log('skipped, there is no Vulkan device: whether models run on a GPU')
  test('a device that is not there is refused, with what to install', async () => {
    await fails(
      async () => engineOn((await whole).out, 'vulkan'),
      'resources',
      'mesa-vulkan-drivers',
    )
  })
}

test.run()
