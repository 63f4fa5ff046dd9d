import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withFlags } from '../../src/cli/flag-names.js'
import ConvertCommand from '../../src/commands/convert.js'
import { convert, OpenLlamaError } from '../../src/index.js'
import { inProcess } from '../support/in-process.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('cli: names of flags')
const flags = new Set(['max-memory', 'check', 'out', 'tensor-type', 'sha256'])

test('options become flags, and other words in backticks stay', () => {
  for (const [text, told] of [
    ['`maxMemory` is 3 MB', '--max-memory is 3 MB'],
    ['go on with `out` or `check: false`.', 'go on with --out or --no-check.'],
    ['`tensorTypes` "a=q8_0"', '--tensor-type "a=q8_0"'],
    ['`sha256`', '--sha256'],
    [
      '`openllama check` and `maxMemoryOf`, `Out`, `out/`',
      '`openllama check` and `maxMemoryOf`, `Out`, `out/`',
    ],
    ['`check: true`', '`check: true`'],
  ] as const) {
    assert.is(withFlags(text, flags), told)
  }
})

test('the same fault: the library names the option, the command its flag', async () => {
  const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
  const config = fixture('tiny-v2', 'config.json')
  const out = join(tempDir(), 'out')
  const options = { to: 'safetensors', config, out, modelParallel: 2 }
  const thrown: unknown = await convert(source, options).catch((error: unknown) => error)
  assert.ok(thrown instanceof OpenLlamaError)
  assert.match(thrown.message, /^`modelParallel` is for meta, the format is safetensors/)
  const args = [source, '--to', 'safetensors', '--config', config, '--out', out]
  const ran = await inProcess(ConvertCommand, [...args, '--model-parallel', '2'])
  assert.is(ran.code, 2)
  assert.match(ran.stderr, /^error: --model-parallel is for meta, the format is safetensors$/m)
  const json = await inProcess(ConvertCommand, [...args, '--model-parallel', '2', '--json'])
  assert.match(JSON.parse(json.stdout).error.message, /^--model-parallel is for meta/)
})

test('warnings and notes have flags too, on a terminal and in JSON', async () => {
  // Without a tokenizer beside it.
  const source = join(tempDir(), 'streaming_params')
  copyFileSync(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), source)
  const config = fixture('tiny-v2', 'config.json')
  const args = [source, '--to', 'gguf', '--config', config, '--dry-run']
  const { stderr } = await inProcess(ConvertCommand, args)
  assert.match(stderr, /^warning: no tokenizer is beside .*\(--tokenizer names one\)$/m)
  const json = await inProcess(ConvertCommand, [...args, '--json'])
  assert.match(JSON.parse(json.stdout).warnings.join(' '), /\(--tokenizer names one\)/)
})

test.run()
