import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pull } from '../../src/hub/pull/pull.js'
import { equalBytes } from '../support/bytes.js'
import { openllama, type Ran } from '../support/cli.js'
import { fails } from '../support/errors.js'
import { tinySession, token } from '../support/hub/session.js'
import { tempDir } from '../support/temp.js'

const test = suite('pull')

const session = tinySession(test)

/** Whatever a run says, the token is not in it. */
async function run(...args: string[]): Promise<Ran> {
  const ran = await openllama(args, { env: session.env })
  assert.not.ok(`${ran.stdout}${ran.stderr}`.includes(token), 'the token is in the output')
  return ran
}

function cached(...path: string[]): string {
  return join(session.settings.cache, 'models--tester--tiny', ...path)
}

test('fills the cache as huggingface_hub does', async () => {
  const { code, stdout } = await run('pull', 'tester/tiny', '--json')
  assert.is(code, 0)
  const pulled = JSON.parse(stdout)
  const commit = session.hub.repository('tester/tiny').refs.get('refs/heads/main') ?? ''
  assert.is(pulled.commit, commit)
  assert.is(pulled.path, cached('snapshots', commit))
  assert.is(readFileSync(cached('refs', 'main'), 'utf8'), commit)
  const weightsHash = pulled.files.find(
    ({ path }: { path: string }) => path === 'streaming_params',
  ).sha256
  const pointer = cached('snapshots', commit, 'streaming_params')
  assert.is(readlinkSync(pointer), `../../blobs/${weightsHash}`)
  equalBytes(readFileSync(pointer), session.weights, 'streaming_params')
  assert.not.ok(readdirSync(cached('blobs')).some((name) => name.includes('incomplete')))
})

test('what is there is not fetched again; a new commit brings what is new', async () => {
  await run('pull', 'tester/tiny')
  session.hub.reset()
  const again = JSON.parse((await run('pull', 'tester/tiny', '--json')).stdout)
  assert.is(again.fetched, 0)
  assert.is(session.hub.count('download', 'resolve').requests, 0)
  await session.hub.commit('tester/tiny', { 'note.txt': 'new' })
  const later = JSON.parse((await run('pull', 'tester/tiny', '--json')).stdout)
  assert.is(later.fetched, 3)
  assert.is.not(later.commit, again.commit)
})

test('--out gets files of its own, --link links, --include and --exclude choose', async () => {
  const out = join(tempDir(), 'out')
  assert.is((await run('pull', 'tester/tiny', '--out', out)).code, 0)
  equalBytes(readFileSync(join(out, 'streaming_params')), session.weights, 'streaming_params')
  assert.ok(lstatSync(join(out, 'streaming_params')).isFile())
  // Once more is no error; another file in the place is.
  assert.is((await run('pull', 'tester/tiny', '--out', out)).code, 0)
  writeFileSync(join(out, 'config.json'), 'mine')
  const refused = await run('pull', 'tester/tiny', '--out', out)
  assert.is(refused.code, 2)
  assert.match(refused.stderr, 'config.json')
  assert.is(readFileSync(join(out, 'config.json'), 'utf8'), 'mine')
  assert.is((await run('pull', 'tester/tiny', '--out', out, '--force')).code, 0)

  const links = join(tempDir(), 'links')
  const chosen = ['--include', '*.json', '--include', 'stream*', '--exclude', 'config.*']
  await run('pull', 'tester/tiny', '--out', links, '--link', ...chosen)
  assert.equal(readdirSync(links), ['streaming_params'])
  assert.ok(lstatSync(join(links, 'streaming_params')).isSymbolicLink())
  assert.is(statSync(join(links, 'streaming_params')).size, session.weights.length)
  const none = await run('pull', 'tester/tiny', '--include', '*.onnx')
  assert.is(none.code, 5)
  assert.match(none.stderr, 'streaming_params')
})

test('offline, what was pulled serves, and nothing is asked', async () => {
  await run('pull', 'tester/tiny')
  session.hub.reset()
  const env = { ...session.env, HF_HUB_OFFLINE: '1' }
  const out = join(tempDir(), 'out')
  assert.is((await openllama(['pull', 'tester/tiny', '--out', out], { env })).code, 0)
  equalBytes(readFileSync(join(out, 'streaming_params')), session.weights, 'streaming_params')
  const inspected = await openllama(['inspect', 'hf://tester/tiny', '--json'], { env })
  assert.is(inspected.code, 0, inspected.stderr)
  assert.is(JSON.parse(inspected.stdout).format, 'easylm')
  const missing = await openllama(['pull', 'tester/none'], { env })
  assert.is(missing.code, 5)
  assert.match(missing.stderr, 'HF_HUB_OFFLINE')
  assert.is(session.hub.requests.length, 0)
})

// On one system or another, each of these is a place outside of the folder, or no file.
for (const path of [
  '../evil',
  'a/../../evil',
  '/etc/evil',
  'C:/evil',
  'C:evil',
  'a\\..\\evil',
  '..\\evil',
  'nul',
  'a/COM1.txt',
  'a/con',
  'evil.',
  'a/. /evil',
  'a//evil',
  './evil',
  'evil\u0000.txt',
  'evil:stream',
]) {
  test(`refuses ${JSON.stringify(path)} and writes nothing`, async () => {
    const name = 'tester/evil'
    session.hub.repositories.delete(`model ${name}`)
    await session.hub.commit(name, { 'config.json': '{}', [path]: 'evil' })
    const folder = tempDir()
    const options = {
      out: join(folder, 'out'),
      link: false,
      force: false,
      include: [],
      exclude: [],
    }
    await fails(() => pull(name, session.settings, options), 'hub', 'no folder can safely have')
    assert.equal(readdirSync(folder), [])
    assert.not.ok(existsSync(session.settings.cache))
  })
}

test('does not write through a link that is in the way', async () => {
  const [folder, elsewhere] = [tempDir(), tempDir()]
  await session.hub.commit('tester/deep', { 'sub/file.txt': 'x' })
  const out = join(folder, 'out')
  mkdirSync(out)
  symlinkSync(elsewhere, join(out, 'sub'))
  const { code, stderr } = await run('pull', 'tester/deep', '--out', out)
  assert.is(code, 5)
  assert.match(stderr, 'it is a link')
  assert.equal(readdirSync(elsewhere), [])
})

test('names that must be escaped in an address are fetched', async () => {
  const name = 'sub dir/a b#c%20&d=ü.txt'
  await session.hub.commit('tester/names', { [name]: 'escaped' })
  const out = join(tempDir(), 'out')
  assert.is((await run('pull', 'tester/names', '--out', out)).code, 0)
  assert.is(readFileSync(join(out, name), 'utf8'), 'escaped')
})

test('takes the token of the client’s login; without one says where to put it', async () => {
  session.hub.repository('tester/tiny').private = true
  try {
    const home = tempDir()
    const env = { ...session.env, HF_HOME: home, HF_TOKEN: '' }
    const anonymous = await openllama(['pull', 'tester/tiny'], { env })
    assert.is(anonymous.code, 5)
    assert.match(anonymous.stderr, 'HF_TOKEN')
    writeFileSync(join(home, 'token'), `${token}\n`)
    const signedIn = await openllama(['pull', 'tester/tiny'], { env })
    assert.is(signedIn.code, 0, signedIn.stderr)
  } finally {
    session.hub.repository('tester/tiny').private = false
  }
})

test('a Hub that is not there ends with 5', async () => {
  const env = { ...session.env, HF_ENDPOINT: 'http://127.0.0.1:9' }
  const { code, stderr } = await openllama(['inspect', 'hf://tester/tiny'], { env })
  assert.is(code, 5)
  assert.match(stderr, 'HF_ENDPOINT')
})

test('--json errors have no token either, and say their code', async () => {
  session.hub.faults.push({ on: 'tree', status: 403 })
  const { code, stdout } = await run('pull', 'tester/tiny', '--json')
  assert.is(code, 5)
  assert.is(JSON.parse(stdout).error.code, 'hub')
})

test.run()
