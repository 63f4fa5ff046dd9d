import { existsSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withLock } from '../../src/hub/lock.js'
import type { LockHolder } from '../../src/io/lock.js'
import { fails } from '../support/errors.js'
import { tempDir } from '../support/temp.js'

const test = suite('hub: locks')

const done = async () => 'done'

// After a restart a container's process may have the number of the one that was killed.
for (const [whose, host] of [
  ['a process with our own number', hostname()],
  ['another machine', 'another-machine'],
] as const) {
  test(`a lock of ${whose} that shows no sign of life is nobody's`, async () => {
    const path = join(tempDir(), 'a.lock')
    writeFileSync(path, JSON.stringify({ host, pid: process.pid }))
    assert.is(await withLock(path, undefined, done, undefined, 700), 'done')
    assert.not.ok(existsSync(path))
  })
}

test('a lock that shows signs of life is waited for, and it is said', async () => {
  const path = join(tempDir(), 'b.lock')
  writeFileSync(path, '{"host":"another-machine","pid":1,"machine":"another"}')
  const waited: LockHolder[] = []
  const told = (holder: LockHolder) => waited.push(holder)
  const beat = setInterval(() => utimesSync(path, new Date(), new Date()), 100)
  try {
    await fails(() => withLock(path, AbortSignal.timeout(3500), done, told, 700), 'interrupted')
  } finally {
    clearInterval(beat)
  }
  assert.ok(existsSync(path))
  // Said once, with whom it is for.
  assert.equal(
    waited.map(({ host, pid }) => [host, pid]),
    [['another-machine', 1]],
  )
})

test.run()
