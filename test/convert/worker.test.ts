import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ConversionWorker,
  startThreadWorker,
  startWorker,
  type Task,
} from '../../src/convert/worker.js'
import { fails } from '../support/errors.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: worker')

const setup = { moves: [], staging: tempDir() }
const workers: Record<string, () => ConversionWorker> = {
  'in this thread': () => startWorker(setup),
  'in a thread of its own': () => startThreadWorker(setup),
}

for (const [where, start] of Object.entries(workers)) {
  test(`${where}: an error keeps its parts`, async () => {
    const worker = start()
    const path = join(tempDir(), 'damaged')
    writeFileSync(path, 'abc')
    const checksums = [{ name: 'the entry "x"', offset: 0, length: 3, crc32: 0 }]
    try {
      const error = await fails(() => worker.run({ kind: 'check', path, checksums }), 'input')
      assert.is(error.path, path)
      assert.is(error.exit, 3)
      assert.is(
        error.message,
        // CRC-32 of "abc", as zlib documents it.
        `${path}: the bytes of the entry "x" have the CRC-32 352441c2, the file says 00000000`,
      )
      assert.equal(error.suggestions, ['Bytes of it were damaged; download it again.'])
    } finally {
      worker.close()
    }
  })
}

test('a thread that ends in the middle of a task, or before one, is told', async () => {
  const threads: Worker[] = []
  const note = (worker: Worker) => threads.push(worker)
  process.on('worker', note)
  const worker = startThreadWorker(setup)
  await setImmediate()
  process.off('worker', note)
  const path = join(tempDir(), 'long')
  writeFileSync(path, '')
  truncateSync(path, 2 ** 40)
  const task: Task = { kind: 'hash', path, checksums: [] }
  const work = worker.run(task)
  for (const thread of threads) setTimeout(() => void thread.terminate(), 100)
  const error = await fails(() => work, 'resources', 'threads', '`resume`')
  assert.is(error.exit, 6)
  await fails(() => worker.run(task), 'resources')
  worker.close()
})

test.run()
