import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient } from '../../src/hub/http.js'
import { type Pulled, type PullOptions, pull, refuseLink } from '../../src/hub/pull/pull.js'
import { listRepository, resolveCommit } from '../../src/hub/repository.js'
import { openRanges } from '../../src/hub/source/ranges.js'
import { openCheckpoint } from '../../src/open/open.js'
import { equalBytes, seeded } from '../support/bytes.js'
import { convert } from '../support/convert.js'
import { fails, failure } from '../support/errors.js'
import type { Fault } from '../support/hub/faults.js'
import { largeBytes } from '../support/hub/hub.js'
import { publishTiny, tinySession, token, useHub } from '../support/hub/session.js'
import { tempDir, tempDirOnDisk } from '../support/temp.js'

const test = suite('faults of the network')

const session = tinySession(test)

const plain: PullOptions = { link: false, force: false, include: [], exclude: [] }

function pullTiny(options: Partial<PullOptions> = {}): Promise<Pulled> {
  return pull('tester/tiny', session.settings, { ...plain, ...options })
}

/** Everything of the repository is in the snapshot, byte for byte, and nothing half is left. */
async function isWhole({ path, files }: Pulled): Promise<void> {
  const [commit] = [...session.hub.repository('tester/tiny').commits.values()].slice(-1)
  assert.is(files.length, commit?.tree.size)
  for (const [name, { content }] of commit?.tree ?? []) {
    equalBytes(readFileSync(join(path, name)), await content.read(0, content.size), name)
    assert.ok(readlinkSync(join(path, name)).startsWith('../../blobs/'), name)
  }
  const blobs = readdirSync(join(path, '..', '..', 'blobs'))
  assert.is(blobs.length, commit?.tree.size, blobs.join(' '))
}

// What passes by itself: the one command ends with everything, and every byte came once.
const passing: [string, Fault[]][] = [
  ['a connection cut within a file', [{ on: 'download', path: '/', cutAfter: 700_000 }]],
  ['cut again and again', [{ on: 'download', cutAfter: 250_000, times: 4 }]],
  ['cut before the first byte', [{ on: 'download', cutAfter: 0, times: 2 }]],
  ['cut within a listing', [{ on: 'tree', cutAfter: 30 }]],
  ['too many requests', [{ on: 'tree', status: 429, headers: { 'Retry-After': '1' } }]],
  ['too many requests at the storage', [{ on: 'download', status: 429, times: 2 }]],
  [
    'a server that fails',
    [
      { on: 'info', status: 500 },
      { on: 'download', status: 503 },
    ],
  ],
  ['a gateway that fails', [{ on: 'resolve', status: 502, times: 3 }]],
  ['a range that is too short', [{ on: 'download', shorten: 900_000, after: 1 }]],
  ['another range than was asked for', [{ on: 'download', shift: 10, times: 1 }]],
  ['a signed address that has expired', [{ on: 'download', status: 403 }]],
  [
    'another version at the storage',
    [
      { on: 'download', cutAfter: 200_000 },
      { on: 'download', etag: '"another"', after: 1 },
    ],
  ],
  ['nothing more comes', [{ on: 'download', stallAfter: 300_000 }]],
  ['no answer comes', [{ on: 'info', delay: 700 }]],
]

for (const [what, faults] of passing) {
  test(`pull: ${what}`, async () => {
    session.hub.faults.push(...faults.map((fault) => ({ ...fault })))
    await isWhole(await pullTiny())
    assert.ok(
      session.hub.faults.every(({ times = 1 }) => times < 1),
      'the fault has happened',
    )
  })
}

test('pull: what does not fit is told before it is fetched, where the cache is not there yet', async () => {
  const huge = largeBytes(new Uint8Array(1000))
  Object.defineProperty(huge.content, 'size', { value: 2 ** 52 })
  await session.hub.commit('tester/huge', { 'huge.bin': huge })
  assert.not.ok(existsSync(session.settings.cache))
  await fails(() => pull('tester/huge', session.settings, plain), 'resources', 'are free')
  assert.is(session.hub.count('resolve', 'download').requests, 0)
})

test('pull: --out must have room for its copies, on another disk or beside the cache', async () => {
  // Memory as a disk: the one that has holes and shares no blocks, whatever the machine.
  if (!existsSync('/dev/shm')) return
  const huge = largeBytes(new Uint8Array(1000))
  huge.content.size = 2 ** 43
  await session.hub.commit('tester/huge', { 'huge.bin': huge })
  // It is in the cache already: a hole of 8 TB, which no disk has room to copy.
  const blobs = join(session.settings.cache, 'models--tester--huge', 'blobs')
  mkdirSync(blobs, { recursive: true })
  const blob = join(blobs, huge.content.sha256)
  writeFileSync(blob, '')
  truncateSync(blob, huge.content.size)
  for (const folder of [tempDir(), tempDirOnDisk()]) {
    // In the way, so that nothing is copied where the check is missing.
    const out = join(folder, 'out')
    mkdirSync(out)
    writeFileSync(join(out, 'huge.bin'), 'other')
    const options = { ...plain, out }
    for (const offline of [false, true]) {
      const settings = { ...session.settings, offline }
      await fails(() => pull('tester/huge', settings, options), 'resources', 'copied', 'are free')
      // Links take none.
      await pull('tester/huge', settings, { ...options, link: true, force: true })
      rmSync(join(out, 'huge.bin'))
      writeFileSync(join(out, 'huge.bin'), 'other')
    }
    assert.equal(
      [...readdirSync(folder), ...readdirSync(out)].filter((name) => name.startsWith('.openllama')),
      [],
    )
  }
})

test('pull: where links cannot be, it says to leave out --link', async () => {
  const refused = Object.assign(new Error('EPERM: operation not permitted'), { code: 'EPERM' })
  const error = await fails(async () => refuseLink('out/x')(refused), 'resources', 'out/x')
  assert.match(error.suggestions.join(), 'Leave out `link`')
  const full = Object.assign(new Error('no space'), { code: 'ENOSPC' })
  assert.throws(() => refuseLink('x')(full), /no space/)
})

test('pull: a cut file is gone on with, not begun again', async () => {
  session.hub.faults.push({
    on: 'download',
    path: sha256Of('streaming_params'),
    cutAfter: 1_000_000,
  })
  await isWhole(await pullTiny())
  const path = sha256Of('streaming_params')
  const ranges = session.hub.requests.flatMap(({ kind, url, range = '' }) =>
    kind === 'download' && url.includes(path) ? [range] : [],
  )
  // What was on the way when the connection was cut is lost.
  const [, from] = /^bytes=(\d+)-/.exec(ranges[1] ?? '') ?? []
  assert.is(ranges.length, 2)
  assert.ok(Number(from) > 500_000 && Number(from) <= 1_000_000, from)
})

test('pull: after Retry-After, and not before', async () => {
  session.hub.faults.push({ on: 'info', status: 429, headers: { 'Retry-After': '1' } })
  const start = performance.now()
  await pullTiny()
  assert.ok(performance.now() - start >= 1000)
})

test('pull: a range that is ignored is skipped to', async () => {
  session.hub.faults.push(
    { on: 'download', path: sha256Of('streaming_params'), cutAfter: 1_000_000 },
    { on: 'download', path: sha256Of('streaming_params'), ignoreRange: true },
  )
  await isWhole(await pullTiny())
})

test('pull: damaged bytes are fetched anew', async () => {
  session.hub.faults.push({ on: 'download', path: sha256Of('streaming_params'), corrupt: true })
  await isWhole(await pullTiny())
})

// What does not: a clear message, exit 5; the same command completes later.
const lasting: [string, Fault, string[]][] = [
  ['damaged bytes', { on: 'download', corrupt: true, times: 9 }, ['SHA-256', 'damaged']],
  ['damaged small files', { on: 'resolve', corrupt: true, path: '.json', times: 9 }, ['git blob']],
  ['a wrong hash', { on: 'resolve', path: 'streaming', etag: `"${'0'.repeat(64)}"` }, ['ETag']],
  [
    'a token that has expired',
    {
      on: 'resolve',
      status: 401,
      headers: {
        'X-Error-Message': 'Invalid credentials in Authorization header',
      },
      times: 9,
      after: 2,
    },
    ['401', 'HF_TOKEN'],
  ],
  ['no access', { on: 'tree', status: 403 }, ['403', 'permission']],
  ['not there', { on: 'info', status: 404 }, ['404', 'names']],
  ['not accepted', { on: 'tree', status: 422 }, ['422']],
  [
    'too much patience is asked',
    { on: 'info', status: 429, headers: { 'Retry-After': '9999' } },
    ['429', 'wait'],
  ],
  [
    'round and round',
    { on: 'info', redirect: '/api/models/tester/tiny/revision/main', times: 99 },
    ['elsewhere'],
  ],
  ['to nowhere', { on: 'info', redirect: 'http://[' }, ['no address of the web']],
  ['to a file', { on: 'tree', redirect: 'file:///etc/passwd' }, ['no address of the web']],
  ['of a file, to nowhere', { on: 'resolve', redirect: 'http://[' }, ['no address of the web']],
  ['by name', { on: 'tree', redirect: `https://me:${token}@x.org` }, ['password in it']],
  ['of a file, by name', { on: 'resolve', redirect: `https://${token}@x.org` }, ['password']],
]

for (const [what, fault, parts] of lasting) {
  test(`pull: ${what} ends it, and the next one completes`, async () => {
    session.hub.faults.push({ ...fault })
    const error = await fails(pullTiny, 'hub', ...parts)
    assert.is(error.exit, 5)
    assert.not.ok(`${error.message}${error.suggestions}`.includes(token))
    session.hub.reset()
    await isWhole(await pullTiny())
  })
}

test('pull: cut at random points, 50 runs; what has arrived does not come again', async () => {
  const next = seeded(7)
  const total = await totalSize()
  for (let run = 0; run < 50; run++) {
    rmSync(session.settings.cache, { recursive: true, force: true })
    session.hub.reset()
    // So many cuts that this run gives up; the clean one after it completes.
    const cut = next() % session.weights.length
    const path = sha256Of('streaming_params')
    session.hub.faults.push({ on: 'download', path, cutAfter: cut })
    session.hub.faults.push({ on: 'resolve', path: 'streaming_params', status: 401, after: 1 })
    session.hub.faults.push({ on: 'download', path, status: 403 })
    const error = await failure(pullTiny)
    assert.is(error.exit, 5, error.message)
    const before = arrived()
    session.hub.reset()
    const pulled = await pullTiny()
    await isWhole(pulled)
    assert.is(pulled.fetched + before, total, `cut at ${cut}`)
  }
})

test('pull: two at once fetch everything once', async () => {
  const [one, other] = await Promise.all([pullTiny(), pullTiny()])
  await isWhole(one)
  assert.is(one.fetched + other.fetched, await totalSize())
})

test('pull: interrupted, it goes on where it was', async () => {
  const aborter = new AbortController()
  const error = await failure(() =>
    pullTiny({
      signal: aborter.signal,
      onProgress: (done) => {
        if (done > 600_000) aborter.abort()
      },
    }),
  )
  assert.is(error.code, 'interrupted')
  const before = arrived()
  assert.ok(before > 0)
  const pulled = await pullTiny()
  assert.is(pulled.fetched + before, await totalSize())
})

test('pull: interrupted while nothing comes, it ends at once', async () => {
  session.hub.faults.push({ on: 'download', stallAfter: 300_000, times: 9 })
  const aborter = new AbortController()
  let aborted = 0
  const settings = { ...session.settings, patience: 20_000 }
  const error = await failure(() =>
    pull('tester/tiny', settings, {
      ...plain,
      signal: aborter.signal,
      onProgress: () => {
        if (aborted > 0) return
        aborted = performance.now() + 200
        setTimeout(() => aborter.abort(), 200)
      },
    }),
  )
  const took = performance.now() - aborted
  assert.is(error.code, 'interrupted')
  assert.ok(aborted > 0 && took < 2000, `${took} ms after it was interrupted`)
})

test('what is larger than one request may ask for comes in several', async () => {
  const { client, listing, file } = await listed('tester/tiny', 'streaming_params')
  const parts: Uint8Array[] = []
  await openRanges(client, listing, file, 400_000).read(100, file.size - 100, (bytes) => {
    parts.push(bytes.slice())
  })
  equalBytes(Buffer.concat(parts), session.weights.subarray(100), 'the ranges')
  assert.equal(asked().slice(0, 2), ['bytes=100-400099', 'bytes=400100-800099'])
  assert.is(asked().length, Math.ceil((file.size - 100) / 400_000))
})

test('a file of 60 GB is not asked for in one request, which the Hub’s storage refuses', async () => {
  const huge = largeBytes(new Uint8Array(1000))
  huge.content.size = 60e9
  huge.content.read = async (start, end) => new Uint8Array(end - start)
  await session.hub.commit('tester/huge', { 'huge.bin': huge })
  const { client, listing, file } = await listed('tester/huge', 'huge.bin')
  const aborter = new AbortController()
  await failure(() =>
    openRanges(client, listing, file).read(0, file.size, () => aborter.abort(), aborter.signal),
  )
  assert.equal(asked(), ['bytes=0-15999999999'])
})

/** A file as a listing has it. */
async function listed(repo: string, path: string) {
  const client = createClient(session.settings)
  const listing = await listRepository(client, repo, await resolveCommit(client, repo, 'main'))
  const file = listing.files.get(path)
  if (file === undefined) throw new Error(`there is no ${path}`)
  return { client, listing, file }
}

/** The ranges that the storage was asked for. */
function asked(): (string | undefined)[] {
  return session.hub.requests.flatMap(({ kind, range }) => (kind === 'download' ? [range] : []))
}

for (const [what, faults] of [
  ['cuts', [{ on: 'download', cutAfter: 30_000, times: 5, after: 18 }]],
  ['stalls', [{ on: 'download', stallAfter: 10_000, after: 18 }]],
  ['ignored ranges', [{ on: 'download', ignoreRange: true, times: 3, after: 17 }]],
  ['other ranges than were asked for', [{ on: 'download', shift: 64, times: 3, after: 18 }]],
  ['ranges that are too short', [{ on: 'download', shorten: 9000, times: 3, after: 18 }]],
  ['other versions', [{ on: 'download', etag: '"another"', times: 3, after: 18 }]],
  ['busy servers', [{ on: 'download', status: 503, times: 4, after: 18 }]],
  ['expired addresses', [{ on: 'download', status: 403, times: 2, after: 18 }]],
] satisfies [string, Fault[]][]) {
  test(`convert: ${what} do not change what comes out`, async () => {
    const folder = tempDir()
    const options = { to: 'gguf', dtype: 'q4_k_m' } as const
    await convert('hf://tester/tiny', join(folder, 'a.gguf'), options)
    useHub(session)
    session.hub.reset()
    session.hub.faults.push(...faults)
    await convert('hf://tester/tiny', join(folder, 'b.gguf'), options)
    assert.ok(
      faults.every(({ times = 1 }: Fault) => times < 1),
      'the faults have happened',
    )
    equalBytes(readFileSync(join(folder, 'b.gguf')), readFileSync(join(folder, 'a.gguf')), what)
  })
}

test('convert: a repository that changes is read as it was', async () => {
  await publishTiny(session.hub, 'tester/changing')
  const checkpoint = await openCheckpoint('hf://tester/changing')
  await session.hub.commit('tester/changing', { streaming_params: largeBytes(new Uint8Array(5)) })
  const again = await openCheckpoint(`hf://tester/changing@${checkpoint.origin?.commit}`)
  assert.is(again.files[0]?.size, session.weights.length)
})

function sha256Of(path: string): string {
  const { commits } = session.hub.repository('tester/tiny')
  const tree = [...commits.values()].at(-1)?.tree
  return tree?.get(path)?.content.sha256 ?? ''
}

async function totalSize(): Promise<number> {
  const { commits } = session.hub.repository('tester/tiny')
  const tree = [...commits.values()].at(-1)?.tree ?? new Map()
  return [...tree.values()].reduce((sum, { content }) => sum + content.size, 0)
}

/** Bytes in the cache, whole or not. */
function arrived(): number {
  const blobs = join(session.settings.cache, 'models--tester--tiny', 'blobs')
  if (!existsSync(blobs)) return 0
  return readdirSync(blobs).reduce((sum, name) => sum + statSync(join(blobs, name)).size, 0)
}

test.run()
