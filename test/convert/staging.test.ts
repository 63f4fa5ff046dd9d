import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ConvertOptions,
  prepareConversion,
  type RunOptions,
  runConversion,
} from '../../src/convert/convert.js'
import { journalName, openJournal } from '../../src/convert/journal.js'
import { createFiles } from '../../src/convert/staging.js'
import { recordName } from '../../src/record/record.js'
import {
  convertOptions,
  holdsModel,
  makeSource,
  prepare,
  runOptions,
  withValues,
} from '../support/conversion.js'
import { fails } from '../support/errors.js'
import { small } from '../support/llama.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: staging')

const made = makeSource()
const convert = async (out: string, run: Partial<RunOptions> = {}) =>
  runConversion(await prepare({ ...made, out }), { ...runOptions, ...run })
/** Leaves an unfinished conversion there, of which the first tile is done. */
async function interrupt(out: string, options: Partial<ConvertOptions> = {}, force = false) {
  const aborter = new AbortController()
  const onProgress = () => aborter.abort()
  const conversion = await prepare({ ...made, out }, options)
  const run = { ...runOptions, force, signal: aborter.signal, onProgress }
  await fails(() => runConversion(conversion, run), 'interrupted', '`resume`')
}

const path = (...parts: string[]) => join(tempDir(), ...parts)

test('the output has its files, its record, and nothing else; no staging is left', async () => {
  const out = path('a', 'b', 'out')
  await convert(out)
  assert.equal(readdirSync(out).sort(), [
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'openllama.json',
  ])
  assert.equal(readdirSync(join(out, '..')), ['out'])
  await holdsModel(join(out, 'model.safetensors'), small)
})

test('an existing output is refused, and untouched', async () => {
  const out = path('out')
  mkdirSync(out)
  writeFileSync(join(out, 'mine'), 'mine')
  for (const force of [false, true]) {
    await fails(() => convert(out, { force }), 'usage', out, '`out`')
    assert.equal(readdirSync(out), ['mine'])
  }
  const file = path('out')
  writeFileSync(file, 'mine')
  for (const force of [false, true])
    await fails(() => convert(file, { force }), 'usage', file, '`out`')
  assert.is(readFileSync(file, 'utf8'), 'mine')
  assert.not(existsSync(`${file}.partial`))
})

test('--force replaces what this program made, and an empty directory', async () => {
  const out = path('out')
  await convert(out)
  await fails(() => convert(out), 'usage', 'exists', '`force`')
  await convert(out, { force: true })
  assert.equal(readdirSync(join(out, '..')), ['out'])
  const empty = path('out')
  mkdirSync(empty)
  await fails(() => convert(empty), 'usage', '`force`')
  await convert(empty, { force: true })
  assert.ok(existsSync(join(empty, recordName)))
})

test('what was there stays where a forced conversion fails', async () => {
  const out = path('out')
  await convert(out)
  const before = readFileSync(join(out, 'model.safetensors'))
  const broken = makeSource(small, 'float32', withValues('lm_head/kernel', [Number.NaN]))
  const conversion = await prepare({ ...broken, out })
  await fails(() => runConversion(conversion, { ...runOptions, force: true }), 'input', 'NaN')
  assert.equal(readFileSync(join(out, 'model.safetensors')).compare(before), 0)
  assert.not(existsSync(`${out}.partial`))
})

test('an unfinished conversion: told, and discarded or gone on from', async () => {
  const out = path('out')
  await interrupt(out)
  await fails(() => convert(out), 'usage', `${out}.partial`, '`resume`', '`force`')
  assert.ok(existsSync(join(`${out}.partial`, journalName)))
  await convert(out, { force: true })
  assert.equal(readdirSync(join(out, '..')), ['out'])
})

test('--resume where nothing is to go on from begins at the start', async () => {
  const out = path('out')
  await convert(out, { resume: true })
  await holdsModel(join(out, 'model.safetensors'), small)
})

test('interrupted and resumed: the same output, and its own record', async () => {
  const [out, whole] = [path('out'), path('out')]
  await interrupt(out)
  assert.not(existsSync(out))
  assert.ok(existsSync(join(`${out}.partial`, journalName)))
  await convert(out, { resume: true })
  await convert(whole)
  for (const name of readdirSync(whole))
    assert.is(readFileSync(join(out, name)).compare(readFileSync(join(whole, name))), 0, name)
  assert.equal(readdirSync(out), readdirSync(whole))
})

test('a disk that is too small: both numbers, and nothing is left behind', async () => {
  const out = path('out')
  const conversion = await prepare({ ...made, out })
  const tight = { ...conversion, freeDisk: conversion.plan.bytes - 1 }
  await fails(() => runConversion(tight, runOptions), 'resources', out, 'are free', '`out`')
  assert.equal(readdirSync(join(out, '..')), [])
  await runConversion({ ...conversion, freeDisk: conversion.plan.bytes }, runOptions)
})

test('a path below a file', async () => {
  const file = path('file')
  writeFileSync(file, '')
  await fails(() => convert(join(file, 'out')), 'resources', file, 'not a directory')
})

test('something that came to the output path meanwhile is not replaced, and the work is kept', async () => {
  const out = path('out')
  const onProgress = () => {
    mkdirSync(out, { recursive: true })
    writeFileSync(join(out, 'mine'), 'mine')
  }
  await fails(() => convert(out, { onProgress }), 'usage', out)
  assert.equal(readdirSync(out), ['mine'])
  assert.ok(existsSync(join(`${out}.partial`, journalName)))
  rmSync(out, { recursive: true })
  await convert(out, { resume: true })
  await holdsModel(join(out, 'model.safetensors'), small)
})

test('nor is a record that came beside a single file', async () => {
  const out = path('single.gguf')
  const record = `${out}.${recordName}`
  const conversion = await prepare({ ...made, out }, { to: 'gguf' })
  const onProgress = () => writeFileSync(record, 'mine')
  await fails(() => runConversion(conversion, { ...runOptions, onProgress }), 'usage', record)
  assert.is(readFileSync(record, 'utf8'), 'mine')
  assert.not(existsSync(out))
})

test('files are made at their full size, and an earlier run’s bytes stay', async () => {
  const folder = tempDir()
  const files = [
    { name: 'a', size: 10, literals: [{ offset: 2, bytes: Uint8Array.of(1, 2) }] },
    { name: 'sub/b', size: 3, literals: [] },
  ]
  writeFileSync(join(folder, 'a'), Uint8Array.of(9, 9, 9, 9, 9, 9))
  const [tensor] = (await prepare(made)).plan.target.tensors.values()
  const [part] = tensor?.parts ?? []
  assert.ok(tensor && part)
  const extents = [{ path: 'a', offset: 0, length: 1 }]
  const tensors = new Map([['x', { ...tensor, parts: [{ ...part, extents }] }]])
  const { handles } = await createFiles(folder, { files, tensors })
  for (const handle of handles.values()) await handle.close()
  // Of what is no tensor's and not known beforehand, nothing stays.
  assert.equal([...readFileSync(join(folder, 'a'))], [9, 0, 1, 2, 0, 0, 0, 0, 0, 0])
  assert.equal([...readFileSync(join(folder, 'sub', 'b'))], [0, 0, 0])
})

test('a journal that is a link is not written through', async () => {
  const folder = tempDir()
  const mine = path('mine')
  writeFileSync(mine, 'mine')
  symlinkSync(mine, join(folder, journalName))
  const head = { fingerprint: 'plan', files: [], force: false }
  try {
    await openJournal(folder, head, undefined, async () => {})
    assert.unreachable()
  } catch {}
  assert.is(readFileSync(mine, 'utf8'), 'mine')
})

test('without --out, the name is the source’s but for what says its format', async () => {
  const folder = tempDir()
  const names = [
    ['Llama-3.1-8B', 'Llama-3.1-8B-safetensors'],
    ['Mistral-7B-v0.1', 'Mistral-7B-v0.1-safetensors'],
    ['params.msgpack', 'params-safetensors'],
    ['.hidden', '.hidden-safetensors'],
  ]
  copyFileSync(join(made.source, '..', 'config.json'), join(folder, 'config.json'))
  for (const [source = '', expected] of names) {
    copyFileSync(made.source, join(folder, source))
    const { staging } = await prepareConversion(join(folder, source), convertOptions)
    assert.is(basename(staging.out), expected)
  }
})

test.run()
