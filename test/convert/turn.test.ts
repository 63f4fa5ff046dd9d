import { writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import threads, { Worker, type WorkerOptions } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { execute } from '../../src/convert/execute.js'
import { openFiles } from '../../src/convert/files.js'
import { joinTurn, shareTurn } from '../../src/convert/turn.js'
import { executeOptions, makeSource, prepare } from '../support/conversion.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: turn')

const code = `
const { workerData } = require('node:worker_threads')
const { url, turn, state } = workerData
import(url).then(({ joinTurn }) => {
  Atomics.store(state, 0, 1)
  Atomics.notify(state, 0)
  joinTurn(turn).take(() => Atomics.store(state, 0, 2))
  Atomics.notify(state, 0)
})
`

/** Whoever waits in vain takes his turn after a second: a test that goes well needs far less. */
const soon = 500

test('while one thread has its turn, no other writes', async () => {
  const turn = shareTurn()
  const state = new Int32Array(new SharedArrayBuffer(4))
  const url = new URL('../../src/convert/turn.js', import.meta.url).href
  const worker = new Worker(code, { eval: true, workerData: { url, turn, state } })
  const ended = new Promise((resolve) => worker.once('exit', resolve))
  // It begins while the turn is taken here, and is given time to go wrong.
  const seen: number[] = []
  await setTimeout(0)
  joinTurn(turn).take(() => {
    Atomics.wait(state, 0, 0, 30_000)
    Atomics.wait(state, 0, 1, 200)
    seen.push(Atomics.load(state, 0))
  })
  const released = performance.now()
  Atomics.wait(state, 0, 1, 30_000)
  const waited = performance.now() - released
  await ended
  assert.equal([...seen, Atomics.load(state, 0)], [1, 2])
  assert.ok(waited < soon, `the other was told ${waited} ms after the turn was free`)
})

test('a turn ends with its work, also where that fails', () => {
  const turn = shareTurn()
  const fault = new Error('no space')
  const start = performance.now()
  for (const { take } of [joinTurn(turn), joinTurn(turn)]) {
    assert.throws(
      () =>
        take(() => {
          throw fault
        }),
      (error: unknown) => error === fault,
    )
    take(() => {})
  }
  const took = performance.now() - start
  assert.ok(took < soon, `${took} ms`)
})

test('the workers of a conversion share one turn', async () => {
  const given: unknown[] = []
  const { Worker: Started } = threads
  threads.Worker = class extends Started {
    constructor(url: string | URL, options?: WorkerOptions) {
      given.push(Reflect.get(Object(options?.workerData), 'turn'))
      super(url, options)
    }
  }
  syncBuiltinESMExports()
  try {
    const { plan } = await prepare(makeSource(), { dtype: 'f16' })
    // As large as what threads are started for.
    await execute({ ...plan, bytes: 2 ** 26 }, tempDir(), { ...executeOptions, threads: 3 })
  } finally {
    threads.Worker = Started
    syncBuiltinESMExports()
  }
  assert.is(given.length, 3)
  assert.instance(given[0], SharedArrayBuffer)
  for (const each of given) assert.is(each, given[0])
})

test('bytes of an output are written in a turn, and only then', () => {
  const folder = tempDir()
  writeFileSync(join(folder, 'a'), 'old')
  const held: (() => void)[] = []
  const files = openFiles(folder, { take: (work) => held.push(work) })
  const read = () => {
    const into = new Uint8Array(3)
    files.reread('a', 0, into)
    return Buffer.from(into).toString()
  }
  files.write('a', 0, Buffer.from('new'))
  assert.is(read(), 'old')
  assert.is(held.length, 1)
  for (const work of held) work()
  assert.is(read(), 'new')
  files.close()
})

test.run()
