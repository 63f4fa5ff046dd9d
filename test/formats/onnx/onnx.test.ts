import { readdirSync, readFileSync, statSync, truncateSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { env, pipeline } from '@huggingface/transformers'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { prepareConversion, runConversion } from '../../../src/convert/convert.js'
import { openGraphEngine } from '../../../src/engines/onnx.js'
import type { OnnxTarget } from '../../../src/formats/format.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { equalBytes } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { expectedAnswers, expectedLogits, largestDifference } from '../../support/expected.js'
import { fixture } from '../../support/paths.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: onnx')

interface Choices {
  to?: string
  dtype?: 'auto' | 'f32' | 'f16' | 'bf16'
  config?: string
  maxShardSize?: number
  onnxTarget?: OnnxTarget
}

/** Converts into a new directory. */
async function convert(source: string, { to = 'onnx', dtype = 'auto', ...rest }: Choices = {}) {
  const out = join(tempDir(), 'out')
  const options = { to, out, dtype, maxMemory: 64e6, threads: 1, ...rest }
  const run = {
    resume: false,
    force: false,
    allowNonFinite: false,
    allowOverflow: false,
    sha256: true,
  }
  return runConversion(await prepareConversion(source, options), run)
}

const easylm = (model: string) => fixture(model, 'easylm', 'streaming_params_bf16')
const configOf = (model: string) => fixture(model, 'config.json')

for (const model of ['tiny-v1', 'tiny-v2']) {
  const expected = fixture(model, 'expected')
  for (const [dtype, file, limit] of [
    ['f32', 'model.onnx', 1e-4],
    ['f16', 'model_fp16.onnx', 2e-2],
  ] as const) {
    test(`${model} ${dtype}: computes what transformers computes, with the cache and in a batch`, async () => {
      const { out } = await convert(easylm(model), { dtype, config: configOf(model) })
      const path = join(out, 'onnx', file)
      const { config } = await openCheckpoint(out)
      const engine = await openGraphEngine(path, config, { device: 'cpu', threads: 1 })
      const texts = expectedLogits(expected)
      for (const { ids, logits } of texts) {
        assert.ok(largestDifference(await engine.logits(ids), logits) < limit)
      }
      for (const { prompt_ids, ids } of expectedAnswers(expected)) {
        assert.equal([...prompt_ids, ...(await engine.generate(prompt_ids, 64))], ids)
      }
      await engine.dispose()
      assert.ok((await padded(path, texts)) < limit)
    })

    test(`${model} ${dtype}: transformers.js answers from the folder`, async () => {
      const { out } = await convert(easylm(model), { dtype, config: configOf(model) })
      env.allowRemoteModels = false
      env.localModelPath = join(out, '..')
      // f16 is found through the configuration; f32 is what a CPU takes by itself.
      const generator = await pipeline('text-generation', 'out')
      for (const { prompt, prompt_ids, ids, text } of expectedAnswers(expected)) {
        const answers = await generator(prompt, {
          max_new_tokens: ids.length - prompt_ids.length,
          do_sample: false,
        })
        assert.is(JSON.stringify(answers).trim(), JSON.stringify([{ generated_text: text }]))
      }
      await generator.dispose()
    })

    test(`${model} ${dtype}: back in safetensors, the bytes are as without the detour`, async () => {
      const there = await convert(easylm(model), { dtype, config: configOf(model) })
      const back = await convert(there.out, { to: 'safetensors' })
      const direct = await convert(easylm(model), {
        to: 'safetensors',
        dtype,
        config: configOf(model),
      })
      for (const name of ['model.safetensors', 'config.json']) {
        const read = (folder: string) => readFileSync(join(folder, name))
        equalBytes(read(back.out), read(direct.out), name)
      }
    })
  }
}

for (const model of ['llama3', 'mistral']) {
  test(`${model}: rotary scaling, shared heads, tied head or window as in transformers`, async () => {
    const source = fixture('graph', model, 'model.safetensors')
    const { out } = await convert(source)
    const { config, tensors } = await openCheckpoint(out)
    assert.is(tensors.has('lm_head.weight'), model === 'mistral')
    const path = join(out, 'onnx', 'model.onnx')
    const engine = await openGraphEngine(path, config, { device: 'cpu', threads: 1 })
    const [text] = expectedLogits(fixture('graph', model))
    assert.ok(text)
    assert.ok(largestDifference(await engine.logits(text.ids), text.logits) < 1e-4)
    await engine.dispose()
    const back = await convert(out, { to: 'safetensors' })
    const again = await openCheckpoint(back.out)
    assert.equal(again.config, (await openCheckpoint(source)).config)
  })
}

test('bf16 is written as f16, and said to be', async () => {
  for (const dtype of ['auto', 'bf16'] as const) {
    const result = await convert(easylm('tiny-v2'), { dtype, config: configOf('tiny-v2') })
    assert.equal(readdirSync(join(result.out, 'onnx')), ['model_fp16.onnx', 'model_fp16.onnx_data'])
    assert.ok(result.warnings.some((warning) => /bf16.*as f16/.test(warning)))
  }
})

test('weights begin at pages, in files that are no longer than asked for', async () => {
  const maxShardSize = 600_000
  const { out } = await convert(easylm('tiny-v2'), {
    dtype: 'f32',
    config: configOf('tiny-v2'),
    maxShardSize,
    onnxTarget: 'genai',
  })
  const names = readdirSync(join(out, 'onnx')).filter((name) => name.includes('_data'))
  assert.ok(names.length > 3, names.join())
  const files = new Map<string, number>()
  for (const { parts } of (await openCheckpoint(out)).tensors.values()) {
    const extent = parts[0]?.extents[0]
    assert.ok(extent)
    assert.is(extent.offset % 4096, 0)
    files.set(extent.path, Math.max(files.get(extent.path) ?? 0, extent.offset + extent.length))
  }
  assert.is(files.size, names.length)
  for (const [path, end] of files) {
    assert.is(statSync(path).size, end)
    assert.ok(end <= maxShardSize, `${path}: ${end}`)
  }
  const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))
  assert.equal(config['transformers.js_config'], {
    use_external_data_format: { 'model.onnx': names.length },
  })
  const genai = JSON.parse(readFileSync(join(out, 'genai_config.json'), 'utf8'))
  assert.is(genai.model.decoder.filename, 'onnx/model.onnx')
  assert.is(genai.model.decoder.num_key_value_heads, 2)
  const session = await InferenceSession.create(join(out, 'onnx', 'model.onnx'))
  await session.release()
})

test('a folder is found by itself, by its onnx/ and by its graph', async () => {
  const { out } = await convert(easylm('tiny-v1'), { config: configOf('tiny-v1') })
  for (const path of ['', 'onnx', 'onnx/model_fp16.onnx']) {
    const { format, config, tokenizer } = await openCheckpoint(join(out, path))
    assert.is(format, 'onnx')
    assert.is(config.num_attention_heads, 8)
    assert.is(tokenizer.model, join(out, 'tokenizer.model'))
  }
})

test('the same source gives the same bytes', async () => {
  const [a, b] = [
    await convert(easylm('tiny-v1'), { config: configOf('tiny-v1') }),
    await convert(easylm('tiny-v1'), { config: configOf('tiny-v1') }),
  ]
  assert.equal(a.target, b.target)
})

test('weights that are cut short or missing are refused, with numbers', async () => {
  const { out } = await convert(easylm('tiny-v1'), { dtype: 'f32', config: configOf('tiny-v1') })
  const short = join(tempDir(), 'short')
  await cp(out, short, { recursive: true })
  const data = join(short, 'onnx', 'model.onnx_data')
  const size = statSync(data).size - 1
  truncateSync(data, size)
  await fails(() => openCheckpoint(short), 'input', size, size + 1, 'model.onnx_data')
  const graph = join(short, 'onnx', 'model.onnx')
  truncateSync(graph, statSync(graph).size - 10)
  await fails(() => openCheckpoint(short), 'input', 'truncated')
})

/** The largest difference of a batch of all texts, padded on the left. */
async function padded(path: string, texts: ReturnType<typeof expectedLogits>): Promise<number> {
  const session = await InferenceSession.create(path)
  const length = Math.max(...texts.map(({ ids }) => ids.length))
  const rows = texts.map(({ ids }) => ({ ids, pad: length - ids.length }))
  const whole = (of: (row: (typeof rows)[number], i: number) => number) =>
    new Tensor(
      'int64',
      BigInt64Array.from(
        rows.flatMap((row) => Array.from({ length }, (_, i) => BigInt(of(row, i)))),
      ),
      [rows.length, length],
    )
  const feeds: Record<string, Tensor> = {
    input_ids: whole(({ ids, pad }, i) => ids[i - pad] ?? 0),
    attention_mask: whole(({ pad }, i) => (i < pad ? 0 : 1)),
    position_ids: whole(({ pad }, i) => Math.max(0, i - pad)),
  }
  for (const input of session.inputMetadata) {
    if (!input.isTensor || !input.name.startsWith('past')) continue
    const dims = [rows.length, Number(input.shape[1]), 0, Number(input.shape[3])]
    feeds[input.name] =
      input.type === 'float16'
        ? new Tensor('float16', new Uint16Array(0), dims)
        : new Tensor('float32', new Float32Array(0), dims)
  }
  const { logits } = await session.run(feeds)
  await session.release()
  const { data, dims } = logits ?? {}
  assert.ok(data instanceof Float32Array)
  const vocabulary = dims?.[2] ?? 0
  return Math.max(
    ...texts.map(({ logits: expected }, row) => {
      const end = (row + 1) * length * vocabulary
      return largestDifference(data.subarray(end - expected.length, end), expected)
    }),
  )
}

test.run()
