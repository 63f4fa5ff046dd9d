import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isLock, type Lock, takeLock } from '../../src/io/lock.js'
import { tempDir } from '../support/temp.js'

const test = suite('io: locks')

async function taken(path: string): Promise<Lock> {
  const lock = await takeLock(path)
  if (!isLock(lock)) throw new Error(`held by ${lock.pid}`)
  return lock
}

test('one at a time; released, the next has it, and nothing else is left', async () => {
  const path = join(tempDir(), 'a.lock')
  const first = await taken(path)
  const second = await takeLock(path)
  assert.not(isLock(second))
  assert.is(isLock(second) ? 0 : second.pid, process.pid)
  assert.is(await first.isHeld(), true)
  await first.release()
  assert.is(await first.isHeld(), false)
  await (await taken(path)).release()
  assert.equal(readdirSync(dirname(path)), [])
})

test('of twenty at once one has it, also where that of a dead process is in the way', async () => {
  for (const dead of [false, true]) {
    const path = join(tempDir(), 'a.lock')
    if (dead) await leaveDead(path)
    const all = await Promise.all(Array.from({ length: 20 }, () => takeLock(path)))
    assert.is(all.filter(isLock).length, 1)
    for (const each of all) if (isLock(each)) assert.ok(await each.isHeld())
    for (const each of all) if (isLock(each)) await each.release()
    assert.equal(readdirSync(dirname(path)), [])
  }
})

test('where there are no hard links', async () => {
  const { link } = fs
  fs.link = async () => {
    throw Object.assign(new Error('EPERM'), { code: 'EPERM' })
  }
  syncBuiltinESMExports()
  try {
    const path = join(tempDir(), 'a.lock')
    await leaveDead(path)
    const all = await Promise.all(Array.from({ length: 5 }, () => takeLock(path)))
    assert.is(all.filter(isLock).length, 1)
    for (const each of all) if (isLock(each)) await each.release()
    assert.equal(readdirSync(dirname(path)), [])
  } finally {
    fs.link = link
    syncBuiltinESMExports()
  }
})

/** A lock of this machine whose process has ended. */
async function leaveDead(path: string): Promise<void> {
  const child = spawn('true')
  await new Promise((resolve) => child.on('close', resolve))
  const lock = await taken(path)
  const content = JSON.parse(readFileSync(path, 'utf8'))
  await lock.release()
  writeFileSync(path, JSON.stringify({ ...content, pid: child.pid }))
}

test('a number that was given out again is not the process that had the lock', async () => {
  const path = join(tempDir(), 'a.lock')
  const first = await taken(path)
  const content = JSON.parse(readFileSync(path, 'utf8'))
  if (content.started === null) {
    console.log('skipped: this system does not say when a process began')
    return
  }
  await first.release()
  writeFileSync(path, JSON.stringify({ ...content, started: '1' }))
  await (await taken(path)).release()
})

test('whose process cannot be asked: its last sign of life counts', async () => {
  for (const content of ['{"host":"another","pid":1,"machine":"x","started":"1"}', '', 'torn{']) {
    const path = join(tempDir(), 'a.lock')
    writeFileSync(path, content)
    assert.not(isLock(await takeLock(path)), content)
    const before = new Date(Date.now() - 41_000)
    utimesSync(path, before, before)
    await (await taken(path)).release()
  }
})

test('a lock that another has by now is not taken away at the release', async () => {
  const path = join(tempDir(), 'a.lock')
  const first = await taken(path)
  writeFileSync(path, 'another')
  assert.is(await first.isHeld(), false)
  await first.release()
  assert.is(readFileSync(path, 'utf8'), 'another')
})

/** Runs `work` while a call to the file system fails. */
async function failing(name: 'readFile' | 'rm', work: () => Promise<void>): Promise<void> {
  const call = fs[name]
  const error = Object.assign(new Error('EIO'), { code: 'EIO' })
  Object.assign(fs, { [name]: () => Promise.reject(error) })
  syncBuiltinESMExports()
  try {
    await work()
  } finally {
    Object.assign(fs, { [name]: call })
    syncBuiltinESMExports()
  }
}

test('a process does not wait for a lock that it has given up and could not take away', async () => {
  for (const call of ['readFile', 'rm'] as const) {
    const path = join(tempDir(), 'a.lock')
    const first = await taken(path)
    await failing(call, () => first.release())
    assert.equal(readdirSync(dirname(path)), ['a.lock'])
    const second = await taken(path)
    // One that it has is another's, still.
    assert.not(isLock(await takeLock(path)))
    await second.release()
    assert.equal(readdirSync(dirname(path)), [])
  }
})

test('a link that was made though an error was told of is no other’s lock', async () => {
  const path = join(tempDir(), 'a.lock')
  const { link } = fs
  let calls = 0
  fs.link = async (from, to) => {
    await link(from, to)
    if (calls++ === 0) throw Object.assign(new Error('EIO'), { code: 'EIO' })
  }
  syncBuiltinESMExports()
  try {
    await (await taken(path)).release()
  } finally {
    fs.link = link
    syncBuiltinESMExports()
  }
  assert.is(calls, 2)
  assert.equal(readdirSync(dirname(path)), [])
})

test.run()
