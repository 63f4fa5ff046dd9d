import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gguf as readWithHub } from '@huggingface/gguf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.js'
import { rotaryOf, sameRotary } from '../../../src/checkpoint/rotary.js'
import { describeCheckpoint } from '../../../src/cli/inspection.js'
import type { JsonObject } from '../../../src/io/json.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { convert } from '../../support/convert.js'
import { fixture } from '../../support/paths.js'
import { ropeConfig, ropeGoldens, ropeJson } from '../../support/rope.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: gguf, rotary scalings')

type Of = Parameters<typeof ropeJson>[0]

/** Converts the fixture with a scaling to GGUF, and reads what a reader of others finds in it. */
async function written(of: Of) {
  const folder = tempDir()
  mkdirSync(folder, { recursive: true })
  const config = join(folder, 'config.json')
  writeFileSync(config, JSON.stringify(ropeJson(of)))
  const out = join(folder, 'model.gguf')
  const { warnings } = await convert(fixture('graph', 'mistral', 'model.safetensors'), out, {
    to: 'gguf',
    config,
  })
  const { metadata, tensorInfos } = await readWithHub(out, { allowLocalFile: true })
  const keys = Object.entries(metadata).filter(([key]) => /rope/.test(key))
  return {
    out,
    warnings,
    keys: new Map<string, unknown>(keys),
    tensors: tensorInfos.map(({ name }) => name).filter((name) => name.startsWith('rope')),
  }
}

for (const [name, of] of Object.entries(ropeGoldens.cases)) {
  if (of.rope_scaling.rope_type === 'dynamic') continue
  test(`${name}: comes back from GGUF as what computes the same`, async () => {
    const { out } = await written(of)
    const { config, tensors } = await openCheckpoint(out)
    const [back, meant] = [rotaryOf(config, out), rotaryOf(ropeConfig(of), out)]
    assert.ok(sameRotary(back, meant), JSON.stringify(config.rope_scaling))
    assert.is(config.rope_scaling?.rope_type, of.rope_scaling.rope_type)
    assert.not([...tensors.keys()].some((tensor) => tensor.includes('rope')))
  })
}

const scaling = '.rope.scaling.'

test('YaRN’s attention factor is what llama.cpp multiplies its own by', async () => {
  const of = ropeGoldens.cases['yarn with an attention factor']
  assert.ok(of)
  const { keys, tensors } = await written(of)
  assert.equal(tensors, [])
  assert.is(keys.get(`llama${scaling}type`), 'yarn')
  // llama.cpp itself has 0.1 ln factor + 1.
  const own = Number(keys.get(`llama${scaling}attn_factor`))
  assert.ok(Math.abs(own * (0.1 * Math.log(3.7) + 1) - 0.8) < 1e-6, String(own))
  const plain = await written(ropeGoldens.cases.yarn ?? of)
  assert.not(plain.keys.has(`llama${scaling}attn_factor`))
})

test('constants that llama.cpp does not read become factors of the frequencies', async () => {
  for (const name of ['betas', 'its ramp turned around']) {
    const of = ropeGoldens.cases[`yarn with ${name}`]
    assert.ok(of)
    const { keys, tensors, warnings } = await written(of)
    assert.equal(tensors, ['rope_freqs.weight'], name)
    assert.not(keys.has(`llama${scaling}type`))
    assert.ok(warnings.some((warning) => warning.includes('openllama.rope_scaling')))
  }
})

test('longrope: both sets of factors, and a note that is true', async () => {
  const of = ropeGoldens.cases.longrope
  assert.ok(of)
  const { keys, tensors, warnings } = await written(of)
  assert.equal(tensors, ['rope_factors_long.weight', 'rope_factors_short.weight'])
  assert.is(keys.get(`llama${scaling}original_context_length`), 24)
  const note = warnings.find((warning) => warning.startsWith('longrope'))
  assert.match(note ?? '', /from their first token on.*no larger/)
  assert.not.match(note ?? '', /right only up to/)
})

test('LLaMA 3’s constants are read back from the factors, whatever they are', async () => {
  const constants: [factor: number, low: number, high: number, context: number, theta: number][] = [
    [8, 1, 4, 8192, 500000],
    [8, 1, 4, 64, 10000],
    [32, 1, 4, 8192, 500000],
    [5.5, 1.5, 3.5, 30, 100],
    [7, 0.75, 6, 20, 20],
    [3, 2, 8, 128, 50],
    [16, 1, 1.5, 40, 30],
  ]
  for (const [factor, low, high, context, rope_theta] of constants) {
    const rope_scaling: JsonObject = {
      rope_type: 'llama3',
      factor,
      low_freq_factor: low,
      high_freq_factor: high,
      original_max_position_embeddings: context,
    }
    const of = { max_position_embeddings: 131072, rope_theta, rope_scaling }
    const { out, tensors } = await written(of)
    assert.equal(tensors, ['rope_freqs.weight'])
    const { config } = await openCheckpoint(out)
    assert.is(config.rope_scaling?.factor ?? factor, factor)
    const meant = rotaryOf(ropeConfig(of), out)
    assert.ok(
      sameRotary(rotaryOf(config, out), meant),
      `${JSON.stringify(rope_scaling)} → ${JSON.stringify(config.rope_scaling)}`,
    )
  }
})

test('a dynamic base is lost beyond the context only: said, and no refusal', async () => {
  const of = ropeGoldens.cases.dynamic
  assert.ok(of)
  const { warnings, keys } = await written(of)
  assert.not(keys.has(`llama${scaling}type`))
  assert.ok(
    warnings.some((text) => /cannot say .*"dynamic".*for texts of more than 24 tokens/.test(text)),
    warnings.join('\n'),
  )
})

test('inspect shows a window and a scaling', async () => {
  const shown = (checkpoint: Checkpoint) => describeCheckpoint(checkpoint, undefined, false)
  const mistral = await openCheckpoint(fixture('graph', 'mistral'))
  assert.match(shown(mistral), /^sliding window +7 tokens$/m)
  const { out } = await written(ropeGoldens.cases.longrope ?? fail())
  assert.match(
    shown(await openCheckpoint(out)),
    /^rotary scaling +longrope, short_factor of 4 values/m,
  )
})

function fail(): never {
  throw new Error('there is no such case')
}

test.run()
