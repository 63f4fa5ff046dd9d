import { existsSync, mkdirSync, readdirSync, readFileSync, watch } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openllama } from '../support/cli.js'
import { spoiled } from '../support/faults.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('commands: check')
const folder = tempDir()
const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
const config = ['--config', fixture('tiny-v2', 'config.json')]
const sound = await spoiled('tiny-v2', {})
const faulty = await spoiled('tiny-v2', {
  change: (values) => values.get('model.layers.1.mlp.up_proj.weight')?.fill(0),
})
const check = (...args: string[]) => openllama(['check', ...args], { cwd: folder })

test('--json: one document with the figures, their limits, and both continuations', async () => {
  const { code, stdout, stderr } = await check(sound, '--against', source, ...config, '--json')
  assert.is(code, 0, stderr)
  const result = JSON.parse(stdout)
  assert.is(result.verdict, 'passed')
  assert.is(result.engine, 'onnxruntime')
  assert.is(result.device, 'cpu')
  assert.is(result.type, 'f32')
  assert.is(result.parity.against.format, 'easylm')
  assert.is(result.parity.against.dtype, 'bf16')
  assert.is(result.parity.positions, 256)
  assert.equal(
    result.parity.metrics.map(({ name }: { name: string }) => name),
    [
      ...['kld_mean', 'kld_median', 'kld_p999', 'top1_agreement', 'logit_max_difference'],
      ...['nmse', 'perplexity', 'perplexity_source'],
    ],
  )
  assert.match(result.continuations.artifact, /^ The blue whale is the largest animal\./)
  assert.is(result.continuations.source, result.continuations.artifact)
})

test('text: the continuation, a table, the verdict', async () => {
  const { code, stdout, stderr } = await check(sound, '--against', source, ...config)
  assert.is(code, 0, stderr)
  for (const part of ['The blue whale', 'KL divergence, mean', '≤', 'greedy tokens', 'ok']) {
    assert.ok(stdout.includes(part), stdout)
  }
})

test('a fault: exit 4, with layer and cause; with a limit too low likewise', async () => {
  const failed = await check(faulty, '--against', source, ...config)
  assert.is(failed.code, 4, failed.stderr)
  assert.match(failed.stdout, /FAILED: model\.layers\.1\.mlp\.up_proj\.weight: .* all zero/)
  assert.match(failed.stdout, /departs first in layer 1/)
  const limited = await check(sound, '--against', source, ...config, '--limit', 'top1=1.5')
  assert.is(limited.code, 4, limited.stdout)
})

test('memory that is not allowed: exit 6, before anything is run', async () => {
  const { code, stderr } = await check(sound, '--max-memory', '100MB')
  assert.is(code, 6, stderr)
  assert.match(stderr, /takes .* 100 MB are allowed/)
  assert.match(stderr, /--max-memory/)
})

test('a device that is not there: exit 6, never another in its place', async () => {
  const { code, stdout, stderr } = await check(sound, '--device', 'metal')
  assert.is(code, 6, stdout)
  assert.match(stderr, /metal/)
})

test('no checkpoint, and a wrong limit: exit 2', async () => {
  assert.is((await check()).code, 2)
  // A limit of a comparison that is not made.
  const alone = await check(sound, '--limit', 'kld=0.1')
  assert.is(alone.code, 2)
  assert.match(alone.stderr, /--against/)
  assert.is((await check(sound, '--against', source, '--limit', 'speed=3')).code, 2)
})

test('--devices lists both engines, with what is there and nothing else', async () => {
  const { code, stdout } = await check('--devices', '--json')
  assert.is(code, 0)
  const { devices } = JSON.parse(stdout)
  const has = (engine: string, device: string) =>
    devices.some(
      (each: { engine: string; device: string; there: boolean }) =>
        each.engine === engine && each.device === device && each.there,
    )
  assert.ok(has('onnxruntime', 'cpu') && has('llama.cpp', 'cpu'), stdout)
  // ONNX Runtime's own list has it wherever it could be: each is tried.
  if (!existsSync('/dev/nvidiactl')) assert.not(has('onnxruntime', 'cuda'), stdout)
})

// Also not by ONNX Runtime, which would keep a log of what it reports to its maker.
test('no temporary file is written, beside the weights or elsewhere', async () => {
  const temporary = join(folder, 'temporary')
  mkdirSync(temporary)
  const beside = fixture('tiny-v2', 'easylm')
  const before = readdirSync(beside)
  const seen: string[] = []
  const watchers = [temporary, beside, sound].map((path) =>
    watch(path, (event, name) => {
      if (event === 'rename') seen.push(join(path, name ?? ''))
    }),
  )
  const { code, stderr } = await openllama(['check', sound, '--against', source, ...config], {
    cwd: folder,
    env: { TMPDIR: temporary },
  })
  for (const watcher of watchers) watcher.close()
  assert.is(code, 0, stderr)
  assert.equal(seen, [])
  assert.equal(readdirSync(beside), before)
})

test('convert checks by default, and keeps the figures; --no-check leaves them out', async () => {
  const convert = (name: string, ...flags: string[]) => [
    ...['convert', source, ...config, '--to', 'gguf', '--dtype', 'q8_0'],
    ...['--out', join(folder, name), ...flags],
  ]
  const checked = await openllama(convert('checked.gguf'), { checked: true })
  assert.is(checked.code, 0, checked.stderr)
  assert.match(checked.stdout, /checked: KL divergence .* The blue whale/)
  const record = (name: string) =>
    JSON.parse(readFileSync(join(folder, `${name}.openllama.json`), 'utf8'))
  assert.is(record('checked.gguf').check.verdict, 'passed')
  assert.is(record('checked.gguf').check.engine, 'llama.cpp')
  const plain = await openllama(convert('plain.gguf'))
  assert.is(plain.code, 0, plain.stderr)
  assert.is(record('plain.gguf').check, undefined)
  const hashes = (name: string) => {
    const { source: from, target } = record(name)
    return [from.files[0].sha256, target.files[0].sha256].map((hash) => hash?.length ?? null)
  }
  assert.equal(hashes('checked.gguf'), [64, 64])
  const bare = await openllama(convert('bare.gguf', '--no-check'), { checked: true })
  assert.is(bare.code, 0, bare.stderr)
  assert.equal(hashes('bare.gguf'), [null, null], 'what is not to be proved is not read again')
  assert.ok(!existsSync(join(folder, 'checked.gguf.partial')))
})

test('--record keeps the figures where convert would', async () => {
  const place = join(folder, 'plain.gguf.openllama.json')
  const before = JSON.parse(readFileSync(place, 'utf8'))
  assert.is(before.check, undefined)
  const { code, stdout, stderr } = await check(
    ...['plain.gguf', '--against', source, ...config, '--record', '--json'],
  )
  assert.is(code, 0, stderr)
  const { check: kept, ...rest } = JSON.parse(readFileSync(place, 'utf8'))
  assert.equal(rest, before, 'nothing else is changed')
  const found = JSON.parse(stdout)
  assert.is(kept.verdict, 'passed')
  assert.equal(kept.smoke, found.smoke)
  assert.is(kept.parity.positions, found.parity.positions)
})

test('--record: without --against exit 2, without a record of these files exit 3', async () => {
  assert.is((await check(sound, '--record')).code, 2)
  const none = await check(sound, '--against', source, ...config, '--record')
  assert.is(none.code, 3, none.stdout)
  assert.match(none.stderr, /no openllama\.json that lists it/)
})

test.run()
