import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { selects } from '../../src/hub/globs.js'
import { createClient } from '../../src/hub/http.js'
import { formatHubPath, isSafePath, parseHubPath } from '../../src/hub/paths.js'
import { readHubSettings } from '../../src/hub/settings.js'
import { openllama } from '../support/cli.js'
import { fails } from '../support/errors.js'
import { publishTiny, startSession, token } from '../support/hub/session.js'
import { tempDir } from '../support/temp.js'

const test = suite('hub: settings')

test('takes what the Hub’s own tools take', async () => {
  const home = tempDir()
  const given = await readHubSettings({
    HF_ENDPOINT: 'https://hub.example/',
    HF_HOME: home,
    HF_TOKEN: ' hf_a\n',
    HF_HUB_OFFLINE: 'yes',
    HF_HUB_DOWNLOAD_TIMEOUT: '3',
  })
  assert.is(given.endpoint, 'https://hub.example')
  assert.is(given.token, 'hf_a')
  assert.is(given.cache, join(home, 'hub'))
  assert.is(given.offline, true)
  assert.is(given.patience, 3000)
  const nothing = await readHubSettings({ HF_HOME: home })
  assert.is(nothing.endpoint, 'https://huggingface.co')
  assert.is(nothing.token, undefined)
  assert.is(nothing.offline, false)
  const cache = await readHubSettings({ HF_HOME: home, HF_HUB_CACHE: '~/elsewhere' })
  assert.is(cache.cache, join(homedir(), 'elsewhere'))
  assert.is((await readHubSettings({ XDG_CACHE_HOME: '/x' })).cache, '/x/huggingface/hub')
})

test('finds the token of the client’s login', async () => {
  const home = tempDir()
  writeFileSync(join(home, 'token'), 'hf_login\n')
  mkdirSync(join(home, 'other'))
  writeFileSync(join(home, 'other', 'file'), 'hf_other')
  const tokenOf = async (env: Record<string, string>) => (await readHubSettings(env)).token
  assert.is(await tokenOf({ HF_HOME: home }), 'hf_login')
  assert.is(await tokenOf({ HF_HOME: home, HF_TOKEN: '' }), 'hf_login')
  assert.is(await tokenOf({ HF_HOME: home, HF_TOKEN: 'hf_own' }), 'hf_own')
  const path = join(home, 'other', 'file')
  assert.is(await tokenOf({ HF_HOME: home, HF_TOKEN_PATH: path }), 'hf_other')
  assert.is(await tokenOf({ HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' }), undefined)
})

test('refuses what cannot be meant, without showing a token', async () => {
  await fails(() => readHubSettings({ HF_ENDPOINT: 'hub.example' }), 'usage', 'HF_ENDPOINT')
  await fails(() => readHubSettings({ HF_ENDPOINT: 'ftp://hub.example' }), 'usage', 'HF_ENDPOINT')
  const named = { HF_ENDPOINT: 'https://me:Pass1word@hub.example' }
  const shown = await fails(() => readHubSettings(named), 'usage', 'HF_ENDPOINT')
  assert.not.match(`${shown.stack} ${shown.suggestions}`, /Pass1word/)
  const error = await fails(() => readHubSettings({ HF_TOKEN: 'hf_sec\nret' }), 'usage', 'HF_TOKEN')
  assert.not.ok(`${error.message}${error.suggestions}`.includes('sec'))
})

test('reads paths of repositories', () => {
  const parsed = (text: string) => {
    const { repo, revision, path } = parseHubPath(text)
    return [repo, revision, path]
  }
  assert.equal(parsed('hf://a/b'), ['a/b', undefined, ''])
  assert.equal(parsed('a/b@v1'), ['a/b', 'v1', ''])
  assert.equal(parsed('hf://a/b/c/d.bin'), ['a/b', undefined, 'c/d.bin'])
  assert.equal(parsed('hf://a/b@main/c/d@e.bin'), ['a/b', 'main', 'c/d@e.bin'])
  assert.equal(parsed('hf://a/b@refs/pr/3/c'), ['a/b', 'refs/pr/3', 'c'])
  assert.equal(parsed('hf://a/b@x%2Fy/'), ['a/b', 'x/y', ''])
  assert.equal(parsed('hf://a/b///c//'), ['a/b', undefined, 'c'])
  assert.is(formatHubPath('a/b', 'v1', ''), 'hf://a/b@v1')
  assert.is(formatHubPath('a/b', 'v1', 'c/d'), 'hf://a/b@v1/c/d')
})

test('what a file may be called', () => {
  for (const path of ['a', 'a/b.c', '.gitattributes', 'a b/ü#%.txt', 'console/x', 'nulls']) {
    assert.ok(isSafePath(path), path)
  }
  for (const path of [
    '',
    '..',
    'a/..',
    '/a',
    'a/',
    'a\\b',
    'NUL',
    'lpt1.x',
    'a.',
    'a ',
    'x'.repeat(256),
  ]) {
    assert.not.ok(isSafePath(path), path)
  }
})

test('patterns are those of hf download', async () => {
  await fails(() => selects({ include: ['[z-a].bin'], exclude: [] }, 'b.bin'), 'usage', '[z-a].bin')
  const chosen = (include: string[], exclude: string[], path: string) =>
    selects({ include, exclude }, path)
  assert.ok(chosen([], [], 'a/b.json'))
  assert.ok(chosen(['*.json'], [], 'a/b.json'))
  assert.not.ok(chosen(['*.json'], ['a/*'], 'a/b.json'))
  assert.ok(chosen(['a/'], [], 'a/b/c'))
  assert.ok(chosen(['model-0000[12]-of-*.bin'], [], 'model-00002-of-00003.bin'))
  assert.not.ok(chosen(['model-0000[!12]-of-*.bin'], [], 'model-00002-of-00003.bin'))
  assert.not.ok(chosen(['a.json'], [], 'abjson'))
  assert.ok(chosen(['?.json'], [], 'a.json'))
})

test('what happens twice when it is sent twice is not repeated after a cut', async () => {
  const { hub, settings } = await startSession()
  const { fetch } = createClient(settings)
  await publishTiny(hub)
  const post = (path: string) =>
    fetch(`${hub.url}/api/models/tester/tiny/${path}`, { method: 'POST', body: '{}' })
  hub.faults.push({ on: 'commit', cutAfter: 1, times: 9 })
  await fails(() => post('commit/main'), 'hub', 'connection')
  assert.is(hub.count('commit').requests, 1)
  hub.faults.length = 0
  // A busy server has not begun.
  hub.faults.push({ on: 'commit', status: 503, times: 2 })
  await post('commit/main')
  assert.is(hub.count('commit').requests, 4)
  hub.faults.push({ on: 'preupload', status: 500, times: 2 })
  await post('preupload/main')
  assert.is(hub.count('preupload').requests, 3)
  await hub.close()
})

test('a redirect to another host takes no token along', async () => {
  const { hub, settings } = await startSession()
  const seen: (string | undefined)[] = []
  const other = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end('{}')
  })
  await new Promise<void>((resolve) => other.listen(0, 'localhost', resolve))
  const place = other.address()
  const port = typeof place === 'object' ? place?.port : 0
  hub.faults.push({ on: 'info', redirect: `http://localhost:${port}/elsewhere` })
  await createClient(settings).fetch(`${hub.url}/api/models/tester/tiny`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.equal(seen, [undefined])
  assert.is(hub.requests[0]?.authorization, `Bearer ${token}`)
  other.close()
  await hub.close()
})

test('goes through a proxy that the environment names, and past it where that says so', async () => {
  const session = await startSession()
  await publishTiny(session.hub)
  const asked: string[] = []
  const proxy = createServer()
  proxy.on('connect', (request, socket) => {
    asked.push(request.url ?? '')
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  proxy.on('request', (request, response) => {
    asked.push(request.url ?? '')
    response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const address = proxy.address()
  const port = typeof address === 'object' ? address?.port : 0
  const env = { ...session.env, http_proxy: `http://127.0.0.1:${port}`, NO_PROXY: '', no_proxy: '' }
  const through = await openllama(['inspect', 'hf://tester/tiny'], { env })
  assert.is(through.code, 5)
  assert.ok(asked.length > 0)
  const before = asked.length
  const past = await openllama(['inspect', 'hf://tester/tiny'], {
    env: { ...env, no_proxy: '127.0.0.1,localhost' },
  })
  assert.is(past.code, 0, past.stderr)
  assert.is(asked.length, before)
  proxy.close()
  await session.hub.close()
})

test.run()
