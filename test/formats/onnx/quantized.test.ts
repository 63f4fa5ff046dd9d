// ONNX's quantized types: what the files hold, and what three runtimes answer from them.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromBinary, toBinary } from '@bufbuild/protobuf'
import { env, pipeline } from '@huggingface/transformers'
import { type ModelProto, ModelProtoSchema } from 'onnx-buf'
import * as web from 'onnxruntime-web'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planJson } from '../../../src/cli/conversion.js'
import { diffCheckpoints } from '../../../src/compare/diff.js'
import { type ConvertOptions, prepareConversion } from '../../../src/convert/convert.js'
import { openTilePairs } from '../../../src/convert/tile-pairs.js'
import { openGraphEngine } from '../../../src/engines/onnx.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { nbits, nbitsNames } from '../../../src/quantize/nbits.js'
import { makeLargeSource, makeSource } from '../../support/conversion.js'
import { convert } from '../../support/convert.js'
import { fails } from '../../support/errors.js'
import { expectedAnswers } from '../../support/expected.js'
import { small } from '../../support/llama.js'
import { fixture, shared } from '../../support/paths.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: onnx, quantized')

const files = { q8: 'model_quantized.onnx', q4: 'model_q4.onnx', q4f16: 'model_q4f16.onnx' }

function toOnnx(model: string, options: Partial<ConvertOptions> = {}) {
  const source = fixture(model, 'easylm', 'streaming_params_bf16')
  const config = fixture(model, 'config.json')
  return convert(source, join(tempDir(), 'out'), { to: 'onnx', config, ...options })
}

for (const model of ['tiny-v1', 'tiny-v2']) {
  for (const dtype of nbitsNames) {
    const answers = expectedAnswers(fixture(model, 'expected'))

    test(`${model} ${dtype}: ONNX Runtime answers as from f32`, async () => {
      const { out } = await toOnnx(model, { dtype })
      const { config } = await openCheckpoint(fixture(model, 'easylm', 'streaming_params_bf16'), {
        config: fixture(model, 'config.json'),
      })
      const engine = await openGraphEngine(join(out, 'onnx', files[dtype]), config, {
        device: 'cpu',
        threads: 1,
      })
      for (const { prompt_ids, ids } of answers) {
        assert.equal([...prompt_ids, ...(await engine.generate(prompt_ids, 64))], ids)
      }
      await engine.dispose()
    })

    test(`${model} ${dtype}: transformers.js answers from the folder, asked for the type or not`, async () => {
      const { out } = await toOnnx(model, { dtype })
      env.allowRemoteModels = false
      env.localModelPath = join(out, '..')
      for (const choice of [{ dtype }, {}]) {
        const generator = await pipeline('text-generation', 'out', choice)
        for (const { prompt, prompt_ids, ids, text } of answers) {
          const given = await generator(prompt, {
            max_new_tokens: ids.length - prompt_ids.length,
            do_sample: false,
          })
          assert.is(JSON.stringify(given).trim(), JSON.stringify([{ generated_text: text }]))
        }
        await generator.dispose()
      }
    })
  }
}

for (const dtype of nbitsNames) {
  test(`tiny-v2 ${dtype}: the browsers’ runtime, WebAssembly, answers as from f32`, async () => {
    const folder = join((await toOnnx('tiny-v2', { dtype })).out, 'onnx')
    const name = files[dtype]
    const data = [{ path: `${name}_data`, data: readFileSync(join(folder, `${name}_data`)) }]
    web.env.wasm.numThreads = 1
    const session = await web.InferenceSession.create(readFileSync(join(folder, name)), {
      executionProviders: ['wasm'],
      externalData: data,
    })
    const answers = expectedAnswers(fixture('tiny-v2', 'expected'))
    for (const { prompt_ids, ids } of answers) {
      const tokens = [...prompt_ids]
      while (tokens.length < ids.length) tokens.push(await nextToken(session, tokens))
      assert.equal(tokens, ids)
    }
    await session.release()
  })
}

/** The likeliest token after some, all of them given anew. */
async function nextToken(session: web.InferenceSession, tokens: number[]): Promise<number> {
  const row = (values: number[]) =>
    new web.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length])
  const feeds: Record<string, web.Tensor> = {
    input_ids: row(tokens),
    attention_mask: row(tokens.map(() => 1)),
    position_ids: row(tokens.map((_, i) => i)),
  }
  for (const input of session.inputMetadata) {
    if (!input.isTensor || !input.name.startsWith('past')) continue
    const dims = [1, Number(input.shape[1]), 0, Number(input.shape[3])]
    feeds[input.name] =
      input.type === 'float16'
        ? new web.Tensor('float16', new Uint16Array(0), dims)
        : new web.Tensor('float32', new Float32Array(0), dims)
  }
  const { logits } = await session.run(feeds)
  assert.ok(logits?.data instanceof Float32Array)
  const last = logits.data.subarray(logits.data.length - (logits.dims[2] ?? 0))
  return last.indexOf(last.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY))
}

// 32 elements share a scale of f32, or of f16: 4 + 32 / 32, 4 + 16 / 32, 8 + 32 / 32.
for (const [dtype, bits] of [
  ['q8', 9],
  ['q4', 5],
  ['q4f16', 4.5],
] as const) {
  test(`${dtype}: graph and data together are within 10 % of ${bits} bits × weights`, async () => {
    const { out, parameters, quantization } = await toOnnx('tiny-v2', { dtype })
    const folder = join(out, 'onnx')
    const size = readdirSync(folder).reduce(
      (sum, name) => sum + statSync(join(folder, name)).size,
      0,
    )
    const wanted = (parameters * bits) / 8
    assert.ok(Math.abs(size / wanted - 1) < 0.1, `${size} bytes, ${wanted} wanted`)
    assert.ok(Math.abs((quantization?.bits_per_weight ?? 0) / bits - 1) < 0.01)
  })
}

const hf = shared('a source that is not transposed', 'fixtures', 'tiny-v2', 'hf-bf16')
if (hf) {
  test('the source’s layout makes no difference to the bytes', async () => {
    for (const dtype of nbitsNames) {
      const data = (folder: string) => readFileSync(join(folder, 'onnx', `${files[dtype]}_data`))
      const there = await convert(hf, join(tempDir(), 'out'), { to: 'onnx', dtype })
      const here = await toOnnx('tiny-v2', { dtype })
      assert.is(Buffer.compare(data(there.out), data(here.out)), 0, dtype)
    }
  })
}

test('tiles of any size and any number of threads give the same bytes', async () => {
  const { source, folder } = makeLargeSource({
    vocab: 2048,
    hidden: 2048,
    intermediate: 5504,
    layers: 1,
    heads: 16,
    kvHeads: 16,
    headDim: 128,
  })
  for (const dtype of ['q8', 'q4'] as const) {
    const options = { to: 'onnx', dtype }
    const one = await convert(source, join(folder, `${dtype}-1`), { ...options, maxMemory: 400e6 })
    const two = await convert(source, join(folder, `${dtype}-2`), {
      ...options,
      maxMemory: 34e6,
      threads: 2,
    })
    assert.equal(one.target, two.target)
  }
})

test('the record counts each weight once and names what it became', async () => {
  const { tensors, parameters, casts, quantization, options } = await toOnnx('tiny-v2', {
    dtype: 'q4',
  })
  const plain = await toOnnx('tiny-v2', { dtype: 'f32' })
  assert.is(tensors, plain.tensors)
  assert.is(parameters, plain.parameters)
  assert.is(options.dtype, 'q4')
  assert.equal(quantization?.fallbacks, [])
  assert.equal(
    casts.map(({ from, to }) => `${from} ${to}`),
    ['bf16 q4', 'bf16 f32'],
  )
})

test('a tied embedding is looked up and multiplied by from the same bytes', async () => {
  const source = fixture('graph', 'llama3', 'model.safetensors')
  const { out, parameters } = await convert(source, join(tempDir(), 'out'), {
    to: 'onnx',
    dtype: 'q8',
  })
  const { config } = await openCheckpoint(source)
  assert.ok(config.tie_word_embeddings)
  const { size } = statSync(join(out, 'onnx', 'model_quantized.onnx_data'))
  assert.ok(size < 1.1 * parameters * (9 / 8) + 4096 * 60, `${size} for ${parameters}`)
  const engine = await openGraphEngine(join(out, 'onnx', files.q8), config, {
    device: 'cpu',
    threads: 1,
  })
  const wanted = await convert(source, join(tempDir(), 'plain'), { to: 'onnx', dtype: 'f32' })
  const plain = await openGraphEngine(join(wanted.out, 'onnx', 'model.onnx'), config, {
    device: 'cpu',
    threads: 1,
  })
  const ids = [1, 5, 9, 20, 3]
  const [a, b] = [await engine.logits(ids), await plain.logits(ids)]
  const error = Math.hypot(...a.map((value, i) => value - (b[i] ?? 0))) / Math.hypot(...b)
  assert.ok(error < 0.02, `${error}`)
  await engine.dispose()
  await plain.dispose()
})

/** The values of a quantized matrix by its initializers: level minus middle, times scale, in f32. */
function valuesIn(folder: string, graph: string, name: string, bits: 4 | 8): Float32Array {
  const { initializer } = modelIn(join(folder, graph)).graph ?? {}
  const bytesOf = (pattern: RegExp) => {
    const found = initializer?.find((each) => pattern.test(each.name.replace(name, '')))
    assert.ok(found, `${name} ${pattern}`)
    const external = new Map(found.externalData.map(({ key, value }) => [key, value]))
    const begin = Number(external.get('offset'))
    const file = readFileSync(join(folder, external.get('location') ?? ''))
    return file.subarray(begin, begin + Number(external.get('length')))
  }
  const levels = bytesOf(bits === 4 ? /^\.q4(\.rows)?$/ : /^\.q8(\.rows)?$/)
  const scales = bytesOf(/^\.scales$/)
  const values = new Float32Array((levels.length * 8) / bits)
  const wide = scales.length === values.length / 8
  return values.map((_, i) => {
    const byte = levels[(i * bits) >> 3] ?? 0
    const level = bits === 8 ? byte : i % 2 === 0 ? byte & 15 : byte >> 4
    const block = i >> 5
    const scale = wide ? scales.readFloatLE(4 * block) : halfOf(scales.readUInt16LE(2 * block))
    return Math.fround((level - (bits === 8 ? 128 : 8)) * scale)
  })
}

/** The values of a tensor of f32 in a safetensors file. */
function valuesOf(path: string, name: string): Float32Array {
  const file = readFileSync(path)
  const length = Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.subarray(8, 8 + length).toString())
  const [begin, end] = header[name].data_offsets
  return new Float32Array(
    Uint8Array.from(file.subarray(8 + length + begin, 8 + length + end)).buffer,
  )
}

function modelIn(path: string): ModelProto {
  return fromBinary(ModelProtoSchema, readFileSync(path))
}

/** The f16 of these bits. */
function halfOf(bits: number): number {
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25)
  return bits & 0x8000 ? -size : size
}

for (const dtype of nbitsNames) {
  test(`${dtype}: read back, a value is its level times its scale`, async () => {
    const { out } = await toOnnx('tiny-v2', { dtype })
    const plain = join(tempDir(), 'plain')
    await convert(out, plain, { to: 'safetensors', dtype: 'f32' })
    const read = await openCheckpoint(out)
    const bits = dtype === 'q8' ? 8 : 4
    const name = 'model.layers.0.mlp.down_proj.weight'
    assert.is(read.tensors.get(name)?.dtype, bits === 8 ? 'q8' : 'q4')
    for (const each of [name, 'model.embed_tokens.weight']) {
      const wanted = valuesIn(join(out, 'onnx'), files[dtype], each, bits)
      const values = valuesOf(join(plain, 'model.safetensors'), each)
      assert.is(values.length, wanted.length)
      assert.is(Buffer.compare(Buffer.from(values.buffer), Buffer.from(wanted.buffer)), 0)
    }
    // What was made of it and what it is agree in every tensor, by diff too.
    const made = await openCheckpoint(plain)
    assert.is((await diffCheckpoints(made, read, { maxMemory: 2 ** 24 })).same, true)
    // A second time the same levels and scales come of it.
    const again = join(tempDir(), 'again')
    const twice = { to: 'onnx', dtype } as const
    await fails(() => convert(out, again, twice), 'input', 'quantized already')
    await convert(out, again, { ...twice, mix: { allowRequantize: true } })
    // But for the sign of zeros: the scale of a block of zeros has its own.
    for (const each of [name, 'model.embed_tokens.weight']) {
      const [ours, before] = [again, out].map((folder) =>
        valuesIn(join(folder, 'onnx'), files[dtype], each, bits),
      )
      assert.ok(
        ours?.every((value, at) => value === before?.[at]),
        each,
      )
    }
  })
}

test('a quantized graph becomes GGUF, a tied one too, and small tiles have the same values', async () => {
  const { source } = makeSource({ ...small, hidden: 64, headDim: 8, intermediate: 96, tied: true })
  const out = join(tempDir(), 'q4')
  await convert(source, out, { to: 'onnx', dtype: 'q4' })
  const gguf = join(tempDir(), 'a.gguf')
  await convert(out, gguf, { to: 'gguf' })
  const { tensors, config } = await openCheckpoint(gguf)
  assert.is(config.tie_word_embeddings, true)
  assert.is(tensors.get('model.layers.0.mlp.up_proj.weight')?.dtype, 'f16')
  const read = (await openCheckpoint(out)).tensors.get('model.layers.1.mlp.down_proj.weight')
  assert.ok(read)
  const values = (budget: number) => {
    const pairs = openTilePairs(budget)
    const all = new Float32Array(64 * 96)
    let tiles = 0
    for (const { ours, tile } of pairs.tiles(read, read, 'f32')) {
      tiles++
      const part = new Float32Array(Uint8Array.from(ours).buffer)
      for (let row = 0; row < tile.rows; row++) {
        const its = part.subarray(row * tile.columns, (row + 1) * tile.columns)
        all.set(its, (tile.row + row) * 96 + tile.column)
      }
    }
    pairs.close()
    return { all, tiles }
  }
  const [once, cut] = [values(2 ** 20), values(700)]
  assert.is(once.tiles, 1)
  assert.ok(cut.tiles > 64)
  assert.equal(cut.all, once.all)
})

/** ONNX Runtime's other operators of quantized weights, and ONNX's own. */
const others = [
  ...['MatMulInteger', 'MatMulIntegerToFloat', 'DynamicQuantizeMatMul', 'QLinearMatMul'],
  ...['QMoE', 'DequantizeLinear', 'MatMulBnb4', 'QGemm'],
]

test('quantized weights of other forms are refused by name, and wrong sizes with both numbers', async () => {
  const { out } = await toOnnx('tiny-v2', { dtype: 'q4f16' })
  const path = join(out, 'onnx', files.q4f16)
  const { 'transformers.js_config': told } = JSON.parse(
    readFileSync(join(out, 'config.json'), 'utf8'),
  )
  assert.is(told.dtype, 'q4f16')
  assert.equal(told.kv_cache_dtype, { q4f16: 'float16' })
  const whole = readFileSync(path)
  const changed = (change: (model: ModelProto) => void) => () => {
    const model = fromBinary(ModelProtoSchema, whole)
    change(model)
    writeFileSync(path, toBinary(ModelProtoSchema, model))
    return openCheckpoint(out)
  }
  const product = ({ graph }: ModelProto) => {
    const node = graph?.node.find(({ opType }) => opType === 'MatMulNBits')
    assert.ok(node)
    return node
  }
  const refused = ['input', 'quantized', 'GatherBlockQuantized', 'f32 or f16'] as const
  await fails(
    changed((model) => product(model).input.push('zero_points')),
    ...refused,
  )
  for (const op of others) {
    const renamed = changed((model) => {
      product(model).opType = op
    })
    await fails(renamed, 'input', 'weights are quantized', op)
  }
  await fails(
    changed((model) => {
      const size = product(model).attribute.find(({ name }) => name === 'block_size')
      assert.ok(size)
      size.i = 128n
    }),
    ...refused,
  )
  await fails(
    changed((model) => {
      const name = product(model).input[2]
      const scales = model.graph?.initializer.find((each) => each.name === name)
      const length = scales?.externalData.find(({ key }) => key === 'length')
      assert.ok(scales && length)
      length.value = String(Number(length.value) - 2)
      scales.dims = [BigInt(Number(length.value) / 2)]
    }),
    'input',
    'the scales',
    'takes',
  )
})

const q8 = shared('quantizing twice', 'fixtures', 'tiny-v2', 'gguf', 'Q8_0.gguf')
if (q8) {
  test('what is quantized already is quantized again only when that is asked for', async () => {
    const options = { to: 'onnx', dtype: 'q4', maxMemory: 64e6, threads: 1 } as const
    await fails(() => prepareConversion(q8, options), 'input', 'quantized already', 'q8_0')
    const { out } = await convert(q8, join(tempDir(), 'out'), {
      ...options,
      mix: { allowRequantize: true },
    })
    assert.ok(readdirSync(join(out, 'onnx')).includes('model_q4.onnx'))
  })
}

test('matrices whose rows fill no blocks stay as they are computed with, and are listed', async () => {
  const { source, out } = makeSource({ ...small, hidden: 64, headDim: 8, intermediate: 48 })
  const result = await convert(source, out, { to: 'onnx', dtype: 'q4' })
  const fallbacks = result.quantization?.fallbacks ?? []
  assert.is(fallbacks.length, small.layers)
  assert.equal(fallbacks[0], {
    tensor: 'model.layers.0.mlp.down_proj.weight',
    wanted: 'q4',
    got: 'f32',
    reason: 'rows of 48 are no multiple of 32',
  })
  assert.ok(result.warnings.some((line) => /no multiple of 32.*bits per weight/.test(line)))
  const { config } = await openCheckpoint(source)
  const engine = await openGraphEngine(join(out, 'onnx', files.q4), config, {
    device: 'cpu',
    threads: 1,
  })
  assert.ok((await engine.logits([1, 2, 3])).every(Number.isFinite))
  await engine.dispose()
  const options = { to: 'onnx', dtype: 'q4', maxMemory: 64e6, threads: 1 } as const
  await fails(
    () => prepareConversion(source, { ...options, mix: { strict: true } }),
    'input',
    'would be f32 for q4',
  )
})

test('types and flags that do not go together are refused', async () => {
  const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
  const options = { maxMemory: 64e6, threads: 1 } as const
  await fails(
    () => prepareConversion(source, { ...options, to: 'gguf', dtype: 'q4f16' }),
    'usage',
    'q4f16 is a type of onnx',
  )
  await fails(
    () => prepareConversion(source, { ...options, to: 'onnx', dtype: 'q4_0' }),
    'usage',
    'onnx has f32, f16, bf16, q8, q4 and q4f16',
  )
  await fails(
    () => prepareConversion(source, { ...options, to: 'onnx', dtype: 'q4', mix: { pure: true } }),
    'usage',
    '`allowRequantize` and `strict`',
  )
})

test('the plan lists levels and scales of a tensor, and its type', async () => {
  const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
  const config = fixture('tiny-v2', 'config.json')
  const options = { to: 'onnx', dtype: 'q4f16', config, maxMemory: 64e6, threads: 1 } as const
  const plan = JSON.stringify(planJson(await prepareConversion(source, options), undefined))
  assert.match(plan, '"name":"lm_head.weight.q4","from":"lm_head/kernel"')
  assert.match(plan, '"name":"lm_head.weight.scales","from":"lm_head/kernel"')
  assert.match(plan, '"type":"q4f16"')
  assert.is(nbits.q4f16.compute, 'f16')
})

test.run()
