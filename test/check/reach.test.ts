import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkArtifact } from '../../src/check/check.js'
import { checkConversion, planCheck } from '../../src/check/conversion.js'
import { longestText, positionsToSee } from '../../src/check/reach.js'
import { runConversion } from '../../src/convert/convert.js'
import { openRunnable } from '../../src/open/runnable.js'
import { convertOptions, prepare, runOptions } from '../support/conversion.js'
import { fixture } from '../support/paths.js'
import { ropeConfig, ropeGoldens } from '../support/rope.js'
import { tempDir } from '../support/temp.js'

const test = suite('check: reach')

const plain = { max_position_embeddings: 8192, rope_theta: 10000, rope_scaling: {} }
const bounds = { least: 64, most: 1024 }
const free = () => 0

test('a window is read beyond, unless no text of the model’s is longer', () => {
  const config = { ...ropeConfig(plain), rope_scaling: null }
  const reach = (sliding_window: number | null, max_position_embeddings = 8192) =>
    positionsToSee([{ ...config, sliding_window, max_position_embeddings }], bounds, free, 1)
  assert.equal(reach(null), { positions: 64, notes: [] })
  assert.equal(reach(128), { positions: 160, notes: [] })
  assert.equal(reach(128, 140), { positions: 140, notes: [] })
  assert.equal(reach(128, 128), { positions: 64, notes: [] })
  const far = reach(4096)
  assert.is(far.positions, 64)
  assert.match(far.notes[0] ?? '', /not reach.*window of 4096 tokens.*--positions 4128/)
})

test('as far as memory allows, with both numbers', () => {
  const config = { ...ropeConfig(plain), rope_scaling: null, sliding_window: 128 }
  const { positions, notes } = positionsToSee([config], bounds, (count) => count * 1e6, 100e6)
  assert.is(positions, 64)
  assert.match(notes[0] ?? '', /160 take 160 MB of memory, 100 MB are allowed/)
})

test('the original context of a scaling is read beyond; one that grows goes beyond its own', () => {
  const { dynamic, longrope, yarn } = ropeGoldens.cases
  assert.ok(dynamic && longrope && yarn)
  const reach = (of: typeof yarn) =>
    positionsToSee([ropeConfig(of)], { ...bounds, least: 8 }, free, 1)
  assert.is(reach(yarn).positions, 48)
  assert.is(reach(longrope).positions, 56)
  assert.is(reach(dynamic).positions, 56)
  assert.is(longestText(ropeConfig(dynamic)), 78)
})

test('a window lost by leave: the output is checked as it says it, and afterwards fails for it', async () => {
  const folder = tempDir()
  const source = fixture('graph', 'mistral', 'model.safetensors')
  const out = join(folder, 'model.gguf')
  const made = { folder, source, out }
  const conversion = await prepare(made, { ...convertOptions, to: 'gguf', dtype: 'f32' })
  assert.is(planCheck(conversion, { allowNonFinite: false, asked: false }).positions, 64)
  const check = (output: string) => checkConversion(conversion, output, {})
  const { check: record } = await runConversion(conversion, { ...runOptions, check })
  assert.is(record?.verdict, 'passed', JSON.stringify(record))
  const options = { device: 'cpu', tokens: 4 } as const
  const against = await openRunnable(source)
  const { record: later } = await checkArtifact(await openRunnable(out), { ...options, against })
  assert.is(later.verdict, 'failed')
  assert.equal(later.parity?.faults, ['its sliding_window is null, the source’s 7'])
  assert.match(later.parity?.departure?.cause ?? '', /sliding_window/)
  assert.ok(later.parity?.metrics.some(({ passed }) => !passed))
})

test('a window that is said of other weights is a difference of the configuration', async () => {
  const config = join(tempDir(), 'config.json')
  const json = { architectures: ['MistralForCausalLM'], model_type: 'mistral' }
  writeFileSync(config, JSON.stringify({ ...json, num_attention_heads: 6, sliding_window: 9 }))
  const source = fixture('graph', 'mistral', 'model.safetensors')
  const { record } = await checkArtifact(await openRunnable(source, { config }), {
    against: await openRunnable(source),
    device: 'cpu',
    tokens: 4,
  })
  assert.ok(record.parity?.faults.includes('its sliding_window is 9, the source’s 7'))
})

test.run()
