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

test.run()
