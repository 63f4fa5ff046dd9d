import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { journalName } from '../../src/convert/journal.js'
import { sha256 } from '../support/bytes.js'
import { openllama } from '../support/cli.js'
import { configJson } from '../support/listing.js'
import type { Model } from '../support/llama.js'
import { makeSparse } from '../support/sparse.js'
import { tempDirOnDisk } from '../support/temp.js'

const test = suite('commands: interruption')

/** 280 MB in f32: more than a signal needs to arrive, whatever the machine. */
const model: Model = {
  vocab: 12_000,
  hidden: 2048,
  intermediate: 1024,
  layers: 1,
  heads: 16,
  kvHeads: 16,
  headDim: 128,
}
const folder = tempDirOnDisk()
const source = join(folder, 'weights')
await makeSparse(source, model, 'f32')
writeFileSync(join(folder, 'config.json'), configJson(model))

const out = join(folder, 'out')
const args = [
  'convert',
  source,
  '--to',
  'safetensors',
  '--out',
  out,
  '--dtype',
  'bf16',
  '--max-memory',
  '40MB',
]

/** Bytes of weights that an unfinished output has on the disk: files have their full size at once. */
function writtenIn(partial: string): number {
  const there = statSync(join(partial, 'model.safetensors'), { throwIfNoEntry: false })
  return 512 * (there?.blocks ?? 0)
}

/** Sends the signal once tiles are being written. */
function interrupted(signal: 'SIGINT' | 'SIGTERM', ...flags: string[]) {
  return openllama([...args, ...flags], {
    async onStart(child) {
      const deadline = Date.now() + 20_000
      while (writtenIn(`${out}.partial`) < 20e6 && Date.now() < deadline) await wait(5)
      child.kill(signal)
    },
  })
}

test('Ctrl-C: 130, how to go on, nothing at the output path; then --resume completes', async () => {
  const { code, signal, stdout, stderr } = await interrupted('SIGINT', '--threads', '1')
  assert.equal([code, signal], [130, null], stderr)
  assert.is(stdout, '')
  assert.match(stderr, '--resume')
  assert.not(/\n\s+at .*:\d+/.test(stderr), stderr)
  assert.not(existsSync(out))
  const journal = readFileSync(join(`${out}.partial`, journalName), 'utf8')
  assert.match(journal, '"done":[{')

  const again = await openllama([...args, '--threads', '1'])
  assert.is(again.code, 2, again.stderr)
  assert.match(again.stderr, /--resume.*--force/s)

  const resumed = await openllama([...args, '--threads', '1', '--resume', '--json'])
  assert.is(resumed.code, 0, resumed.stdout)
  assert.not(existsSync(`${out}.partial`))
  assert.equal(readdirSync(out).sort(), [
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'openllama.json',
  ])
  const weights = readFileSync(join(out, 'model.safetensors'))
  const header = 8 + Number(weights.readBigUInt64LE(0))
  assert.ok(
    weights.subarray(header).every((byte) => byte === 0),
    'zeros stay zeros',
  )
  const { target } = JSON.parse(resumed.stdout)
  assert.is(target.files[0].sha256, sha256(weights))
})

test('SIGTERM while threads work: 130, in JSON too; --force begins anew', async () => {
  const { code, stdout } = await interrupted('SIGTERM', '--force', '--threads', '2', '--json')
  assert.is(code, 130)
  const { error } = JSON.parse(stdout)
  assert.equal([error.code, error.exit], ['interrupted', 130])
  assert.ok(existsSync(join(out, 'openllama.json')), 'the earlier output is still there')
  assert.ok(existsSync(`${out}.partial`))
})

test.run()
