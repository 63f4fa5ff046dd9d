import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ConvertResult, prepareConversion, runConversion } from '../../src/convert/convert.js'
import { OpenLlamaError } from '../../src/io/errors.js'
import { openCheckpoint } from '../../src/open/open.js'
import { equalBytes, seeded } from '../support/bytes.js'
import { convertOptions, makeLargeSource, runOptions } from '../support/conversion.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { largeFile } from '../support/hub/hub.js'
import { tinySession, useHub } from '../support/hub/session.js'
import { tempDir } from '../support/temp.js'

const test = suite('conversions over a bad network')

const session = tinySession(test)

const options = { ...convertOptions, to: 'gguf', dtype: 'q8_0', name: 'Model' } as const

interface Run {
  /** Bytes of large files that the server sent. */
  sent: number
  result?: ConvertResult
  error?: OpenLlamaError
}

/** Converts as a process of its own would: it knows nothing of runs before. */
async function run(source: string, out: string, resume = false): Promise<Run> {
  useHub(session)
  const before = session.hub.count('download').sent
  const sent = () => session.hub.count('download').sent - before
  try {
    const conversion = await prepareConversion(source, { ...options, out })
    const result = await runConversion(conversion, { ...runOptions, resume })
    return { sent: sent(), result }
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    return { sent: sent(), error }
  }
}

/** Requests and bytes that opening a source takes. */
async function opening(source: string): Promise<{ requests: number; sent: number }> {
  useHub(session)
  session.hub.reset()
  await prepareConversion(source, { ...options, out: join(tempDir(), 'out.gguf') })
  const counted = session.hub.count('download')
  session.hub.reset()
  return counted
}

const unverified = 'its content was not held against'

test('cut at random points, 50 runs: whole, or exit 5 and resumed; what arrived is not sent again', async () => {
  const next = seeded(11)
  const folder = tempDir()
  const opened = await opening('hf://tester/tiny')
  const clean = await run('hf://tester/tiny', join(folder, 'clean.gguf'))
  const expected = readFileSync(join(folder, 'clean.gguf'))
  const { tensors } = await openCheckpoint('hf://tester/tiny')
  const sizes = [...tensors.values()].map(({ parts }) => parts[0]?.extents[0]?.length ?? 0)
  const largest = Math.max(...sizes)
  let gaveUp = 0
  for (let i = 0; i < 50; i++) {
    const out = join(folder, `${i}.gguf`)
    session.hub.reset()
    const cuts = Array.from({ length: 1 + (next() % 4) }, () => next() % 100_000)
    for (const cutAfter of cuts) {
      session.hub.faults.push({ on: 'download', after: next() % 30, cutAfter })
    }
    if (i % 2 === 0) {
      // Cut within a range, and from then on before the first byte of every other.
      const after = opened.requests + (next() % 12)
      session.hub.faults.push({ on: 'download', after, cutAfter: next() % 50_000 })
      session.hub.faults.push({ on: 'download', after: after + 1, cutAfter: 0, times: 999 })
    }
    const first = await run('hf://tester/tiny', out)
    // What an answer that was cut had sent may not all have been taken when its connection ended.
    const onTheWay = cuts.reduce((sum, bytes) => sum + bytes, 0)
    if (first.result) {
      assert.ok(first.sent <= clean.sent + onTheWay, `run ${i}: ${first.sent}`)
      assert.not.ok(first.result.notes.some((note) => note.includes(unverified)))
    } else {
      gaveUp++
      assert.is(first.error?.exit, 5, first.error?.message)
      assert.not.ok(existsSync(out))
      session.hub.faults.length = 0
      const second = await run('hf://tester/tiny', out, true)
      assert.ok(second.result, second.error?.message)
      // Headers come again, and the two prefetches that were in memory when the first run gave up.
      const most = clean.sent + opened.sent + 2 * largest + 50_000 + onTheWay
      assert.ok(first.sent + second.sent <= most, `run ${i}: ${first.sent} + ${second.sent}`)
      assert.ok(second.sent < clean.sent, `run ${i}: ${second.sent} of ${clean.sent}`)
      const record = JSON.parse(readFileSync(`${out}.openllama.json`, 'utf8'))
      assert.match(record.notes.join(), `streaming_params: ${unverified}`)
      assert.match(record.notes.join(), 'earlier run')
    }
    equalBytes(readFileSync(out), expected, `run ${i}`)
  }
  assert.ok(gaveUp >= 20 && gaveUp <= 30, String(gaveUp))
})

test('damaged bytes: exit 5 with both hashes, nothing delivered, nothing to resume', async () => {
  const opened = await opening('hf://tester/tiny')
  for (const after of [0, 7, 13]) {
    const folder = tempDir()
    const out = join(folder, 'out.gguf')
    session.hub.faults.push({ on: 'download', corrupt: true, after: opened.requests + after })
    const { error } = await run('hf://tester/tiny', out)
    assert.is(error?.exit, 5, error?.message)
    assert.match(
      error?.message ?? '',
      /streaming_params: its SHA-256 is [0-9a-f]{64}, the Hub says/,
    )
    const { commits } = session.hub.repository('tester/tiny')
    const sha256 = [...commits.values()].at(-1)?.tree.get('streaming_params')?.content.sha256
    assert.ok(error?.message.includes(sha256 ?? '?'))
    assert.equal(readdirSync(folder), [])
    assert.ok((await run('hf://tester/tiny', out, true)).result)
  }
})

for (const [to, more] of [
  ['easylm', {}],
  ['flax', {}],
  ['safetensors', {}],
  ['safetensors', { maxShardSize: 400_000 }],
  ['pytorch', {}],
  ['pytorch', { maxShardSize: 400_000 }],
  ['meta', { modelParallel: 2 }],
  ['gguf', {}],
  ['onnx', {}],
] as const) {
  const how = `${to}${'maxShardSize' in more ? ', sharded' : ''}`
  test(`${how}: content is verified as it passes, whichever file is damaged`, async () => {
    const folder = tempDir()
    const local = join(folder, 'local')
    await convert('hf://tester/tiny', local, { to, ...more })
    const names = readdirSync(local, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name !== 'openllama.json' && !statSync(join(local, name)).isDirectory(),
    )
    const files = await Promise.all(
      names.map(async (name) => [name, await largeFile(join(local, name))] as const),
    )
    const name = `tester/${how.replace(/\W+/g, '-')}`
    await session.hub.commit(name, Object.fromEntries(files))
    const opened = await opening(`hf://${name}`)
    const clean = await run(`hf://${name}`, join(folder, 'clean.gguf'))
    assert.equal(clean.error?.message, undefined)
    assert.not.ok(
      clean.result?.notes.some((note) => note.includes(unverified)),
      how,
    )
    const { requests } = session.hub.count('download')
    // The last may be of alignment, of which more is fetched than is used.
    for (const after of [opened.requests, requests - 2]) {
      const out = join(folder, `${after}.gguf`)
      session.hub.faults.push({ on: 'download', corrupt: true, after })
      const { error } = await run(`hf://${name}`, out)
      assert.ok(error?.message.includes('its SHA-256 is'), error?.message ?? 'it was converted')
      assert.not.ok(existsSync(out))
      assert.not.ok(existsSync(`${out}.partial`))
    }
  })
}

/** 23 MB in bf16. */
const model = {
  vocab: 4000,
  hidden: 512,
  intermediate: 1408,
  layers: 3,
  heads: 8,
  kvHeads: 8,
  headDim: 64,
}

test('ignored ranges far in a file: borne with once, and told where they last', async () => {
  const { source, folder } = makeLargeSource(model)
  const entry = await largeFile(source)
  assert.ok(entry.content.size > 20 * 1024 * 1024)
  const config = readFileSync(join(folder, 'in', 'config.json'))
  await session.hub.commit('tester/long', { streaming_params: entry, 'config.json': config })
  const opened = await opening('hf://tester/long')
  const theirs = join(folder, 'theirs.gguf')
  await runConversion(await prepareConversion(source, { ...options, out: theirs }), runOptions)

  session.hub.faults.push({ on: 'download', ignoreRange: true, after: opened.requests + 20 })
  const once = join(folder, 'once.gguf')
  assert.equal((await run('hf://tester/long', once)).error?.message, undefined)
  assert.is(session.hub.faults[0]?.times, 0)
  equalBytes(readFileSync(once), readFileSync(theirs), 'ignored once')

  session.hub.reset()
  session.hub.faults.push({ on: 'download', ignoreRange: true, after: opened.requests, times: 999 })
  const out = join(folder, 'out.gguf')
  const ended = await run('hf://tester/long', out)
  assert.is(ended.error?.exit, 5)
  await fails(
    () => Promise.reject(ended.error),
    'hub',
    'and the whole file came',
    'ignores ranges',
    'openllama pull tester/long',
  )
  assert.not.ok(existsSync(out))
  session.hub.reset()
  assert.ok((await run('hf://tester/long', out, true)).result)
  equalBytes(readFileSync(out), readFileSync(theirs), 'resumed')
})

test.run()
