import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { prepareConversion, runConversion } from '../../src/convert/convert.js'
import { openCheckpoint } from '../../src/open/open.js'
import { equalBytes } from '../support/bytes.js'
import { openllama } from '../support/cli.js'
import { convertOptions, makeLargeSource, runOptions } from '../support/conversion.js'
import { failure } from '../support/errors.js'
import { largeFile } from '../support/hub/hub.js'
import { type Session, startSession, useHub } from '../support/hub/session.js'
import type { Model } from '../support/llama.js'
import { makeSparse } from '../support/sparse.js'
import { tempDir, tempDirOnDisk } from '../support/temp.js'

const test = suite('large hf:// sources')

/** 110 MB in bf16: several prefetches, and several workers. */
const model: Model = {
  vocab: 8000,
  hidden: 1024,
  intermediate: 2816,
  layers: 3,
  heads: 16,
  kvHeads: 16,
  headDim: 64,
}

const llama7b: Model = {
  vocab: 32000,
  hidden: 4096,
  intermediate: 11008,
  layers: 32,
  heads: 32,
  kvHeads: 32,
  headDim: 128,
}

let session: Session
let source: string
let size: number

test.before(async () => {
  session = await startSession()
  const made = makeLargeSource(model)
  source = made.source
  const entry = await largeFile(source)
  size = entry.content.size
  await session.hub.commit('tester/large', {
    streaming_params: entry,
    'config.json': readFileSync(join(made.folder, 'in', 'config.json')),
  })
})

test.after(() => session.hub.close())

test.before.each(() => {
  session.hub.reset()
  useHub(session)
})

const options = {
  ...convertOptions,
  to: 'gguf',
  dtype: 'q8_0',
  maxMemory: 64 * 1024 * 1024,
  threads: 2,
  // By default the folder's, and the repository has another.
  name: 'Large',
} as const

test('27 GB are inspected for less than 2 MB', async () => {
  const path = join(tempDirOnDisk(), 'streaming_params')
  const bytes = await makeSparse(path, llama7b, 'f32')
  assert.ok(bytes > 26e9)
  await session.hub.commit('tester/huge', {
    streaming_params: await largeFile(path, 'a'.repeat(64)),
  })
  session.hub.reset()
  const { code, stdout, stderr } = await openllama(
    ['inspect', 'params::hf://tester/huge/streaming_params', '--config', 'open_llama_7b', '--json'],
    { env: session.env },
  )
  assert.is(code, 0, stderr)
  assert.is(JSON.parse(stdout).bytes, JSON.parse(stdout).parameters * 4)
  const sent = session.hub.requests.reduce((sum, request) => sum + request.sent, 0)
  assert.ok(sent < 2e6, String(sent))
  // One for each of its 291 arrays: where the next begins is only known from the one before.
  assert.ok(session.hub.requests.length < 300, String(session.hub.requests.length))
})

test('is converted in bounded memory by several workers, each byte fetched once', async () => {
  const folder = tempDir()
  const [ours, theirs] = [join(folder, 'ours.gguf'), join(folder, 'theirs.gguf')]
  await runConversion(await prepareConversion(source, { ...options, out: theirs }), runOptions)
  const conversion = await prepareConversion('hf://tester/large', { ...options, out: ours })
  assert.ok(conversion.memory <= options.maxMemory, String(conversion.memory))
  await runConversion(conversion, runOptions)
  equalBytes(readFileSync(ours), readFileSync(theirs), 'the output')
  const { sent } = session.hub.count('download')
  assert.ok(sent <= 1.02 * size, `${sent} of ${size}`)
})

test('interrupted, it is resumed without what was written', async () => {
  const folder = tempDir()
  const [ours, theirs] = [join(folder, 'ours.gguf'), join(folder, 'theirs.gguf')]
  await runConversion(await prepareConversion(source, { ...options, out: theirs }), runOptions)
  const aborter = new AbortController()
  const first = await prepareConversion('hf://tester/large', { ...options, out: ours })
  const error = await failure(() =>
    runConversion(first, {
      ...runOptions,
      signal: aborter.signal,
      onProgress: ({ done, total }) => {
        if (done > total / 2) aborter.abort()
      },
    }),
  )
  assert.is(error.code, 'interrupted')
  useHub(session)
  session.hub.reset()
  const second = await prepareConversion('hf://tester/large', { ...options, out: ours })
  await runConversion(second, { ...runOptions, resume: true })
  equalBytes(readFileSync(ours), readFileSync(theirs), 'the output')
  // Half was written; of a prefetch that was not done with, all comes again.
  const { sent } = session.hub.count('download')
  assert.ok(sent < 0.7 * size, `${sent} of ${size}`)
})

test('another commit is not gone on to', async () => {
  const out = join(tempDir(), 'out')
  const aborter = new AbortController()
  const first = await prepareConversion('hf://tester/large', { ...options, out })
  await failure(() =>
    runConversion(first, {
      ...runOptions,
      signal: aborter.signal,
      onProgress: () => aborter.abort(),
    }),
  )
  await session.hub.commit('tester/large', { 'note.txt': 'later' })
  useHub(session)
  const second = await prepareConversion('hf://tester/large', { ...options, out })
  const error = await failure(() => runConversion(second, { ...runOptions, resume: true }))
  assert.is(error.code, 'usage')
  assert.match(error.message, 'of another source')
})

test('a failing Hub ends a conversion with 5, and leaves what can be resumed', async () => {
  const out = join(tempDir(), 'out.gguf')
  session.hub.faults.push({ on: 'download', status: 500, after: 40, times: 99 })
  const conversion = await prepareConversion('hf://tester/large', { ...options, out })
  const error = await failure(() => runConversion(conversion, runOptions))
  assert.is(error.exit, 5, error.message)
  session.hub.reset()
  useHub(session)
  const again = await prepareConversion('hf://tester/large', { ...options, out })
  await runConversion(again, { ...runOptions, resume: true })
  assert.ok((await openCheckpoint(out)).tensors.size > 0)
})

test.run()
