import { mkdtempSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KnownFile, stampOf } from '../../../src/hub/push/known-file.js'
import { hashesOf } from '../../../src/hub/stand-ins.js'
import { equalBytes, sha256 } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { noise } from '../../support/hub/folder.js'
import { tempDir } from '../../support/temp.js'

const test = suite('known files')

const bytes = noise(1, 300_000)
const path = join(mkdtempSync(join(tempDir(), 'a')), 'weights')
writeFileSync(path, bytes)

const stamp = await stampNow(path)

async function stampNow(path: string): Promise<string> {
  const handle = await open(path)
  try {
    return await stampOf(handle)
  } finally {
    await handle.close()
  }
}

async function readAll(blob: Blob): Promise<Uint8Array> {
  return new Uint8Array(await new Response(blob.stream()).arrayBuffer())
}

test('what is hashed is a stand-in, by which the hash is found again', async () => {
  const file = new KnownFile(path, bytes.length, sha256(bytes), stamp, () => {})
  assert.is(file.size, bytes.length)
  const hashed = await readAll(file)
  assert.ok(hashed.length < 200, 'the file is not read for it')
  const hashes = hashesOf([sha256(bytes)])
  assert.is(hashes.real(sha256(hashed)), sha256(bytes))
  assert.is(hashes.standIn(sha256(bytes)), sha256(hashed))
  assert.is(hashes.real('0'.repeat(64)), '0'.repeat(64))
})

test('slices give the bytes, and tell how many; a second try takes them back', async () => {
  let told = 0
  const file = new KnownFile(path, bytes.length, sha256(bytes), stamp, (n) => {
    told += n
  })
  const slice = file.slice(1000, 250_000)
  assert.is(slice.size, 249_000)
  equalBytes(await readAll(slice), bytes.subarray(1000, 250_000), 'slice')
  assert.is(told, 249_000)
  const reader = slice.stream().getReader()
  await reader.read()
  assert.is(told, 64 * 1024)
  await slice.end(false)
  assert.is(told, 0)
  assert.is(file.slice(299_000, 400_000).size, 1000)
  equalBytes(new Uint8Array(await file.arrayBuffer()), bytes, 'all')
  assert.is(told, 0)
})

test('a file that became shorter is an error, and not zeros', async () => {
  const file = new KnownFile(path, bytes.length + 1, sha256(bytes), stamp, () => {})
  try {
    await readAll(file.slice())
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), 'shorter')
  }
})

test('a file that changed after it was hashed is not sent: before, while, and at the end', async () => {
  const changing = join(mkdtempSync(join(tempDir(), 'b')), 'weights')
  const change = () => {
    const { atime, mtime } = statSync(changing)
    writeFileSync(changing, noise(2, bytes.length))
    // The time of the content is set back, as rsync and others do it.
    utimesSync(changing, atime, mtime)
  }
  const fresh = async () => {
    writeFileSync(changing, bytes)
    const now = await stampNow(changing)
    return new KnownFile(changing, bytes.length, sha256(bytes), now, () => {})
  }
  const before = await fresh()
  change()
  await fails(() => readAll(before.slice()), 'input', changing, 'changed')
  await fails(() => before.arrayBuffer(), 'input', changing, 'changed')
  assert.ok(before.failure)
  for (const end of [bytes.length, 200_000]) {
    const file = await fresh()
    const reader = file.slice(0, end).stream().getReader()
    let sent = (await reader.read()).value?.length ?? 0
    change()
    await fails(
      async () => {
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
          sent += next.value.length
        }
      },
      'input',
      changing,
      'changed',
    )
    assert.ok(sent < end, 'the last bytes are kept back')
  }
})

test('who stops reading is not told that the file is at fault', async () => {
  const small = bytes.subarray(0, 1000)
  const whole = join(mkdtempSync(join(tempDir(), 'c')), 'weights')
  writeFileSync(whole, small)
  const now = await stampNow(whole)
  // Stopped at every moment from its opening to its last look.
  for (let turns = 0; turns < 40; turns++) {
    const file = new KnownFile(whole, small.length, sha256(small), now, () => {})
    const slice = file.slice()
    const reading = slice.stream().getReader().read()
    for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
    await slice.end(false)
    await Promise.race([reading.catch(() => {}), setTimeout(20)])
    assert.is(file.failure, undefined, `after ${turns} turns: ${file.failure}`)
    equalBytes(await readAll(slice), small, 'the next try')
  }
})

test('content of another hash is not sent, though nothing seems to have changed', async () => {
  const file = new KnownFile(path, bytes.length, '0'.repeat(64), stamp, () => {})
  await fails(() => readAll(file.slice()), 'input', path, 'another file')
  await fails(() => file.arrayBuffer(), 'input', path, 'another file')
})

test.run()
