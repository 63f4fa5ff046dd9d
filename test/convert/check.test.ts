import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkConversion, planCheck } from '../../src/check/conversion.js'
import { describePlan } from '../../src/cli/conversion.js'
import { type RunOptions, runConversion } from '../../src/convert/convert.js'
import { OpenLlamaError } from '../../src/io/errors.js'
import type { CheckRecord } from '../../src/record/check.js'
import { makeSource, prepare, runOptions } from '../support/conversion.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { small } from '../support/llama.js'
import { fixture } from '../support/paths.js'

const test = suite('convert: check')

const wish = { allowNonFinite: false, asked: false }

const failed: CheckRecord = {
  verdict: 'failed',
  engine: 'onnxruntime',
  device: 'cpu',
  smoke: { prompt: '', continuation: '', tokens: 0, faults: ['it says nothing'] },
  notes: [],
}

test('an output that fails its check is not delivered, and nothing is left', async () => {
  const made = makeSource()
  const run: RunOptions = { ...runOptions, check: async () => failed }
  const conversion = await prepare(made)
  await fails(() => runConversion(conversion, run), 'check', 'it says nothing', '`keepFailed`')
  assert.not(existsSync(made.out))
  assert.not(existsSync(`${made.out}.partial`))
})

test('with keepFailed it stays in the staging directory, with the figures', async () => {
  const made = makeSource()
  const run: RunOptions = { ...runOptions, keepFailed: true, check: async () => failed }
  const conversion = await prepare(made)
  await fails(() => runConversion(conversion, run), 'check', `${made.out}.partial`)
  assert.not(existsSync(made.out))
  const kept = join(`${made.out}.partial`, 'openllama.json')
  assert.equal(JSON.parse(readFileSync(kept, 'utf8')).check, failed)
  assert.ok(existsSync(join(`${made.out}.partial`, 'model.safetensors')))
})

test('what was kept is gone on from: it is checked anew, and delivered once it passes', async () => {
  const made = makeSource()
  const keepFailed = { ...runOptions, keepFailed: true }
  const fail = { ...keepFailed, check: async () => failed }
  await fails(async () => runConversion(await prepare(made), fail), 'check', '.partial')
  const again = { ...fail, resume: true }
  await fails(async () => runConversion(await prepare(made), again), 'check', '.partial')
  assert.not(existsSync(made.out))
  const passed: CheckRecord = { ...failed, verdict: 'passed' }
  const resume = { ...keepFailed, resume: true, check: async () => passed }
  await runConversion(await prepare(made), resume)
  const weights = (out: string) => readFileSync(join(out, 'model.safetensors'))
  const record = (out: string) => JSON.parse(readFileSync(join(out, 'openllama.json'), 'utf8'))
  assert.is(record(made.out).check.verdict, 'passed')
  assert.not(existsSync(`${made.out}.partial`))
  const other = makeSource()
  await runConversion(await prepare(other), runOptions)
  assert.ok(weights(made.out).equals(weights(other.out)))
  assert.equal(record(made.out).target, record(other.out).target)
})

test('figures beyond a limit are named, also those of the engine that rounds', async () => {
  const made = makeSource()
  const parity: CheckRecord['parity'] = {
    against: { name: 'a', format: 'easylm', dtype: 'f32', engine: 'onnxruntime' },
    engine: 'onnxruntime',
    positions: 1,
    metrics: [{ name: 'kld_mean', value: 0, limit: 1e-6, passed: true }],
    rounded: [{ name: 'nmse', value: 0.25, limit: 0.125, passed: false }],
    faults: [],
    greedy: { common: 1, of: 1 },
  }
  const check = async () => ({ ...failed, smoke: { ...failed.smoke, faults: [] }, parity })
  await fails(
    async () => runConversion(await prepare(made), { ...runOptions, check }),
    'check',
    'nmse is 0.25, the limit 0.125',
  )
})

test('a model without a tokenizer is checked on tokens that are made up', async () => {
  const made = makeSource()
  const conversion = await prepare(made)
  assert.is(planCheck(conversion, wish).unchecked, undefined)
  let checked: CheckRecord | undefined
  const check = async (output: string) => {
    checked = await checkConversion(conversion, output, {})
    return checked
  }
  const { check: record } = await runConversion(conversion, { ...runOptions, check })
  assert.equal(record, checked)
  assert.is(record?.verdict, 'passed', JSON.stringify(record))
  assert.match(record?.notes.join() ?? '', /made up/)
})

test('the vocabulary that a GGUF brings along counts for the check', async () => {
  const made = makeSource({ ...small, vocab: 512 })
  writeFileSync(
    join(made.folder, 'in', 'tokenizer.json'),
    readFileSync(fixture('tokenizer', 'byte-level.json')),
  )
  const alone = join(made.folder, 'alone', 'f16.gguf')
  mkdirSync(dirname(alone))
  await convert(made.source, alone, { to: 'gguf' })
  const conversion = await prepare({ ...made, source: alone }, { to: 'gguf', dtype: 'q8_0' })
  assert.is(planCheck(conversion, wish).unchecked, undefined)
})

test('a quantized GGUF without vocabulary cannot be checked, which is said', async () => {
  const made = makeSource()
  const conversion = await prepare(made, { to: 'gguf', dtype: 'q8_0' })
  assert.match(planCheck(conversion, wish).unchecked?.what ?? '', /no vocabulary/)
  const plan = planCheck(conversion, { ...wish, allowNonFinite: true })
  assert.match(plan.unchecked?.what ?? '', /not finite/)
  assert.match(describePlan(conversion, plan), /check +the output cannot be checked: what is not/)
  const { warnings } = await runConversion(conversion, { ...runOptions, unchecked: 'so it is' })
  assert.is(warnings.at(-1), 'it is not checked: so it is')
})

test('the plan says what a check takes, and what is free', async () => {
  const conversion = await prepare(makeSource())
  const plan = planCheck(conversion, wish)
  assert.match(
    describePlan(conversion, plan),
    /check +the output will be checked at 64 positions; \S+ MB of memory needed, \S+ GB free/,
  )
  const tight = { ...plan, unchecked: new OpenLlamaError('resources', 'too much') }
  assert.match(
    describePlan(conversion, tight),
    /check +the output cannot be checked: \S+ MB of memory needed, \S+ GB free/,
  )
  assert.match(describePlan(conversion, undefined), /check +none/)
})

test('a check that cannot be made costs no output: it is delivered, which is said', async () => {
  for (const code of ['input', 'resources'] as const) {
    const made = makeSource()
    const check = () => Promise.reject(new OpenLlamaError(code, 'the engine knows no such thing'))
    const result = await runConversion(await prepare(made), { ...runOptions, check })
    assert.is(result.warnings.at(-1), 'it is not checked: the engine knows no such thing')
    assert.is(result.check, undefined)
    assert.ok(existsSync(join(made.out, 'model.safetensors')))
  }
})

test('an output that itself cannot be read or run is not delivered, and kept', async () => {
  const made = makeSource()
  const check = (output: string) =>
    Promise.reject(
      new OpenLlamaError('input', 'it breaks down', { path: join(output, 'model.safetensors') }),
    )
  await fails(
    async () => runConversion(await prepare(made), { ...runOptions, check }),
    'input',
    'could not be checked: it breaks down',
    '`resume` `check: false`',
  )
  assert.not(existsSync(made.out))
  assert.ok(existsSync(join(`${made.out}.partial`, 'model.safetensors')))
})

test('with --check it stays in the staging directory, and --resume --no-check delivers it', async () => {
  const made = makeSource()
  const check = () => Promise.reject(new OpenLlamaError('input', 'the engine knows no such thing'))
  const run = { ...runOptions, check, checkRequired: true }
  await fails(
    async () => runConversion(await prepare(made), run),
    'input',
    'could not be checked: the engine knows no such thing',
    '`resume` `check: false`',
  )
  assert.not(existsSync(made.out))
  assert.ok(existsSync(join(`${made.out}.partial`, 'model.safetensors')))
  await runConversion(await prepare(made), { ...runOptions, resume: true })
  assert.ok(existsSync(join(made.out, 'model.safetensors')))
})

test.run()
