import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { configFromHf, configToHf } from '../../src/checkpoint/config.js'
import { rotaryOf } from '../../src/checkpoint/rotary.js'
import { fails } from '../support/errors.js'
import { ropeConfig, ropeGoldens, ropeJson } from '../support/rope.js'

const test = suite('checkpoint: rotary embedding')

for (const [name, of] of Object.entries(ropeGoldens.cases)) {
  test(`${name}: transformers’ frequencies and attention factor`, () => {
    const { frequencies, attention, beyond, growing } = rotaryOf(ropeConfig(of), 'model')
    const [short, long] = of.frequencies
    const near = (actual: ArrayLike<number>, expected: readonly number[]) => {
      assert.is(actual.length, expected.length)
      expected.forEach((value, i) => {
        assert.ok(Math.abs((actual[i] ?? 0) - value) <= 1e-5 * value, `${actual[i]} for ${value}`)
      })
    }
    near([...frequencies], short)
    near([attention], [of.attention])
    if (growing !== undefined) assert.is(growing.length, of.length)
    else near([...(beyond?.frequencies ?? frequencies)], long)
    if (beyond !== undefined) assert.is(beyond.length, of.length)
  })
}

const linear = { rope_type: 'linear', factor: 2 }

test('the base is read wherever it is said, and a rope_scaling like its rope_parameters', () => {
  const { rope_theta: _, ...json } = ropeJson({
    max_position_embeddings: 64,
    rope_theta: 1,
    rope_scaling: {},
  })
  const read = (fields: object) => configFromHf({ ...json, ...fields }, 'config.json')
  const inside = read({ rope_scaling: { ...linear, rope_theta: 5e5 } })
  assert.is(inside.rope_theta, 5e5)
  assert.equal(inside.rope_scaling, linear)
  const both = read({
    rope_theta: 5e5,
    rope_scaling: { type: 'linear', factor: 2, beta_fast: null },
    rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 5e5 },
  })
  assert.is(both.rope_theta, 5e5)
  assert.equal(both.rope_scaling, { type: 'linear', factor: 2, beta_fast: null })
  const empty = read({ rope_scaling: {}, rope_parameters: { ...linear, rope_theta: 5e5 } })
  assert.equal(empty.rope_scaling, linear)
})

const contradictions: [what: string, fields: object, ...told: (string | number)[]][] = [
  ['two scalings', { rope_scaling: linear, rope_parameters: { ...linear, factor: 3 } }, '"factor":2', '"factor":3'], // biome-ignore format: one line a case
  ['a scaling and none', { rope_scaling: linear, rope_parameters: { rope_type: 'default', rope_theta: 500 } }, 'null', '"factor":2'], // biome-ignore format: one line a case
  ['two bases', { rope_theta: 500, rope_scaling: { ...linear, rope_theta: 700 } }, '700 in rope_scaling', '500 in config.json'], // biome-ignore format: one line a case
  ['two original contexts', { rope_scaling: { ...linear, original_max_position_embeddings: 8 }, original_max_position_embeddings: 9 }, '8', '9'], // biome-ignore format: one line a case
  ['heads rotated in part', { partial_rotary_factor: 0.5 }, 'partial_rotary_factor is 0.5'],
  ['the same in a scaling', { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.25 } }, '0.25'], // biome-ignore format: one line a case
  ['layers of their own', { rope_parameters: { full_attention: linear } }, 'full_attention'],
  ['a base that is none', { rope_scaling: { ...linear, rope_theta: '500' } }, 'rope_theta', '"500"'], // biome-ignore format: one line a case
]
for (const [what, fields, ...told] of contradictions) {
  test(`${what}: refused with both values`, async () => {
    const {
      rope_theta: _,
      rope_scaling: __,
      ...json
    } = ropeJson({
      max_position_embeddings: 64,
      rope_theta: 1,
      rope_scaling: {},
    })
    await fails(async () => configFromHf({ ...json, ...fields }, 'config.json'), 'input', ...told)
  })
}

test('factors of the wrong number, and constants that are none, are refused with both', async () => {
  const of = { max_position_embeddings: 64, rope_theta: 500 }
  const wrong = (rope_scaling: object, ...told: (string | number)[]) =>
    fails(
      async () => rotaryOf(ropeConfig({ ...of, rope_scaling: { ...rope_scaling } }), 'model'),
      'input',
      ...told,
    )
  const long = { rope_type: 'longrope', factor: 2, short_factor: [1, 1, 1, 1] }
  await wrong({ ...long, long_factor: [1, 2, 3] }, 'long_factor', '3 values', '4 positive')
  await wrong({ ...long, long_factor: [1, 2, 3, 0] }, 'long_factor')
  await wrong({ rope_type: 'yarn', factor: 0 }, 'factor 0', 'positive')
  await wrong({ rope_type: 'yarn', factor: 2, attention_factor: 'x' }, 'attention_factor "x"')
  await wrong({ rope_type: 'su', factor: 2 }, '"su" is not supported')
  const original = { original_max_position_embeddings: -5 }
  await wrong({ rope_type: 'yarn', factor: 2, ...original }, 'a rotary frequency of NaN')
  const one = { original_max_position_embeddings: 1 }
  await wrong({ ...long, long_factor: [1, 1, 1, 1], ...one }, 'attention factor Infinity')
  await wrong({ rope_type: 'linear', factor: 1e300 }, 'a rotary frequency of 0')
})

test('longrope is written for both versions of transformers', () => {
  const [name = '', of] =
    Object.entries(ropeGoldens.cases).find(([key]) => key === 'longrope') ?? []
  assert.ok(of, name)
  const json = configToHf(ropeConfig(of), 'f32')
  // Version 4 reads the original context here only, and takes 64 / 24 for the factor.
  assert.is(json.original_max_position_embeddings, 24)
  const { attention_factor } = Object(json.rope_scaling)
  assert.ok(Math.abs(attention_factor - of.attention) < 1e-9)
  const back = rotaryOf({ ...ropeConfig(of), ...configFromHf(json, 'config.json') }, 'model')
  assert.ok(Math.abs(back.attention - of.attention) < 1e-9)
})

test.run()
