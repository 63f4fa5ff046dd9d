import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkArtifact } from '../../src/check/check.js'
import { coarsestRounding, roundingOf } from '../../src/check/rounding.js'
import type { SmokeRun } from '../../src/check/smoke.js'
import { smokeFaults } from '../../src/check/smoke.js'
import { prepareConversion, runConversion } from '../../src/convert/convert.js'
import { openRunnable } from '../../src/open/runnable.js'
import { runOptions } from '../support/conversion.js'
import { convert } from '../support/convert.js'
import { type Spoiled, spoiled, type Values } from '../support/faults.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('check: rounding')
const on = { device: 'cpu', threads: 1, positions: 64, tokens: 8 } as const

/** A folder, and what `convert` makes of it. */
async function converted(fault: Spoiled, to: string, dtype: 'bf16' | 'q8_0') {
  const source = await spoiled('tiny-v2', fault)
  const out = join(source, '..', to === 'gguf' ? 'out.gguf' : 'out')
  const options = { to, dtype, out, maxMemory: 512e6, threads: 1 }
  await runConversion(await prepareConversion(source, options), runOptions)
  return { source, out }
}

test('what is bf16 for the most part and has f32 beside is rounded: it is not held to be exact', async () => {
  // A third of a bf16 step: the values lie between those that bf16 has.
  const between = (values: Values) => {
    for (const [name, array] of values) {
      if (!/layers/.test(name)) for (const [i, value] of array.entries()) array[i] = value * 1.001
    }
  }
  const { source, out } = await converted(
    { change: between, bf16: /layers/ },
    'safetensors',
    'bf16',
  )
  const [artifact, against] = [await openRunnable(out), await openRunnable(source)]
  assert.is(coarsestRounding(artifact, against, true), 'bf16')
  assert.is(coarsestRounding(against, artifact, true), 'exact')
  const { record } = await checkArtifact(artifact, { ...on, against, converted: true })
  assert.is(record.verdict, 'passed', JSON.stringify(record.parity?.metrics))
  const moved = record.parity?.metrics.find(({ name }) => name === 'logit_max_difference')
  // Beyond what would be allowed if nothing had been rounded.
  assert.ok((moved?.value ?? 0) > 1e-3, `${moved?.value}`)
})

test('activations are rounded by llama.cpp, and in a graph of f16; never of f32', async () => {
  const { checkpoint } = await openRunnable(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), {
    config: fixture('tiny-v2', 'config.json'),
  })
  const of = (dtype: 'f32' | 'f16' | 'bf16') => ({
    ...checkpoint,
    tensors: new Map([...checkpoint.tensors].map(([name, each]) => [name, { ...each, dtype }])),
  })
  const graph = 'model.onnx'
  assert.equal(roundingOf({ checkpoint: of('bf16') }, 'llama.cpp'), {
    type: 'bf16',
    activations: true,
  })
  assert.is(roundingOf({ checkpoint: of('f32') }, 'llama.cpp').activations, false)
  assert.is(roundingOf({ checkpoint: of('f16') }, 'onnxruntime').activations, false)
  assert.is(roundingOf({ checkpoint: of('f16'), graph }, 'onnxruntime').activations, true)
  assert.is(roundingOf({ checkpoint: of('bf16'), graph }, 'onnxruntime').activations, false)
})

test('a fault in quantized weights: the place and both values; norms are told apart', async () => {
  const down = 'model.layers.1.mlp.down_proj.weight'
  const [first, second] = ['input', 'post_attention'].map(
    (place) => `model.layers.1.${place}_layernorm.weight`,
  )
  const change = (values: Values) => {
    const [a, b] = [values.get(first ?? ''), values.get(second ?? '')]
    if (a === undefined || b === undefined) throw new Error('no norms')
    values.set(first ?? '', b)
    values.set(second ?? '', a)
    const wrong = values.get(down)
    const columns = 256
    for (let i = 0; i < columns; i++) if (wrong) wrong[5 * columns + i] = i === 7 ? 9 : 0
  }
  const { out } = await converted({ change }, 'gguf', 'q8_0')
  const against = await openRunnable(await spoiled('tiny-v2', {}))
  const { record } = await checkArtifact(await openRunnable(out), { ...on, against })
  assert.is(record.verdict, 'failed')
  const said = record.parity?.faults.join('\n') ?? ''
  assert.match(
    said,
    /down_proj\.weight: it departs .* at row 5, column 7: (9|8\.9\d*) for -?0\.\d+/,
  )
  assert.match(said, `${first}: it has the values of ${second}`)
  assert.match(said, `${second}: it has the values of ${first}`)
})

test('a model that begins its texts with BOS and has none is at fault', async () => {
  const folder = join(tempDir(), 'model')
  await convert(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), folder, {
    to: 'safetensors',
    config: fixture('tiny-v2', 'config.json'),
  })
  // A tokenizer that says nothing of BOS itself.
  for (const file of ['tokenizer.model', 'tokenizer_config.json', 'special_tokens_map.json']) {
    rmSync(join(folder, file))
  }
  copyFileSync(fixture('tokenizer', 'byte-level.json'), join(folder, 'tokenizer.json'))
  const path = join(folder, 'config.json')
  const config = JSON.parse(readFileSync(path, 'utf8'))
  const faultsOf = async (changed: object) => {
    writeFileSync(path, JSON.stringify({ ...config, ...changed }))
    const { record } = await checkArtifact(await openRunnable(folder), {
      device: 'cpu',
      threads: 1,
    })
    return record.smoke.faults.filter((fault) => fault.includes('BOS'))
  }
  assert.equal(await faultsOf({}), [])
  assert.equal(await faultsOf({ bos_token_id: null }), [
    'neither its configuration nor its tokenizer has a BOS token',
  ])
})

test('evenness, certainty and repetition are no faults of an artifact whose source has them too', () => {
  const run = (least: number, most: number, made: number[] = [1, 2]): SmokeRun => ({
    logits: new Float32Array(0),
    made,
    notFinite: undefined,
    entropy: { least, most },
  })
  const even = run(Math.log(512), Math.log(512))
  const certain = run(0, 0)
  const sound = run(1, 5)
  const repeating = run(1, 5, [7, 7, 7, 7, 7, 7, 7, 7])
  assert.match(smokeFaults(repeating, 512).join(), 'one token again and again: 7, 8 times')
  assert.match(smokeFaults(repeating, 512, sound).join(), 'one token again and again')
  assert.equal(smokeFaults(repeating, 512, repeating), [])
  // Fewer may be a word.
  assert.equal(smokeFaults(run(1, 5, [7, 7, 7, 7, 7, 7, 7]), 512), [])
  assert.equal(smokeFaults(run(1, 5, [7, 7, 7, 7, 7, 7, 7, 8]), 512), [])
  assert.match(smokeFaults(even, 512).join(), 'every token is equally likely')
  assert.match(smokeFaults(even, 512, sound).join(), 'every token is equally likely')
  assert.equal(smokeFaults(even, 512, even), [])
  assert.match(smokeFaults(certain, 512, sound).join(), 'certain of one token')
  assert.equal(smokeFaults(certain, 512, certain), [])
})

test.run()
