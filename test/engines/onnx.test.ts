import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listDevices } from '../../src/engines/devices.js'
import { openCheckpointEngine } from '../../src/engines/onnx.js'
import { openCheckpoint } from '../../src/open/open.js'
import { fails } from '../support/errors.js'
import { expectedAnswers, expectedLogits, largestDifference } from '../support/expected.js'
import { fixtures } from '../support/llama.js'
import { fixture, shared } from '../support/paths.js'

const test = suite('engines: onnx')

async function engineOn(path: string, config?: string) {
  const checkpoint = await openCheckpoint(path, config === undefined ? {} : { config })
  return openCheckpointEngine(checkpoint, { device: 'cpu', threads: 1 })
}

for (const model of ['tiny-v1', 'tiny-v2'] as const) {
  const config = fixture(model, 'config.json')
  const expected = fixture(model, 'expected')

  test(`${model}: an EasyLM stream computes as it lies what transformers computes`, async () => {
    const folder = fixture(model, 'easylm')
    const before = readdirSync(folder)
    const engine = await engineOn(join(folder, 'streaming_params_bf16'), config)
    assert.is(engine.device, 'cpu')
    assert.equal(engine.notes, [])
    for (const { ids, logits } of expectedLogits(expected)) {
      assert.ok(largestDifference(await engine.logits(ids), logits) < 1e-4)
    }
    for (const { prompt_ids, ids } of expectedAnswers(expected)) {
      assert.equal([...prompt_ids, ...(await engine.generate(prompt_ids, 64))], ids)
    }
    await engine.dispose()
    assert.equal(readdirSync(folder), before)
  })

  const files = [
    ...['hf-bf16', 'hf-f32-sharded', 'bin-f16', 'bin-f16-sharded', 'meta', 'gguf/f16.gguf'],
    ...['easylm/streaming_params_fp16', 'easylm/streaming_params_fp32'],
    ...(model === 'tiny-v2'
      ? [
          'bin-bf16-legacy',
          'meta-mp2',
          'gguf/f32.gguf',
          'gguf/bf16.gguf',
          'easylm/flax_params.msgpack',
        ]
      : []),
    ...(model === 'tiny-v2'
      ? ['easylm/flax_params_chunked.msgpack', 'easylm/streaming_train_state_bf16']
      : []),
  ]
  for (const file of files) {
    const path = shared('a peer’s file, run as it lies', 'fixtures', model, file)
    if (path === undefined) continue
    test(`${model}: ${file} computes as it lies what transformers computes`, async () => {
      const engine = await engineOn(path, config)
      const [text] = expectedLogits(expected)
      assert.ok(text)
      assert.ok(largestDifference(await engine.logits(text.ids), text.logits) < 1e-4)
      const [answer] = expectedAnswers(expected)
      assert.ok(answer)
      const made = await engine.generate(answer.prompt_ids, 64)
      assert.equal([...answer.prompt_ids, ...made], answer.ids)
      // Only what lies in pieces is in memory, and that is said.
      assert.is(engine.notes.length, /mp2|chunked/.test(file) ? 1 : 0, engine.notes.join())
      await engine.dispose()
    })
  }
}

for (const model of ['llama3', 'mistral']) {
  test(`${model}: rotary scaling, shared heads, tied head or window as in transformers`, async () => {
    const folder = fixture('graph', model)
    const engine = await engineOn(join(folder, 'model.safetensors'))
    const [text] = expectedLogits(folder)
    assert.ok(text)
    const { ids, logits } = text
    assert.ok(largestDifference(await engine.logits(ids), logits) < 1e-4)
    await engine.dispose()
  })
}

test('generation stops after as many tokens as asked for', async () => {
  const path = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
  const engine = await engineOn(path, fixture('tiny-v2', 'config.json'))
  const [answer] = expectedAnswers(fixture('tiny-v2', 'expected'))
  const { prompt_ids = [], ids = [] } = answer ?? {}
  const made = await engine.generate(prompt_ids, 3)
  assert.equal(made, ids.slice(prompt_ids.length, prompt_ids.length + 3))
  assert.equal(await engine.generate(prompt_ids, 0), [])
  await engine.dispose()
})

test('tokens that the model has not, and devices that are not there, are refused', async () => {
  const path = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
  const config = fixture('tiny-v2', 'config.json')
  const { vocab } = fixtures['tiny-v2']
  const engine = await engineOn(path, config)
  await fails(() => engine.logits([1, vocab]), 'input', vocab)
  await fails(() => engine.generate([-1], 1), 'input', -1)
  await fails(() => engine.logits([]), 'input', 'no tokens')
  await engine.dispose()
  const checkpoint = await openCheckpoint(path, { config })
  for (const device of ['cuda', 'metal', 'vulkan'] as const) {
    await fails(
      () => openCheckpointEngine(checkpoint, { device, threads: 1 }),
      'resources',
      device,
      'cpu',
    )
  }
})

// A device in software comes with Chromium; a real one is taken where it is not there.
const software = '/usr/lib/chromium/vk_swiftshader_icd.json'
if (existsSync(software)) process.env.VK_ICD_FILENAMES ??= software
const webgpu = (await listDevices()).find(({ device }) => device === 'webgpu')
if (webgpu?.there) {
  test('on WebGPU the same answers, and what of it is left to the CPU', async () => {
    const path = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
    const checkpoint = await openCheckpoint(path, { config: fixture('tiny-v2', 'config.json') })
    const [gpu, cpu] = [
      await openCheckpointEngine(checkpoint, { device: 'webgpu', threads: 1 }),
      await openCheckpointEngine(checkpoint, { device: 'cpu', threads: 1 }),
    ]
    assert.is(gpu.device, 'webgpu')
    assert.match(gpu.notes.join(), 'no webgpu kernels for some')
    assert.equal(cpu.notes, [])
    const [text] = expectedLogits(fixture('tiny-v2', 'expected'))
    const [answer] = expectedAnswers(fixture('tiny-v2', 'expected'))
    assert.ok(text && answer)
    const logits = await gpu.logits(text.ids)
    assert.ok(largestDifference(logits, text.logits) < 1e-3)
    // To the last bit they are not equal: it did not run on the CPU.
    assert.not.equal(logits, await cpu.logits(text.ids))
    const { prompt_ids, ids } = answer
    assert.equal([...prompt_ids, ...(await gpu.generate(prompt_ids, 64))], ids)
    await gpu.dispose()
    await cpu.dispose()
  })
} else {
  console.log('skipped, there is no WebGPU device: whether models run on one')
}

const quantized = shared(
  'quantized files are llama.cpp’s',
  'fixtures',
  'tiny-v2',
  'gguf',
  'q8_0.gguf',
)
if (quantized !== undefined) {
  test('a quantized checkpoint is refused, with where it runs', async () => {
    await fails(() => engineOn(quantized), 'input', 'q8_0', 'llama.cpp')
  })
}

test.run()
