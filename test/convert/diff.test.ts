import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { presets } from '../../src/checkpoint/presets.js'
import { configDifferences } from '../../src/convert/diff.js'
import type { JsonObject } from '../../src/io/json.js'

const test = suite('convert: diff')

const [[, preset] = []] = presets
assert.ok(preset)
const scaled = (rope_scaling: JsonObject | null) => ({ ...preset, rope_scaling })
const fieldsOf = (a: JsonObject | null, b: JsonObject | null) =>
  configDifferences(scaled(a), scaled(b)).map(({ field, computes }) => [field, computes])

/** As the LLaMA 3.1 releases have it, and as it is read from a GGUF file. */
const released = {
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
  rope_type: 'llama3',
}
const { rope_type, ...others } = released

test('the same rotary scaling in another order, by another name, or in f32', () => {
  assert.equal(fieldsOf(released, { rope_type, ...others }), [])
  assert.equal(fieldsOf({ type: 'linear', factor: 2 }, { rope_type: 'linear', factor: 2 }), [])
  const yarn = { rope_type: 'yarn', factor: 4 }
  assert.equal(fieldsOf({ ...yarn, beta_fast: 1.1 }, { ...yarn, beta_fast: Math.fround(1.1) }), [])
})

test('another rotary scaling computes something else', () => {
  const differs = [['rope_scaling', true]]
  assert.equal(fieldsOf(released, { ...released, factor: 32 }), differs)
  assert.equal(fieldsOf(released, { ...released, rope_type: 'yarn' }), differs)
  assert.equal(fieldsOf(released, others), differs)
  assert.equal(fieldsOf(released, null), differs)
})

test.run()
