import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openFiles } from '../../src/convert/files.js'
import { joinTurn, shareTurn } from '../../src/convert/turn.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: turn')

const code = `
const { workerData } = require('node:worker_threads')
const { url, turn, state } = workerData
import(url).then(({ joinTurn }) => {
  Atomics.store(state, 0, 1)
  Atomics.notify(state, 0)
  joinTurn(turn).take(() => Atomics.store(state, 0, 2))
})
`

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
  await ended
  assert.equal([...seen, Atomics.load(state, 0)], [1, 2])
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
