import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { SourceFile } from '../../src/checkpoint/checkpoint.js'
import { type Tensor, wholePart } from '../../src/checkpoint/tensor.js'
import type { Prefetch } from '../../src/convert/prefetch.js'
import { ContentError, openVerifier } from '../../src/convert/verifier.js'
import { checkRange } from '../../src/io/source.js'
import { registerStore } from '../../src/io/store.js'
import { seeded, sha256 } from '../support/bytes.js'
import { failure } from '../support/errors.js'

const test = suite('convert: verifier')

const next = seeded(5)
const content = Uint8Array.from({ length: 1000 }, () => next() & 0xff)

registerStore('far', async () => ({
  resolve: async (path) => path,
  look: async () => undefined,
  list: async () => [],
  open: async (path) => ({
    path,
    size: content.length,
    sha256: sha256(content),
    async read(offset, length) {
      checkRange(path, content.length, offset, length)
      return content.slice(offset, offset + length)
    },
    readInto: () => Promise.reject(new Error('gaps are small')),
    close: async () => {},
  }),
  bring: () => Promise.reject(new Error('nothing is brought')),
  origin: () => ({ repository: '', commit: '' }),
}))

/** A prefetch of all of a vector of f32. */
function prefetchAt(offset: number, values: number, path = 'far://a'): Prefetch {
  const shape = [values]
  const bytes = 4 * values
  const source: Tensor = {
    name: `${path} ${offset}`,
    storedName: '',
    dtype: 'f32',
    shape,
    layout: { transposed: false },
    parts: [wholePart(shape, [{ path, offset, length: bytes }])],
  }
  const region = { row: 0, column: 0, rows: 1, columns: values }
  return { source, region, bytes, tiles: [{ move: 0, tile: region }] }
}

const file: SourceFile = { path: 'far://a', size: content.length, sha256: sha256(content) }
const all = (prefetches: readonly Prefetch[]) => new Map(prefetches.map((_, i) => [i, 1]))

function why(
  files: SourceFile[],
  prefetches: Prefetch[],
  wanted = all(prefetches),
): string | undefined {
  return openVerifier(files, prefetches, wanted).unverified.get('far://a')
}

function bytesAt(offset: number, values: number): Uint8Array {
  return content.slice(offset, offset + 4 * values)
}

test('sums up what passes and what is between; the last prefetch tells', async () => {
  for (const damaged of [undefined, 100, 399, 694]) {
    const prefetches = [prefetchAt(100, 75), prefetchAt(403, 73), prefetchAt(800, 10)]
    const verifier = openVerifier([file], prefetches, all(prefetches))
    assert.is(verifier.unverified.size, 0)
    const passed = prefetches.map(({ source, bytes }) =>
      bytesAt(source.parts[0]?.extents[0]?.offset ?? 0, bytes / 4),
    )
    const work = async () => {
      for (const [i, prefetch] of prefetches.entries()) {
        const bytes = passed[i] ?? new Uint8Array()
        const from = prefetch.source.parts[0]?.extents[0]?.offset ?? 0
        const at = (damaged ?? -1) - from
        if (at >= 0 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ 1
        await verifier.add(prefetch, bytes)
      }
    }
    if (damaged === undefined) await work()
    else {
      const error = await failure(work)
      assert.ok(error instanceof ContentError)
      assert.is(error.exit, 5)
      assert.match(error.message, `the Hub says ${sha256(content)}`)
    }
  }
})

test('claims nothing where it cannot know', () => {
  const prefetches = [prefetchAt(100, 50), prefetchAt(300, 50)]
  assert.is(why([file], prefetches), undefined)
  assert.match(why([file], prefetches, new Map([[1, 1]])) ?? '', 'earlier run')
  assert.match(why([file], prefetches, new Map()) ?? '', 'earlier run')
  assert.match(why([file], [...prefetches].reverse()) ?? '', 'in their order')
  assert.match(why([file], [prefetchAt(100, 50), prefetchAt(200, 50)]) ?? '', 'in their order')
  assert.match(why([{ path: file.path, size: file.size }], prefetches) ?? '', 'no SHA-256')
  assert.match(why([{ ...file, size: 17e6 }], prefetches) ?? '', 'not needed')
  assert.match(why([{ ...file, size: 17e6 }], []) ?? '', 'not needed')
})

test('files come beside each other, each in its own order; those of this machine are not its matter', () => {
  const prefetches = [
    prefetchAt(0, 10),
    prefetchAt(0, 10, 'far://b'),
    prefetchAt(40, 10),
    prefetchAt(40, 10, 'far://b'),
  ]
  const others = [file, { ...file, path: 'far://b' }, { path: '/tmp/here', size: 5e9 }]
  assert.is(openVerifier(others, prefetches, all(prefetches)).unverified.size, 0)
})

test.run()
