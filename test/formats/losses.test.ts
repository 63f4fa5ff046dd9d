import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { planCheck } from '../../src/check/conversion.js'
import { describePlan } from '../../src/cli/conversion.js'
import { runConversion } from '../../src/convert/convert.js'
import type { JsonObject } from '../../src/io/json.js'
import { makeSource, prepare, runOptions } from '../support/conversion.js'
import { fails } from '../support/errors.js'
import { configOf } from '../support/listing.js'
import { type Model, small } from '../support/llama.js'

const test = suite('formats: losses')

/** head_dim × heads is hidden, as all formats have it. */
const usual: Model = { ...small, headDim: 4, hidden: 32 }

const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 16 }
const mistral = { architectures: ['MistralForCausalLM'], model_type: 'mistral' }
const llama31 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
}

function sourceOf(fields: JsonObject, model = usual) {
  const made = makeSource(model)
  const json = { architectures: ['LlamaForCausalLM'], ...configOf(model), ...fields }
  writeFileSync(join(made.folder, 'in', 'config.json'), JSON.stringify(json))
  return made
}

const lossy: [to: string, fields: JsonObject, model: Model, ...told: (string | number)[]][] = [
  ['gguf', { ...mistral, sliding_window: 32 }, usual, 'no sliding window', 'sliding_window 32 becomes null', 'more than 32 tokens'], // biome-ignore format: one line a case
  ['meta', { ...mistral, sliding_window: 32 }, usual, 'Meta’s code has no sliding window'],
  ['easylm', { ...mistral, sliding_window: 32 }, usual, 'EasyLM’s code has no sliding window'],
  ['flax', { rope_scaling: yarn }, usual, '"yarn"', 'from the first tokens on'],
  ['meta', { rope_scaling: yarn }, usual, 'Meta’s code cannot say the rotary scaling "yarn"'],
  ['meta', { rope_scaling: { ...llama31, low_freq_factor: 2 } }, usual, '"llama3"'],
  ['meta', {}, small, 'head_dim 4 becomes 5', 'does not load'],
  ['easylm', {}, small, 'head_dim 4 becomes 5', 'does not load'],
  ['gguf', { rope_scaling: { rope_type: 'su', factor: 2 } }, usual, 'cannot say the rotary scaling "su"'], // biome-ignore format: one line a case
]
for (const [to, fields, model, ...told] of lossy) {
  test(`${to} and ${told[0]}: refused unless --allow-loss, which is recorded`, async () => {
    const made = sourceOf(fields, model)
    const conversion = await prepare(made, { to, allowLoss: false })
    // The plan is shown, and what is lost in it.
    assert.match(describePlan(conversion, planCheck(conversion, wish)), /^ *lost +/m)
    await fails(() => runConversion(conversion, runOptions), 'input', '`allowLoss`', ...told)
    assert.not(existsSync(made.out))
    assert.not(existsSync(`${made.out}.partial`))
    const allowed = await prepare(made, { to, allowLoss: true })
    const { warnings } = await runConversion(allowed, runOptions)
    assert.ok(warnings.some((warning) => told.every((part) => warning.includes(String(part)))))
    const record = JSON.parse(readFileSync(join(made.out, 'openllama.json'), 'utf8'))
    assert.is(record.options.allow_loss, true)
    assert.is(record.losses.length, 1)
    assert.ok(
      record.notes.includes(allowed.warnings.find((text) => text.includes(String(told[0])))),
    )
  })
}

const wish = { allowNonFinite: false, asked: false }

const whole: [to: string, fields: JsonObject][] = [
  ['gguf', { ...mistral, sliding_window: 2048, max_position_embeddings: 2048 }],
  ['gguf', { ...mistral, sliding_window: null }],
  ['gguf', { sliding_window: 8 }],
  ['gguf', { rope_scaling: yarn }],
  ['meta', { rope_scaling: llama31 }],
  ['onnx', { ...mistral, sliding_window: 8, rope_scaling: yarn }],
  ['safetensors', { ...mistral, sliding_window: 8, rope_scaling: { rope_type: 'su', factor: 2 } }],
  ['pytorch', { ...mistral, sliding_window: 8 }],
]
for (const [to, fields] of whole) {
  test(`${to} says all of ${JSON.stringify(fields)}`, async () => {
    const conversion = await prepare(sourceOf(fields), { to, allowLoss: false })
    assert.equal(conversion.plan.target.losses ?? [], [])
  })
}

test('a Mistral without a word has transformers’ window of 4096', async () => {
  const json = { ...mistral, max_position_embeddings: 8192 }
  const conversion = await prepare(sourceOf(json), { to: 'gguf', allowLoss: false })
  assert.is(conversion.plan.target.losses?.[0]?.from, 4096)
})

test.run()
