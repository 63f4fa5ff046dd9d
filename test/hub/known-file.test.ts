import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KnownFile } from '../../src/hub/known-file.js'
import { hashesOf } from '../../src/hub/stand-ins.js'
import { equalBytes, sha256 } from '../support/bytes.js'
import { noise } from '../support/hub/folder.js'
import { tempDir } from '../support/temp.js'

const test = suite('known files')

const bytes = noise(1, 300_000)
const path = join(mkdtempSync(join(tempDir(), 'a')), 'weights')
writeFileSync(path, bytes)

async function readAll(blob: Blob): Promise<Uint8Array> {
  return new Uint8Array(await new Response(blob.stream()).arrayBuffer())
}

test('what is hashed is a stand-in, by which the hash is found again', async () => {
  const file = new KnownFile(path, bytes.length, sha256(bytes), () => {})
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
  const file = new KnownFile(path, bytes.length, sha256(bytes), (n) => {
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
  const file = new KnownFile(path, bytes.length + 1, sha256(bytes), () => {})
  try {
    await readAll(file.slice())
    assert.unreachable()
  } catch (error) {
    assert.match(String(error), 'shorter')
  }
})

test.run()
