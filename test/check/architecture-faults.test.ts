import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import Check from '../../src/commands/check.js'
import type { ConvertOptions } from '../../src/convert/convert.js'
import { openCheckpoint } from '../../src/open/open.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { reorder } from '../support/faults.js'
import { inProcess } from '../support/in-process.js'
import { fixture } from '../support/paths.js'
import { madeTensors, safetensorsOf } from '../support/safetensors.js'
import { tempDir } from '../support/temp.js'

const test = suite('check: faults of architectures')

type Model = 'llama-biases' | 'qwen2' | 'qwen3'
const sourceOf = (model: Model) => fixture('architectures', model)
const headDim = { 'llama-biases': 24, qwen2: 16, qwen3: 24 }

/** A model's file in a format. */
async function made(
  model: Model,
  to: ConvertOptions['to'],
  dtype: ConvertOptions['dtype'],
): Promise<string> {
  const out = join(tempDir(), to === 'gguf' ? `${dtype}.gguf` : to)
  await convert(sourceOf(model), out, { to, dtype })
  return out
}

/** Changes the bytes of tensors, by Hugging Face's names, where they lie. */
async function edit(
  path: string,
  names: readonly string[],
  change: (...tensors: Buffer[]) => void,
): Promise<void> {
  const { tensors } = await openCheckpoint(path)
  const files = new Map<string, Buffer>()
  const found = names.map((name) => {
    const [extent, ...others] = tensors.get(name)?.parts[0]?.extents ?? []
    assert.ok(extent && others.length === 0, name)
    const file = files.get(extent.path) ?? readFileSync(extent.path)
    files.set(extent.path, file)
    return file.subarray(extent.offset, extent.offset + extent.length)
  })
  change(...found)
  for (const [file, bytes] of files) writeFileSync(file, bytes)
}

/** Brings f32 rows of heads from one rotary order to the other. */
function turn(bytes: Buffer, rows: number, model: Model, toPairs: boolean): void {
  const values = new Float32Array(new Uint8Array(bytes).buffer)
  bytes.set(new Uint8Array(reorder(values, rows, headDim[model], toPairs).buffer))
}

function swap(a: Buffer, b: Buffer): void {
  const first = Buffer.from(a)
  a.set(b)
  b.set(first)
}

async function isCaught(artifact: string, model: Model, says: RegExp): Promise<void> {
  const args = [artifact, '--against', sourceOf(model), '--device', 'cpu', '--threads', '1']
  const { code, stdout, stderr } = await inProcess(Check, args)
  assert.is(code, 4, stdout + stderr)
  assert.match(stdout, says)
}

const attention = 'model.layers.1.self_attn'

test('a GGUF without a fault passes', async () => {
  for (const model of ['llama-biases', 'qwen2', 'qwen3'] as const) {
    const args = [await made(model, 'gguf', 'f32'), '--against', sourceOf(model), '--threads', '1']
    const { code, stdout, stderr } = await inProcess(Check, [...args, '--device', 'cpu'])
    assert.is(code, 0, stdout + stderr)
  }
})

for (const [to, dtype] of [
  ['gguf', 'f32'],
  ['onnx', 'f32'],
  ['pytorch', 'f32'],
] as const) {
  test(`${to} ${dtype}: a bias of zeros is caught, and named`, async () => {
    for (const model of ['llama-biases', 'qwen2'] as const) {
      const path = await made(model, to, dtype)
      await edit(path, [`${attention}.k_proj.bias`], (bias) => bias.fill(0))
      await isCaught(path, model, /layers\.1\.self_attn\.k_proj\.bias: its values are all zero/)
    }
  })

  test(`${to} ${dtype}: the norms of queries and keys swapped are caught, and named`, async () => {
    const path = await made('qwen3', to, dtype)
    await edit(path, [`${attention}.q_norm.weight`, `${attention}.k_norm.weight`], swap)
    await isCaught(
      path,
      'qwen3',
      /self_attn\.q_norm\.weight: it has the values of model\.layers\.1\.self_attn\.k_norm\.weight/,
    )
  })
}

test('GGUF: a LLaMA’s biases that are not permuted as their rows are', async () => {
  for (const [name, rows] of [
    ['q_proj.bias', 96],
    ['k_proj.bias', 48],
  ] as const) {
    const path = await made('llama-biases', 'gguf', 'f32')
    await edit(path, [`${attention}.${name}`], (bias) => turn(bias, rows, 'llama-biases', false))
    const says = `${attention}.${name}: the rotary permutation is wrong`
    await isCaught(path, 'llama-biases', new RegExp(says.replaceAll('.', '\\.')))
  }
})

test('GGUF: rows that are permuted as LLaMA’s are, where the architecture’s are not', async () => {
  for (const [model, rows] of [
    ['qwen2', 64],
    ['qwen3', 96],
  ] as const) {
    const path = await made(model, 'gguf', 'f32')
    await edit(path, [`${attention}.q_proj.weight`], (weight) => turn(weight, rows, model, true))
    await isCaught(path, model, /self_attn\.q_proj\.weight: the rotary permutation is wrong/)
  }
  const path = await made('qwen2', 'gguf', 'f32')
  await edit(path, [`${attention}.q_proj.bias`], (bias) => turn(bias, 64, 'qwen2', true))
  await isCaught(path, 'qwen2', /self_attn\.q_proj\.bias: the rotary permutation is wrong/)
})

/** A model as f32 safetensors without some of its tensors, its configuration changed to match or not. */
async function without(model: Model, left: RegExp, config: object): Promise<string> {
  const whole = await made(model, 'safetensors', 'f32')
  const tensors = Object.entries(madeTensors(await openCheckpoint(whole)))
  const out = join(tempDir(), 'without')
  mkdirSync(out)
  const kept = Object.fromEntries(tensors.filter(([name]) => !left.test(name)))
  assert.ok(Object.keys(kept).length < tensors.length)
  writeFileSync(join(out, 'model.safetensors'), safetensorsOf(kept))
  const said = JSON.parse(readFileSync(join(whole, 'config.json'), 'utf8'))
  writeFileSync(join(out, 'config.json'), JSON.stringify({ ...said, ...config }))
  return out
}

test('biases that were left out, by a program that knows none, are caught, and named', async () => {
  for (const [left, config, says] of [
    [
      /bias$/,
      { attention_bias: false, mlp_bias: false },
      /its attention_bias is false, the source’s true/,
    ],
    [/mlp.*bias$/, { mlp_bias: false }, /its mlp_bias is false, the source’s true/],
  ] as const) {
    const path = await without('llama-biases', left, config)
    await isCaught(path, 'llama-biases', says)
    const gguf = join(tempDir(), 'without.gguf')
    await convert(path, gguf, { to: 'gguf', dtype: 'f32' })
    await isCaught(gguf, 'llama-biases', says)
  }
})

test('a tensor that the architecture or its configuration wants is missing: it is no checkpoint', async () => {
  for (const [model, name] of [
    ['llama-biases', 'model.layers.1.self_attn.v_proj.bias'],
    ['llama-biases', 'model.layers.0.mlp.down_proj.bias'],
    ['qwen2', 'model.layers.1.self_attn.k_proj.bias'],
    ['qwen3', 'model.layers.0.self_attn.k_norm.weight'],
  ] as const) {
    const path = await without(model, new RegExp(`^${name.replaceAll('.', '\\.')}$`), {})
    await fails(() => openCheckpoint(path), 'input', name, 'missing')
  }
})

test.run()
