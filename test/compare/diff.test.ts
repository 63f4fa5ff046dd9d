import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { presets } from '../../src/checkpoint/presets.js'
import { configDifferences } from '../../src/compare/diff.js'
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
  const older = (factor: number) => ({ type: 'linear', factor })
  assert.equal(fieldsOf(older(2), older(4)), differs)
})

test('scalings of other words and constants that come to the same are the same', () => {
  const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 2, high_freq_factor: 8 }
  assert.equal(fieldsOf(released, { ...llama3, original_max_position_embeddings: 16384 }), [])
  const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 512 }
  const suggested = 0.1 * Math.log(4) + 1
  assert.equal(fieldsOf(yarn, { ...yarn, attention_factor: suggested, beta_fast: 32 }), [])
  const differs = [['rope_scaling', true]]
  assert.equal(fieldsOf(yarn, { ...yarn, attention_factor: 1 }), differs)
  assert.equal(fieldsOf(yarn, { ...yarn, truncate: false }), differs)
})

test('a window that a text can be longer than makes another model', () => {
  const windowed = (sliding_window: number | null) => ({ ...preset, sliding_window })
  const fields = (a: number | null, b: number | null) =>
    configDifferences(windowed(a), windowed(b)).map(({ field, computes }) => [field, computes])
  const { max_position_embeddings: context } = preset
  assert.equal(fields(128, null), [['sliding_window', true]])
  assert.equal(fields(128, 256), [['sliding_window', true]])
  assert.equal(fields(context, null), [])
  assert.equal(fields(context - 1, context), [['sliding_window', true]])
})

test.run()
