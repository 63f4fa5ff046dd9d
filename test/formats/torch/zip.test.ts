import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readEntry, readZip, type ZipEntry } from '../../../src/formats/torch/zip.js'
import { layOutZip } from '../../../src/formats/torch/zip-layout.js'
import { type ByteSource, memorySource } from '../../../src/io/source.js'
import { equalBytes } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { type MadeEnd, type MadeEntry, u16, u32, u64, zipOf } from '../../support/zip.js'

const a: MadeEntry = { name: 'model/a', data: Buffer.from('first') }
const b: MadeEntry = { name: 'model/b', data: Buffer.from('second one') }

function read(bytes: Uint8Array): Promise<ZipEntry[]> {
  return readZip(memorySource('made.bin', bytes), 'pytorch')
}

test('locates stored entries', async () => {
  const bytes = zipOf([a, b], { comment: 'a comment PK' })
  const entries = await read(bytes)
  assert.equal(
    entries.map(({ name, offset, size }) => [
      name,
      Buffer.from(bytes.subarray(offset, offset + size)).toString(),
    ]),
    [
      ['model/a', 'first'],
      ['model/b', 'second one'],
    ],
  )
})

test('takes sizes that the local header leaves to a descriptor', async () => {
  const unsaid = { flags: 8, crc32: 0, stored: 0, size: 0 }
  const [entry] = await read(zipOf([{ ...a, local: unsaid, directory: { flags: 8 } }]))
  assert.is(entry?.size, 5)
})

test('an archive without any checksum is one that was written without', async () => {
  const none = { local: { crc32: 0 }, directory: { crc32: 0 } }
  const entries = await read(
    zipOf([
      { ...a, ...none },
      { ...b, ...none },
    ]),
  )
  assert.equal(
    entries.map((entry) => entry.crc32),
    [undefined, undefined],
  )
  const [first] = await read(zipOf([{ ...a, ...none }, b]))
  assert.is(first?.crc32, 0)
})

const length64 = (...values: number[]) => Buffer.concat([u16(1, 8 * values.length), u64(...values)])

const malformed: [what: string, entries: MadeEntry[], end: MadeEnd, ...message: string[]][] = [
  [
    'entries that overlap',
    [a, { ...b, directory: { offset: 10 } }],
    {},
    'the entry "model/b" begins at byte 10',
    'overlap',
  ],
  [
    'two entries in one place',
    [a, { ...b, name: 'model/b', directory: { offset: 0 } }],
    {},
    'overlap',
  ],
  [
    'sizes beyond the file',
    [{ ...a, local: { stored: 5000, size: 5000 }, directory: { stored: 5000, size: 5000 } }],
    {},
    'would end at byte 5037',
    'begins at 42',
  ],
  [
    'sizes beyond any file',
    [
      {
        ...a,
        local: { stored: 0xffffffff, size: 0xffffffff, extra: length64(2 ** 52, 2 ** 52) },
        directory: { stored: 0xffffffff, size: 0xffffffff, extra: length64(2 ** 52, 2 ** 52) },
      },
    ],
    {},
    'the directory of the archive begins',
  ],
  [
    'zip64 sizes that are not there',
    [{ ...a, directory: { stored: 0xffffffff, size: 0xffffffff } }],
    {},
    'lacks the zip64 field',
  ],
  [
    'compressed entries',
    [{ ...a, local: { method: 8 }, directory: { method: 8 } }],
    {},
    '"model/a" is compressed (method 8)',
  ],
  [
    'encrypted entries',
    [{ ...a, local: { flags: 1 }, directory: { flags: 1 } }],
    {},
    '"model/a" is encrypted',
  ],
  ['another size once stored', [{ ...a, directory: { stored: 4 } }], {}, '5 bytes, stored as 4'],
  [
    'headers of two names',
    [{ ...a, local: { name: 'model/x' } }],
    {},
    'the name "model/x" in its own header',
  ],
  [
    'headers of two sizes',
    [{ ...a, local: { size: 4, stored: 4 } }],
    {},
    'the size 4 in its own header and 5',
  ],
  ['headers of two checksums', [{ ...a, local: { crc32: 1 } }], {}, 'the CRC-32 1 in its own'],
  ['headers of two flags', [{ ...a, local: { flags: 8 } }], {}, 'the flags 8 in its own'],
  ['headers of two methods', [{ ...a, local: { method: 8 } }], {}, 'the method 8 in its own'],
  [
    'no header where one should be',
    [{ ...a, local: { signature: 1 } }],
    {},
    'does not begin where the archive',
  ],
  ['a name that leads out', [{ ...a, name: 'model/../../x' }], {}, '"model/../../x"', 'leads out'],
  ['a name from the root', [{ ...a, name: '/etc/passwd' }], {}, 'leads out'],
  ['a name of another system', [{ ...a, name: 'model\\..\\x' }], {}, 'leads out'],
  ['a name with a drive', [{ ...a, name: 'c:/x' }], {}, 'leads out'],
  ['a name with a zero byte', [{ ...a, name: 'model/a\0b' }], {}, 'leads out'],
  ['a name twice', [a, { ...b, name: 'model/a' }], {}, '"model/a" is in the archive twice'],
  ['another count', [a, b], { entries: 3 }, 'has 2 entries, its end record says 3'],
  ['a directory elsewhere', [a], { offset: 7 }, 'it must end at'],
  ['a directory of another length', [a], { length: 1 }, 'it must end at'],
  ['bytes after the directory', [a], { gap: 3 }, 'it must end at'],
]

for (const [what, entries, end, ...message] of malformed) {
  test(`refuses ${what}`, async () => {
    await fails(() => read(zipOf(entries, end)), 'input', 'pytorch: made.bin', ...message)
  })
}

test('refuses an archive that is cut anywhere', async () => {
  const whole = zipOf([a, b])
  for (let length = 0; length < whole.length; length++) {
    await fails(() => read(whole.subarray(0, length)), 'input')
  }
})

test('holds the bytes of an entry against its checksum', async () => {
  const bytes = Buffer.from(zipOf([a]))
  const source = memorySource('made.bin', bytes)
  const [entry] = await readZip(source, 'pytorch')
  assert.ok(entry)
  assert.is(Buffer.from(await readEntry(source, entry, 5, 'pytorch')).toString(), 'first')
  await fails(() => readEntry(source, entry, 4, 'pytorch'), 'input', '5 bytes, at most 4')
  bytes[entry.offset] = 0x46
  await fails(() => readEntry(source, entry, 5, 'pytorch'), 'input', 'CRC-32', '"model/a"')
})

/** The literals of a layout as a file of its full size, which is zero everywhere else. */
function sparse(layout: ReturnType<typeof layOutZip>): ByteSource {
  return {
    path: 'sparse.bin',
    size: layout.size,
    async read(offset, length) {
      assert.ok(offset + length <= layout.size)
      const bytes = new Uint8Array(length)
      for (const literal of layout.literals) {
        const from = Math.max(offset, literal.offset)
        const to = Math.min(offset + length, literal.offset + literal.bytes.length)
        if (from >= to) continue
        const part = literal.bytes.subarray(from - literal.offset, to - literal.offset)
        bytes.set(part, from - offset)
      }
      return bytes
    },
    async close() {},
  }
}

test('lays out entries whose payloads begin at multiples of 64', async () => {
  const layout = layOutZip([
    { name: 'm/data.pkl', bytes: Buffer.from('known') },
    { name: 'm/data/0', size: 100 },
    { name: 'm/a rather long name, so that the padding differs', size: 1 },
    { name: 'm/empty', size: 0 },
  ])
  for (const offset of layout.offsets) assert.is(offset % 64, 0)
  const entries = await readZip(sparse(layout), 'pytorch')
  assert.equal(
    entries.map(({ offset }) => offset),
    layout.offsets,
  )
  // What is known is summed up; what is not is a patch in both headers.
  assert.equal(
    layout.patches?.map(({ of }) => of),
    [1, 2, 3].map((i) => ({ offset: layout.offsets[i], length: entries[i]?.size })),
  )
  const bytes = new Uint8Array(layout.size)
  for (const literal of layout.literals) bytes.set(literal.bytes, literal.offset)
  for (const { at } of layout.patches ?? []) {
    for (const place of at) bytes.set([1, 2, 3, 4], place)
  }
  const patched = await read(bytes)
  assert.equal(
    patched.map(({ crc32 }) => crc32),
    [entries[0]?.crc32, 0x04030201, 0x04030201, 0x04030201],
  )
})

test('lays out zip64 where a size or an offset needs it, and only there', async () => {
  const large = 2 ** 32 + 10
  const layout = layOutZip([
    { name: 'm/small', size: 7 },
    { name: 'm/large', size: large },
    { name: 'm/limit', size: 0xffffffff },
    { name: 'm/far', size: 9 },
  ])
  const entries = await readZip(sparse(layout), 'pytorch')
  assert.equal(
    entries.map(({ name, offset, size }) => [name, offset, size]),
    ['m/small', 'm/large', 'm/limit', 'm/far'].map((name, i) => [
      name,
      layout.offsets[i],
      [7, large, 0xffffffff, 9][i],
    ]),
  )
  const header = (i: number) => Buffer.from(layout.literals[i]?.bytes ?? [])
  // Version 2.0 and plain sizes; version 4.5, both sizes saturated, the field right after the name.
  assert.is(header(0).readUInt16LE(4), 20)
  assert.is(header(0).readUInt32LE(22), 7)
  assert.is(header(1).readUInt16LE(4), 45)
  equalBytes(
    header(1).subarray(18, 26),
    u32(0xffffffff, 0xffffffff),
    'the sizes of a large entry’s own header',
  )
  equalBytes(header(1).subarray(37, 57), length64(large, large), 'its zip64 field')
  const end = header(4)
  // The far entry is of plain size: its field has the offset alone.
  const far = end.indexOf('m/far')
  equalBytes(
    end.subarray(far + 5, far + 17),
    length64((layout.offsets[2] ?? 0) + 0xffffffff),
    'the zip64 field of a far entry',
  )
  assert.is(end.readUInt32LE(end.length - 6), 0xffffffff)
  assert.is(end.readUInt32LE(end.length - 22 - 20), 0x07064b50)
})

test('small archives have no zip64 records', () => {
  const layout = layOutZip([{ name: 'm/small', size: 7 }])
  const end = Buffer.from(layout.literals.at(-1)?.bytes ?? [])
  assert.is(end.indexOf(u32(0x06064b50)), -1)
  assert.is(end.indexOf(u32(0x07064b50)), -1)
})

test('lays out more entries than 16 bits count', async () => {
  const layout = layOutZip(
    Array.from({ length: 66000 }, (_, i) => ({ name: `m/${i}`, bytes: new Uint8Array() })),
  )
  const bytes = new Uint8Array(layout.size)
  for (const literal of layout.literals) bytes.set(literal.bytes, literal.offset)
  assert.is((await read(bytes)).length, 66000)
})

test.run()
