import { existsSync, readdirSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { programMemory } from '../../src/convert/memory.js'
import { openllama } from '../support/cli.js'
import { configJson } from '../support/listing.js'
import type { Model } from '../support/llama.js'
import { fixture } from '../support/paths.js'
import { makeSparse } from '../support/sparse.js'
import { tempDirOnDisk } from '../support/temp.js'

const test = suite('commands: disk and memory')

const tiny = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
const config = fixture('tiny-v2', 'config.json')

test('more than the disk has free: exit 6, both numbers, before and instead of a run, nothing is left', async () => {
  const folder = tempDirOnDisk()
  const { bavail, bsize } = statfsSync(folder)
  // Feed-forward matrices of nearly the 4 GiB that msgpack can hold, in as many layers as it takes.
  const layerBytes = 3 * 131_071 * 8192 * 4
  const layers = Math.ceil((1.05 * bavail * bsize) / layerBytes)
  const model: Model = {
    vocab: 64,
    hidden: 8192,
    intermediate: 131_071,
    layers,
    heads: 2,
    kvHeads: 2,
    headDim: 64,
  }
  const source = join(folder, 'weights')
  await makeSparse(source, model, 'f32')
  writeFileSync(join(folder, 'config.json'), configJson(model))
  const args = ['convert', source, '--to', 'safetensors', '--out', join(folder, 'out')]
  const [dry, real] = await Promise.all([
    openllama([...args, '--dry-run']),
    openllama([...args, '--json']),
  ])
  assert.is(dry.code, 6, dry.stderr)
  assert.match(dry.stderr, /error: .*the output takes .* are free/)
  assert.match(dry.stderr, '--out')
  assert.is(real.code, 6, real.stdout)
  const { error } = JSON.parse(real.stdout)
  assert.equal([error.code, error.exit], ['resources', 6])
  assert.equal(readdirSync(folder).sort(), ['config.json', 'weights'])
})

test('a file that may not grow so large: exit 6 and what it is, nothing at the output path', async () => {
  if (process.platform === 'win32') return
  const out = join(tempDirOnDisk(), 'out')
  const args = ['convert', tiny, '--to', 'safetensors', '--config', config, '--out', out]
  const limited = await openllama(args, { before: 'ulimit -f 1000' })
  assert.is(limited.code, 6, limited.stderr)
  assert.match(limited.stderr, /cannot write it: .*size/)
  assert.match(limited.stderr, '--max-shard-size')
  assert.not(/\n\s+at .*:\d+/.test(limited.stderr), limited.stderr)
  assert.not(existsSync(out))
  const resumed = await openllama([...args, '--resume'])
  assert.is(resumed.code, 0, resumed.stderr)
  assert.ok(existsSync(join(out, 'model.safetensors')))
})

test('an output path below a file: exit 6, and which', async () => {
  const file = join(tempDirOnDisk(), 'file')
  writeFileSync(file, 'mine')
  const args = [
    'convert',
    tiny,
    '--to',
    'safetensors',
    '--config',
    config,
    '--out',
    join(file, 'out'),
  ]
  const { code, stderr } = await openllama(args)
  assert.is(code, 6, stderr)
  assert.ok(stderr.includes(join(file, 'out')), stderr)
  assert.match(stderr, 'not a directory')
  assert.is(statSync(file).size, 4)
})

test('the embedding and the head of 13B in f32 within 64 MB and the runtime’s own', async () => {
  const folder = tempDirOnDisk()
  const model: Model = {
    vocab: 32_000,
    hidden: 5120,
    intermediate: 256,
    layers: 1,
    heads: 2,
    kvHeads: 2,
    headDim: 128,
  }
  const source = join(folder, 'weights')
  assert.ok((await makeSparse(source, model, 'f32')) > 1.3e9)
  writeFileSync(join(folder, 'config.json'), configJson(model))
  const preload = join(folder, 'preload.mjs')
  writeFileSync(
    preload,
    "process.on('exit', () => console.error('peak', process.resourceUsage().maxRSS))",
  )
  const { code, stderr } = await openllama(
    [
      'convert',
      source,
      '--to',
      'safetensors',
      '--dtype',
      'bf16',
      '--out',
      join(folder, 'out'),
      '--max-memory',
      '64MB',
      '--threads',
      '4',
    ],
    { env: { NODE_OPTIONS: `--import=${pathToFileURL(preload).href}` } },
  )
  assert.is(code, 0, stderr)
  const peak = 1024 * Number(/peak (\d+)/.exec(stderr)?.[1])
  assert.ok(peak > 40e6 && peak < 64e6 + programMemory(4), `${peak} bytes at the peak`)
  console.log(`peak ${Math.round(peak / 1e6)} MB`)
  assert.ok(statSync(join(folder, 'out', 'model.safetensors')).size > 655e6)
})

test.run()
