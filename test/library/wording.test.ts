import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { convert, plan } from '../../src/index.js'
import { openllama } from '../support/cli.js'
import { failure } from '../support/errors.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

// A checkpoint that has no tokenizer beside it.
const folder = tempDir()
const source = join(folder, 'source')
cpSync(fixture('tiny-v2', 'config.json'), join(source, 'config.json'))
cpSync(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), join(source, 'streaming_params_bf16'))

test('a fault is said with the library’s options there, and with flags by a command', async () => {
  const options = { to: 'safetensors', maxMemory: 1000, out: join(folder, 'none') } as const
  const error = await failure(() => plan(source, options))
  assert.is(error.what, '`maxMemory` is 1.00 kB, at least 16.8 MB are needed')
  const args = ['convert', source, '--to', 'safetensors', '--max-memory', '1000']
  const said = await openllama([...args, '--out', options.out])
  assert.is(said.code, 2)
  assert.match(said.stderr, '--max-memory is 1.00 kB, at least 16.8 MB are needed')
})

test('in JSON too; the path in a message stays, whatever it is called', async () => {
  const out = join(folder, '`out`')
  const options = { to: 'safetensors', out, check: false } as const
  await convert(source, options)
  const error = await failure(() => convert(source, options))
  assert.equal(error.suggestions, ['Choose another `out`, or replace it with `force`.'])
  const args = ['convert', source, '--to', 'safetensors', '--out', out]
  const plain = await openllama(args)
  assert.is(plain.code, 2)
  const first = `error: ${out}: it exists already\n  Choose another --out, or replace it with --force.\n`
  assert.is(plain.stderr, first)
  const json = JSON.parse((await openllama([...args, '--json'])).stdout)
  assert.is(json.error.message, error.message)
  assert.equal(json.error.suggestions, ['Choose another --out, or replace it with --force.'])
})

test('notes are kept as whoever converts calls things', async () => {
  const notesIn = (out: string): unknown =>
    JSON.parse(readFileSync(join(out, 'openllama.json'), 'utf8')).notes
  const own = join(folder, 'own')
  const { notes } = await convert(source, { to: 'safetensors', out: own, check: false })
  const [note = ''] = notes
  assert.match(note, 'the output has none (`tokenizer` names one)')
  assert.equal(notesIn(own), notes)
  const commands = join(folder, 'commands')
  const args = ['convert', source, '--to', 'safetensors', '--out', commands, '--json']
  const { stdout } = await openllama(args)
  const said = note.replace('`tokenizer`', '--tokenizer')
  assert.equal(notesIn(commands), [said])
  const printed = JSON.parse(stdout)
  assert.equal([printed.notes, printed.warnings], [[said], [said]])
  const dry = await openllama(['convert', source, '--to', 'safetensors', '--dry-run'])
  assert.match(dry.stderr, `warning: ${said}\n`)
})

test.run()
