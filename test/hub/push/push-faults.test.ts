import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PushOptions, push } from '../../../src/hub/push/push.js'
import type { HubSettings } from '../../../src/hub/settings.js'
import { OpenLlamaError } from '../../../src/io/errors.js'
import { equalBytes, sha256 } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { gitOid } from '../../support/hub/content.js'
import type { Fault, Kind } from '../../support/hub/faults.js'
import { modelFolder, noise, plainPush } from '../../support/hub/folder.js'
import { type Session, startSession, token } from '../../support/hub/session.js'

const test = suite('push: faults')

let session: Session
let settings: HubSettings
let count = 0

test.before(async () => {
  session = await startSession()
  settings = { ...session.settings, patience: 400, firstWait: 2 }
  session.hub.multipartAbove = 100_000
  session.hub.partSize = 40_000
})

test.after(() => session.hub.close())

test.before.each(() => session.hub.reset())

const pushTo = (folder: string, repo: string, options: Partial<PushOptions> = {}) =>
  push(folder, repo, settings, { ...plainPush, create: true, ...options })

const fresh = () => `tester/faulty-${++count}`

/** What the Hub has is what the folder has. */
async function isWhole(repo: string, folder: string, ref = 'refs/heads/main') {
  const repository = session.hub.repository(repo)
  const commit = repository.commits.get(repository.refs.get(ref) ?? '')
  assert.ok(commit, `${repo} ${ref}`)
  assert.ok(commit.tree.size > 1, `${repo} has nothing`)
  for (const [path, { content }] of commit.tree) {
    if (path === '.gitattributes') continue
    equalBytes(await content.read(0, content.size), readFileSync(join(folder, path)), path)
  }
}

/** Large files and parts of these files that the storage took, by what they are. */
function taken(weights: readonly Uint8Array[]): Map<string, number> {
  const hashes = weights.map(sha256)
  const times = new Map<string, number>()
  for (const { kind, url, status } of session.hub.requests) {
    const [path = ''] = url.split('?')
    if (status !== 200 || !hashes.some((hash) => path.includes(hash))) continue
    if (kind !== 'upload' && kind !== 'part') continue
    const part = /part=(\d+)/.exec(url)?.[1] ?? ''
    times.set(`${path} ${part}`, (times.get(`${path} ${part}`) ?? 0) + 1)
  }
  return times
}

/** A generator of numbers below `limit`, the same for a seed on every machine. */
function numbers(seed: number): (limit: number) => number {
  let state = (seed * 2654435761) >>> 0
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

const cuttable: readonly Kind[] = [
  'upload',
  'part',
  'part',
  'part',
  'complete',
  'batch',
  'preupload',
  'commit',
  'create',
  'tree',
  'info',
  'whoami',
  'validate-yaml',
]

for (let seed = 1; seed <= 50; seed++) {
  const random = numbers(seed)
  const kind = cuttable[random(cuttable.length)] ?? 'upload'
  const small = random(60_000) + 1000
  const large = random(300_000) + 110_000
  const cut = random(kind === 'part' ? 40_000 : kind === 'upload' ? small : 150)
  const after = random(kind === 'part' ? 5 : 2)
  const times = [1, 2, 5, 40][random(4)] ?? 1
  const harm = random(3) === 0 ? ({ cutAnswer: true } as const) : { cutAfter: cut }
  const how = 'cutAnswer' in harm ? 'before the answer' : `after ${cut} bytes`
  test(`seed ${seed}: ${kind} ${after + 1} is cut ${how}, ${times} times`, async () => {
    const weights = [noise(seed, large), noise(seed + 100, small)] as const
    const folder = modelFolder({ 'large.safetensors': weights[0], 'small.gguf': weights[1] })
    const repo = fresh()
    const fault: Fault = { on: kind, after, times, ...harm }
    session.hub.faults.push(fault)
    let ended = true
    try {
      await pushTo(folder, repo)
      await isWhole(repo, folder)
    } catch (error) {
      ended = false
      assert.instance(error, OpenLlamaError, String(error))
      if (!(error instanceof OpenLlamaError)) return
      assert.is(error.exit, 5, error.message)
      assert.ok(error.suggestions.length > 0, error.message)
    }
    if (times < 5) assert.ok(ended, 'a few cuts are got over')
    session.hub.faults.length = 0
    await pushTo(folder, repo)
    await isWhole(repo, folder)
    // One that made the repository, one that has all.
    assert.is(session.hub.repository(repo).commits.size, 2)
    for (const [what, n] of taken(weights)) {
      // Where the answer is lost, who sends cannot know that it arrived.
      const most = 'cutAnswer' in harm && (kind === 'part' || kind === 'upload') ? 8 : 1
      assert.ok(n <= most, `${what} arrived ${n} times`)
    }
  })
}

for (const kind of ['upload', 'part', 'batch', 'commit', 'tree', 'preupload'] as const) {
  test(`429 with Retry-After of ${kind} is waited for`, async () => {
    const folder = modelFolder({
      'a.gguf': noise(1000 + count, 150_000),
      'b.gguf': noise(count, 900),
    })
    const repo = fresh()
    session.hub.faults.push({ on: kind, status: 429, headers: { 'Retry-After': '1' } })
    const start = performance.now()
    await pushTo(folder, repo)
    assert.ok(performance.now() - start >= 990)
    await isWhole(repo, folder)
  })

  test(`500 of ${kind}: a few are got over, many are told, and then it goes on`, async () => {
    const weights = [noise(2000 + count, 150_000), noise(3000 + count, 900)] as const
    const folder = modelFolder({ 'a.gguf': weights[0], 'b.gguf': weights[1] })
    const repo = fresh()
    session.hub.faults.push({ on: kind, status: 500, body: 'oh dear', times: 2 })
    await pushTo(folder, repo)
    await isWhole(repo, folder)

    const other = fresh()
    session.hub.objects.clear()
    session.hub.reset()
    session.hub.faults.push({ on: kind, status: 500, body: 'oh dear', times: 1000 })
    await fails(() => pushTo(folder, other), 'hub', '500', 'oh dear', 'again')
    session.hub.faults.length = 0
    await pushTo(folder, other)
    await isWhole(other, folder)
    for (const [what, n] of taken(weights)) assert.is(n, 1, what)
  })
}

test('a token that expires halfway: 401, what to do; with another one only the rest is sent', async () => {
  const weights = noise(51, 150_000)
  const folder = modelFolder({ 'a.gguf': weights })
  const repo = fresh()
  session.hub.faults.push({
    on: 'commit',
    status: 401,
    headers: { 'X-Error-Message': 'Invalid credentials in Authorization header' },
    body: '{"error":"Invalid credentials in Authorization header"}',
  })
  const error = await fails(() => pushTo(folder, repo), 'hub', '401', 'HF_TOKEN')
  assert.not.ok(JSON.stringify(error).includes(token))
  assert.is(session.hub.count('commit').requests, 1)
  session.hub.reset()
  await pushTo(folder, repo)
  await isWhole(repo, folder)
  assert.is(session.hub.count('upload', 'part').requests, 0)
})

for (const [status, todo] of [
  [401, 'HF_TOKEN'],
  [403, 'permission'],
  [404, 'names'],
  [422, 'does not accept'],
] as const) {
  test(`${status} stops at once`, async () => {
    const folder = modelFolder({ 'a.gguf': noise(60 + status, 900) })
    session.hub.faults.push({ on: 'batch', status, body: 'no', times: 99 })
    await fails(() => pushTo(folder, fresh()), 'hub', status, todo)
    assert.is(session.hub.count('batch').requests, 1)
  })
}

for (const kind of ['upload', 'part', 'batch', 'commit'] as const) {
  test(`nothing is taken of ${kind} any more: given up, tried again, told`, async () => {
    const weights = [noise(70 + count, 150_000), noise(71 + count, 5000)] as const
    const folder = modelFolder({ 'a.gguf': weights[0], 'b.gguf': weights[1] })
    const repo = fresh()
    session.hub.faults.push({ on: kind, stallAfter: 1, times: 1 })
    await pushTo(folder, repo)
    await isWhole(repo, folder)
    const other = fresh()
    session.hub.objects.clear()
    session.hub.reset()
    session.hub.faults.push({ on: kind, stallAfter: 1, times: 1000 })
    const hasty = { ...settings, patience: 60 }
    await fails(
      () => push(folder, other, hasty, { ...plainPush, create: true }),
      'hub',
      'no answer',
      'again',
    )
    session.hub.faults.length = 0
    await pushTo(folder, other)
    await isWhole(other, folder)
  })
}

test('bytes that are damaged on the way are not taken, and not believed', async () => {
  const folder = modelFolder({ 'a.gguf': noise(81, 5000), 'b.gguf': noise(82, 150_000) })
  const repo = fresh()
  session.hub.faults.push({ on: 'upload', corrupt: true })
  await fails(() => pushTo(folder, repo), 'hub', '400', 'SHA-256')
  await pushTo(folder, repo)
  await isWhole(repo, folder)
})

test('a part that is damaged on the way: its upload is begun anew', async () => {
  const folder = modelFolder({ 'b.gguf': noise(83, 150_000) })
  const repo = fresh()
  session.hub.faults.push({ on: 'part', corrupt: true })
  await pushTo(folder, repo)
  await isWhole(repo, folder)
  assert.is(session.hub.count('batch').requests, 2)
})

for (const kind of ['part', 'complete'] as const) {
  test(`400 to every ${kind} but the first: told after some tries, whatever arrives`, async () => {
    const folder = modelFolder({ 'b.gguf': noise(86, 150_000) })
    session.hub.faults.push({
      on: kind,
      status: 400,
      after: kind === 'part' ? 1 : 0,
      times: 1000,
      body: 'no',
    })
    await fails(() => pushTo(folder, fresh()), 'hub', '400')
    assert.is(session.hub.count('batch').requests, 5)
  })
}

for (const size of [5000, 150_000, 3000]) {
  test(`a file of ${size} bytes that changes after it was read is not sent`, async () => {
    const folder = modelFolder({ 'b.gguf': noise(87, size) }, { 'notes.txt': 'a'.repeat(3000) })
    const repo = fresh()
    const path = join(folder, size === 3000 ? 'notes.txt' : 'b.gguf')
    let changed = false
    await fails(
      () =>
        pushTo(folder, repo, {
          onProgress(phase, done, total) {
            if (changed || (phase === 'verify' && done < total)) return
            changed = true
            writeFileSync(path, noise(88, size))
          },
        }),
      'input',
      path,
      'changed',
    )
    const there = session.hub.repositories.has(`model ${repo}`)
    assert.is(there ? session.hub.repository(repo).commits.size : 1, 1, 'nothing was committed')
    assert.ok(session.hub.requests.length < 20, `${session.hub.requests.length} requests`)
    writeFileSync(path, size === 3000 ? 'b' : noise(87, size))
    await pushTo(folder, repo)
    await isWhole(repo, folder)
  })
}

test('a remote with another hash afterwards is told', async () => {
  const folder = modelFolder({ 'a.gguf': noise(84, 5000) })
  const repo = fresh()
  await pushTo(folder, repo, { include: ['*.md'] })
  const other = noise(85, 5000)
  const readme = readFileSync(join(folder, 'README.md'))
  const lie = [
    { type: 'file', path: 'README.md', size: readme.length, oid: gitOid(readme) },
    {
      type: 'file',
      path: 'a.gguf',
      size: 134,
      oid: 'a'.repeat(40),
      lfs: { oid: sha256(other), size: 5000, pointerSize: 134 },
    },
  ]
  session.hub.faults.push({
    on: 'tree',
    after: 1,
    status: 200,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(lie),
  })
  const include = ['*.md', '*.gguf']
  await fails(
    () => pushTo(folder, repo, { include }),
    'hub',
    sha256(other),
    'after the push',
    'again',
  )
})

test('links that expired while the command was not running: a new upload', async () => {
  const weights = noise(86, 400_000)
  const folder = modelFolder({ 'b.gguf': weights })
  const repo = fresh()
  session.hub.faults.push({ on: 'part', cutAfter: 1, after: 5, times: 1000 })
  await fails(() => pushTo(folder, repo), 'hub', 'connection')
  session.hub.faults.length = 0
  session.hub.linkGeneration++
  await pushTo(folder, repo)
  await isWhole(repo, folder)
})

test('somebody else commits at the same time: 412, and once more on top of it', async () => {
  const folder = modelFolder({ 'a.gguf': noise(87, 5000) })
  const repo = fresh()
  await pushTo(folder, repo, { include: ['*.md'] })
  session.hub.faults.push({ on: 'commit', delay: 150 })
  const pushing = pushTo(folder, repo)
  while (session.hub.count('commit').requests < 2) await wait(5)
  await session.hub.commit(repo, { 'theirs.txt': 'x' })
  await pushing
  const repository = session.hub.repository(repo)
  const head = repository.commits.get(repository.refs.get('refs/heads/main') ?? '')
  assert.equal([...(head?.tree.keys() ?? [])].sort(), [
    '.gitattributes',
    'README.md',
    'a.gguf',
    'openllama.json',
    'theirs.txt',
  ])
})

test('a pull request whose answer is lost is not opened twice', async () => {
  const folder = modelFolder({ 'a.gguf': noise(88, 5000) })
  const repo = fresh()
  await session.hub.commit(repo, { 'theirs.txt': 'x' })
  session.hub.faults.push({ on: 'commit', cutAnswer: true })
  const pushed = await pushTo(folder, repo, { createPr: true })
  assert.is(pushed.pull_request, 1)
  assert.is(session.hub.repository(repo).discussions.length, 1)
})

test('the Hub’s own way to say when requests are allowed again is heeded', async () => {
  const folder = modelFolder({ 'a.gguf': noise(200, 900) })
  const headers = {
    RateLimit: '"api";r=0;t=1',
    'RateLimit-Policy': '"fixed window";"api";q=9;w=300',
  }
  session.hub.faults.push({ on: 'tree', status: 429, headers })
  const start = performance.now()
  await pushTo(folder, fresh())
  assert.ok(performance.now() - start >= 990)
})

test('a repository is made when the one before is', async () => {
  const folder = modelFolder({ 'a.gguf': noise(201, 900) })
  const repo = fresh()
  const body = '{"error":"Cannot create repo: another conflicting operation is in progress"}'
  session.hub.faults.push({
    on: 'create',
    status: 409,
    headers: { 'Content-Type': 'application/json' },
    body,
    times: 2,
  })
  await pushTo(folder, repo)
  await isWhole(repo, folder)
})

test('a noted upload is forgotten when the file is there', async () => {
  const weights = noise(202, 150_000)
  const folder = modelFolder({ 'a.gguf': weights })
  const repo = fresh()
  session.hub.faults.push({ on: 'complete', cutAfter: 0, times: 40 })
  await fails(() => pushTo(folder, repo), 'hub', 'connection')
  session.hub.faults.length = 0
  const notes = join(settings.cache, '..', 'openllama', 'uploads')
  const noted = () =>
    readdirSync(notes).filter((name) => readFileSync(join(notes, name), 'utf8').includes('40000'))
  const before = noted().length
  assert.ok(before > 0)
  // Somebody else sends the same file meanwhile.
  await pushTo(folder, fresh())
  await pushTo(folder, repo)
  assert.is(noted().length, before - 1)
})

test('progress counts what is there: bytes that are sent again count once', async () => {
  const folder = modelFolder({ 'a.gguf': noise(90, 300_000), 'b.gguf': noise(91, 60_000) })
  const seen: [string, number, number][] = []
  session.hub.faults.push({ on: 'part', cutAfter: 20_000, times: 3 })
  session.hub.faults.push({ on: 'upload', cutAfter: 30_000, times: 2 })
  const pushed = await pushTo(folder, fresh(), {
    onProgress: (...progress) => seen.push(progress),
  })
  const sent = seen.filter(([phase]) => phase === 'send')
  assert.equal(sent.at(-1), ['send', pushed.bytes_to_send, pushed.bytes_to_send])
  assert.ok(sent.every(([, done, total]) => done >= 0 && done <= total))
  const read = seen.filter(([phase]) => phase === 'verify').at(-1)
  assert.equal(read, ['verify', pushed.bytes_to_send, pushed.bytes_to_send])
})

test('stopped by a signal: 130, and the same command goes on', async () => {
  const weights = noise(89, 900_000)
  const folder = modelFolder({ 'b.gguf': weights })
  const repo = fresh()
  const aborter = new AbortController()
  session.hub.faults.push({ on: 'part', after: 6, delay: 5000, times: 100 })
  const stopped = fails(() => pushTo(folder, repo, { signal: aborter.signal }), 'interrupted')
  const arrived = () => taken([weights]).size
  while (arrived() < 6) await wait(5)
  await wait(50)
  aborter.abort()
  await stopped
  assert.is(arrived(), 6)
  session.hub.faults.length = 0
  await pushTo(folder, repo)
  await isWhole(repo, folder)
  for (const [what, n] of taken([weights])) assert.is(n, 1, what)
})

test.run()
