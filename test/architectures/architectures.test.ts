import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkArtifact } from '../../src/check/check.js'
import { diffCheckpoints } from '../../src/compare/diff.js'
import { openCheckpointEngine, openGraphEngine } from '../../src/engines/onnx.js'
import { ggufRope } from '../../src/formats/gguf/rope.js'
import { readPart } from '../../src/formats/gguf/split.js'
import { openCheckpoint } from '../../src/open/open.js'
import { openRunnable } from '../../src/open/runnable.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { expectedLogits, largestDifference } from '../support/expected.js'
import { reorder } from '../support/faults.js'
import { fixture } from '../support/paths.js'
import { madeTensors, safetensorsOf } from '../support/safetensors.js'
import { tempDir } from '../support/temp.js'

const test = suite('architectures')

/** Models of random weights, made and run by transformers (test/fixtures/architectures). */
const models = ['llama-biases', 'qwen2', 'qwen3'] as const
const headDim = { 'llama-biases': 24, qwen2: 16, qwen3: 24 }
const withBiases = ['llama-biases', 'qwen2'] as const
const folderOf = (model: string) => fixture('architectures', model)

interface Golden {
  metadata: Record<string, unknown>
  tensors: Record<string, [type: string, shape: number[], sha256: string]>
}

for (const model of models) {
  const source = folderOf(model)

  test(`${model}: computes as it lies what transformers computes`, async () => {
    const engine = await openCheckpointEngine(await openCheckpoint(source), {
      device: 'cpu',
      threads: 1,
    })
    for (const { ids, logits } of expectedLogits(source)) {
      assert.ok(largestDifference(await engine.logits(ids), logits) < 1e-4)
    }
    await engine.dispose()
  })

  test(`${model}: there and back again through every format that holds it`, async () => {
    const folder = tempDir()
    const ways = [
      ['gguf', 'f32.gguf', 'f32'],
      ['gguf', 'f16.gguf', 'f16'],
      ['pytorch', 'pytorch', 'auto'],
      ['onnx', 'onnx', 'f32'],
      ['safetensors', 'safetensors', 'auto'],
    ] as const
    const original = await openCheckpoint(source)
    for (const [to, name, dtype] of ways) {
      const out = join(folder, name)
      await convert(source, out, { to, dtype })
      await convert(out, join(folder, `${name}-back`), { to: 'safetensors', dtype: 'f16' })
      for (const path of [out, join(folder, `${name}-back`)]) {
        const { same, tensors, config } = await diffCheckpoints(
          original,
          await openCheckpoint(path),
          { maxMemory: 64 * 2 ** 20 },
        )
        const others = tensors.filter(({ status }) => status !== 'equal')
        assert.equal([same, others], [true, []], `${path}: ${JSON.stringify(config)}`)
        assert.is(tensors.length, original.tensors.size)
      }
    }
    const graph = join(folder, 'onnx', 'onnx', 'model.onnx')
    const engine = await openGraphEngine(graph, original.config, { device: 'cpu', threads: 1 })
    const [text] = expectedLogits(source)
    assert.ok(text)
    assert.ok(largestDifference(await engine.logits(text.ids), text.logits) < 1e-4)
    await engine.dispose()
  })

  test(`${model}: GGUFs have the keys and bytes that llama.cpp’s programs give them`, async () => {
    const folder = tempDir()
    const golden: Record<string, Golden> = JSON.parse(
      readFileSync(join(source, 'golden.json'), 'utf8'),
    )
    for (const dtype of ['f32', 'f16', 'bf16', 'q8_0'] as const) {
      const { metadata, tensors } = golden[dtype] ?? { metadata: {}, tensors: {} }
      const path = join(folder, `${dtype}.gguf`)
      await convert(source, path, { to: 'gguf', dtype })
      const bytes = readFileSync(path)
      const { header } = await readPart(path)
      const keys = header.entries.filter(
        ({ key }) => !/^general\.(name|basename|size_label)|^tokenizer/.test(key),
      )
      assert.equal(Object.fromEntries(keys.map(({ key, value }) => [key, value])), metadata, dtype)
      // llama-quantize puts what it changes at the end, which means nothing.
      if (dtype !== 'q8_0') {
        assert.equal(
          keys.map(({ key }) => key),
          Object.keys(metadata),
          dtype,
        )
      }
      assert.equal(
        header.tensors.map(({ name, dtype: type, shape, offset, bytes: length }) => [
          name,
          type.toUpperCase(),
          [...shape].reverse(),
          createHash('sha256')
            .update(bytes.subarray(offset, offset + length))
            .digest('hex'),
        ]),
        Object.entries(tensors).map(([name, of]) => [name, ...of]),
        dtype,
      )
    }
  })
}

test('what EasyLM and Meta have no place for is refused by name, and nothing is written', async () => {
  const folder = tempDir()
  for (const to of ['easylm', 'flax', 'meta'] as const) {
    const out = join(folder, to)
    await fails(
      () => convert(folderOf('llama-biases'), out, { to }),
      'input',
      'model.layers.0.self_attn.q_proj.bias',
      'no place',
      'LLaMA',
    )
    await fails(() => convert(folderOf('qwen2'), out, { to }), 'input', 'Qwen2', 'LLaMA')
    await fails(() => convert(folderOf('qwen3'), out, { to }), 'input', 'Qwen3', 'LLaMA')
    assert.is(existsSync(out), false)
  }
})

test('norms of heads say how many rows a head has, and a configuration must agree', async () => {
  const folder = tempDir()
  for (const file of ['config.json', 'model.safetensors']) {
    copyFileSync(join(folderOf('qwen3'), file), join(folder, file))
  }
  const path = join(folder, 'config.json')
  const { num_attention_heads, num_key_value_heads, head_dim, ...config } = JSON.parse(
    readFileSync(path, 'utf8'),
  )
  assert.equal([num_attention_heads, num_key_value_heads, head_dim], [4, 2, 24])
  writeFileSync(path, JSON.stringify(config))
  const { config: found } = await openCheckpoint(folder)
  assert.equal([found.num_attention_heads, found.num_key_value_heads, found.head_dim], [4, 2, 24])
  writeFileSync(path, JSON.stringify({ ...config, num_attention_heads: 2 }))
  await fails(() => openCheckpoint(folder), 'input', '2 attention heads', '48', 'q_norm', '24')
})

test('GGUF: a bias that llama.cpp’s graph has none of is refused by name, quantized or not', async () => {
  const source = folderOf('qwen3')
  const folder = tempDir()
  const whole = await openCheckpoint(source)
  const { hidden_size, num_attention_heads, num_key_value_heads, head_dim } = whole.config
  const [query, key] = [num_attention_heads, num_key_value_heads].map((heads) => heads * head_dim)
  const tensors = madeTensors(whole, 'F16')
  const sizes = { q: query, k: key, v: key, o: hidden_size }
  for (let layer = 0; layer < whole.config.num_hidden_layers; layer++) {
    for (const [name, rows = 0] of Object.entries(sizes)) {
      const bias = { dtype: 'F16', shape: [rows], data: new Uint8Array(2 * rows).fill(1) }
      tensors[`model.layers.${layer}.self_attn.${name}_proj.bias`] = bias
    }
  }
  writeFileSync(join(folder, 'model.safetensors'), safetensorsOf(tensors))
  const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8'))
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, attention_bias: true }))
  for (const dtype of ['f32', 'q8_0'] as const) {
    const out = join(tempDir(), 'model.gguf')
    await fails(
      () => convert(folder, out, { to: 'gguf', dtype }),
      'input',
      'model.layers.0.self_attn.o_proj.bias',
      'GGUF has no place',
      'Convert it to safetensors, PyTorch or ONNX',
    )
    assert.is(existsSync(out), false)
  }
})

test('a configuration that leaves fields out means what its architecture’s class means', async () => {
  const said = ['max_position_embeddings', 'bos_token_id', 'eos_token_id'] as const
  for (const [model, ...wanted] of [
    ['llama-biases', 2048, 1, 2],
    ['qwen2', 32768, null, null],
    ['qwen3', 32768, null, null],
  ] as const) {
    const folder = tempDir()
    const { ...config } = JSON.parse(readFileSync(join(folderOf(model), 'config.json'), 'utf8'))
    for (const field of said) delete config[field]
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
    copyFileSync(join(folderOf(model), 'model.safetensors'), join(folder, 'model.safetensors'))
    const found = (await openCheckpoint(folder)).config
    assert.equal(
      said.map((field) => found[field]),
      wanted,
      model,
    )
  }
})

test('GGUF: heads of another size are lost where llama.cpp’s graph knows none', async () => {
  for (const [model, lost] of [
    ['llama-biases', []],
    ['qwen2', ['head_dim']],
    ['qwen3', []],
  ] as const) {
    const { config } = await openCheckpoint(folderOf(model))
    const { losses } = ggufRope({ ...config, head_dim: 40 }, model)
    assert.equal(
      losses.map(({ field }) => field),
      lost,
      model,
    )
  }
})

/** The model's weights in f32 with a change, in a folder that is a checkpoint. */
async function spoiled(
  model: (typeof models)[number],
  change: (values: Map<string, Float32Array>) => void,
): Promise<string> {
  const folder = tempDir()
  const out = join(folder, 'spoiled')
  await convert(folderOf(model), out, { to: 'safetensors', dtype: 'f32' })
  const path = join(out, 'model.safetensors')
  const file = readFileSync(path)
  const begin = 8 + Number(file.readBigUInt64LE(0))
  const checkpoint = await openCheckpoint(out)
  const values = new Map<string, Float32Array>()
  for (const { name, parts } of checkpoint.tensors.values()) {
    const [extent] = parts[0]?.extents ?? []
    assert.ok(extent && extent.offset >= begin)
    values.set(
      name,
      new Float32Array(file.buffer, file.byteOffset + extent.offset, extent.length / 4),
    )
  }
  change(values)
  writeFileSync(path, file)
  return out
}

function weightsOf(values: Map<string, Float32Array>, name: string): Float32Array {
  const found = values.get(name)
  assert.ok(found, name)
  return found
}

const faults: {
  what: string
  model: (typeof models)[number]
  change: (values: Map<string, Float32Array>) => void
  says: RegExp
}[] = [
  ...withBiases.map((model) => ({
    what: `${model}: a bias that is zero`,
    model,
    change: (values: Map<string, Float32Array>) => {
      weightsOf(values, 'model.layers.1.self_attn.v_proj.bias').fill(0)
    },
    says: /layers\.1\.self_attn\.v_proj\.bias: its values are all zero/,
  })),
  ...withBiases.map((model) => ({
    what: `${model}: a bias whose rows are turned otherwise than they should be`,
    model,
    change: (values: Map<string, Float32Array>) => {
      const bias = weightsOf(values, 'model.layers.0.self_attn.q_proj.bias')
      bias.set(reorder(Float32Array.from(bias), bias.length, headDim[model], true))
    },
    says: /layers\.0\.self_attn\.q_proj\.bias: the rotary permutation is wrong: its rows are in interleaved/,
  })),
  {
    what: 'qwen2: rows permuted as LLaMA’s would be',
    model: 'qwen2',
    change: (values) => {
      const rows = weightsOf(values, 'model.layers.0.self_attn.k_proj.weight')
      rows.set(reorder(Float32Array.from(rows), 32, headDim.qwen2, true))
    },
    says: /layers\.0\.self_attn\.k_proj\.weight: the rotary permutation is wrong: its rows are in interleaved/,
  },
  {
    what: 'qwen3: the norms of queries and keys swapped',
    model: 'qwen3',
    change: (values) => {
      const query = weightsOf(values, 'model.layers.0.self_attn.q_norm.weight')
      const key = weightsOf(values, 'model.layers.0.self_attn.k_norm.weight')
      const first = Float32Array.from(query)
      query.set(key)
      key.set(first)
    },
    says: /layers\.0\.self_attn\.q_norm\.weight: it has the values of model\.layers\.0\.self_attn\.k_norm\.weight/,
  },
  {
    what: 'qwen3: rows permuted as LLaMA’s would be',
    model: 'qwen3',
    change: (values) => {
      const rows = weightsOf(values, 'model.layers.1.self_attn.q_proj.weight')
      rows.set(reorder(Float32Array.from(rows), 96, headDim.qwen3, true))
    },
    says: /layers\.1\.self_attn\.q_proj\.weight: the rotary permutation is wrong: its rows are in interleaved/,
  },
]

for (const { what, model, change, says } of faults) {
  test(`${what}: is caught, and named`, async () => {
    const artifact = await openRunnable(await spoiled(model, change))
    const { record } = await checkArtifact(artifact, {
      against: await openRunnable(folderOf(model)),
      device: 'cpu',
      threads: 1,
    })
    assert.is(record.verdict, 'failed')
    assert.match(record.parity?.faults.join('\n') ?? '', says)
  })
}

test('without a fault each model passes', async () => {
  for (const model of models) {
    const artifact = await openRunnable(await spoiled(model, () => {}))
    const { record } = await checkArtifact(artifact, {
      against: await openRunnable(folderOf(model)),
      device: 'cpu',
      threads: 1,
    })
    assert.equal([record.verdict, record.parity?.faults], ['passed', []])
  }
})

test.run()
