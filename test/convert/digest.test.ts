import { createHash } from 'node:crypto'
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { prepareConversion, runConversion } from '../../src/convert/convert.js'
import { crc32Of, digestBuffer, hashFile } from '../../src/convert/digest.js'
import { fails } from '../support/errors.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'
import { convert } from '../support/tensors.js'

const size = 2 * digestBuffer + 1000
const bytes = Buffer.alloc(size)
for (let i = 0; i < size; i += 4) bytes.writeUInt32LE(Math.imul(i + 1, 2654435761) >>> 0, i)
const path = join(tempDir(), 'bytes')
writeFileSync(path, bytes)

/** CRC-32 as its definition has it: a bit at a time. */
function plainCrc32(range: Uint8Array): number {
  let sum = 0xffffffff
  for (const byte of range) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0)
  }
  return ~sum >>> 0
}

const ranges: readonly (readonly [offset: number, length: number])[] = [
  [0, 1],
  [3, 100_000],
  [200_000, 0],
  [digestBuffer - 5, 10],
  [digestBuffer + 100, digestBuffer + 2],
  [size - 9, 9],
]

test('hashing looks up for signals on the way through a long file', async () => {
  const long = join(tempDir(), 'long')
  const handle = openSync(long, 'w')
  ftruncateSync(handle, 200 * 1024 * 1024)
  closeSync(handle)
  const controller = new AbortController()
  // What a signal's handler does: it runs when the thread looks up, and not before.
  setImmediate(() => controller.abort())
  await fails(() => hashFile(long, [], controller.signal), 'interrupted')
})

test('sums up ranges of a file', async () => {
  assert.is(plainCrc32(Buffer.from('123456789')), 0xcbf43926)
  for (const [offset, length] of ranges) {
    const expected = plainCrc32(bytes.subarray(offset, offset + length))
    assert.is(await crc32Of(path, offset, length), expected, `${length} bytes at ${offset}`)
  }
})

test('holds ranges against their checksums while it hashes', async () => {
  const checksums = ranges.map(([offset, length]) => ({
    name: `range ${offset}`,
    offset,
    length,
    crc32: plainCrc32(bytes.subarray(offset, offset + length)),
  }))
  assert.is(await hashFile(path, checksums), createHash('sha256').update(bytes).digest('hex'))
  for (const [i, checksum] of checksums.entries()) {
    const wrong = checksums.map((right, k) =>
      k === i ? { ...right, crc32: right.crc32 ^ 1 } : right,
    )
    await fails(() => hashFile(path, wrong), 'input', path, checksum.name, 'CRC-32')
  }
})

test('a run that was interrupted among its checksums ends with the same bytes', async () => {
  const source = fixture('pytorch', 'strided.bin')
  const whole = await convert(source, { to: 'pytorch' })
  const out = join(tempDir(), 'out')
  const prepare = () =>
    prepareConversion(source, {
      to: 'pytorch',
      out,
      dtype: 'auto',
      maxShardSize: 5e9,
      maxMemory: 64 * 2 ** 20,
      threads: 1,
    })
  const run = { force: false, allowNonFinite: false, allowOverflow: false, sha256: true }
  const abort = new AbortController()
  let sums = 0
  const interrupted = { ...run, resume: false, signal: abort.signal }
  const onProgress = ({ phase }: { phase: string }) => {
    if (phase === 'verify' && ++sums === 3) abort.abort()
  }
  const first = await prepare()
  await fails(() => runConversion(first, { ...interrupted, onProgress }), 'interrupted')
  const resumed = await runConversion(await prepare(), { ...run, resume: true })
  assert.equal(resumed.target.files, whole.target.files)
  const name = 'pytorch_model.bin'
  assert.ok(readFileSync(join(out, name)).equals(readFileSync(join(whole.out, name))))
})

test.run()
