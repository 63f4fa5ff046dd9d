import { readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PushOptions, push } from '../../../src/hub/push/push.js'
import { equalBytes, sha256 } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { modelFolder, noise, plainPush } from '../../support/hub/folder.js'
import { type Session, startSession, token } from '../../support/hub/session.js'

const test = suite('push')

let session: Session
let count = 0

test.before(async () => {
  session = await startSession()
})

test.after(() => session.hub.close())

test.before.each(() => session.hub.reset())

const pushTo = (folder: string, repo: string, options: Partial<PushOptions> = {}) =>
  push(folder, repo, session.settings, { ...plainPush, ...options })

/** A name that no other test has. */
const fresh = () => `tester/model-${++count}`

async function headOf(repo: string, ref = 'refs/heads/main') {
  const repository = session.hub.repository(repo)
  const commit = repository.commits.get(repository.refs.get(ref) ?? '')
  assert.ok(commit, ref)
  return commit
}

/** What the Hub has, each file held against the folder's. */
async function equalsFolder(repo: string, folder: string, ref = 'refs/heads/main') {
  const commit = await headOf(repo, ref)
  for (const [path, { content }] of commit.tree) {
    if (path === '.gitattributes') continue
    const bytes = await content.read(0, content.size)
    equalBytes(bytes, readFileSync(join(folder, ...path.split('/'))), path)
  }
  return commit
}

test('sends all of a folder, and then nothing', async () => {
  const weights = noise(1, 300_000)
  const folder = modelFolder(
    { 'model.safetensors': weights, 'onnx/model.onnx_data': noise(2, 5000) },
    { 'config.json': '{"model_type": "llama"}\n', 'sub/a b#c%20ü.txt': 'a name to be escaped\n' },
  )
  const repo = fresh()
  const first = await pushTo(folder, repo, { create: true, private: true })
  const commit = await equalsFolder(repo, folder)
  assert.is(session.hub.repository(repo).private, true)
  assert.is(commit.tree.size, 7)
  assert.is(commit.tree.get('model.safetensors')?.lfs, true)
  assert.is(commit.tree.get('config.json')?.lfs, false)
  assert.is(first.commit, commit.oid)
  assert.is(first.commits, 1)
  assert.is(first.bytes_sent, first.bytes_to_send)
  assert.equal(
    first.files.map(({ path, state }) => [path, state]),
    [
      ['README.md', 'new'],
      ['config.json', 'new'],
      ['model.safetensors', 'new'],
      ['onnx/model.onnx_data', 'new'],
      ['openllama.json', 'new'],
      ['sub/a b#c%20ü.txt', 'new'],
    ],
  )
  assert.is(first.files[2]?.sha256, sha256(weights))

  session.hub.reset()
  const again = await pushTo(folder, repo)
  assert.ok(again.files.every(({ state }) => state === 'same'))
  assert.is(again.commits, 0)
  assert.is(again.bytes_sent, 0)
  assert.is(again.commit, first.commit)
  assert.is(session.hub.count('upload', 'commit', 'preupload', 'batch').requests, 0)
})

test('a changed file is all that is sent; what only the remote has stays', async () => {
  const weights = noise(3, 200_000)
  const folder = modelFolder({ 'model.safetensors': weights }, { 'config.json': '{"a": 1}\n' })
  const repo = fresh()
  await pushTo(folder, repo, { create: true })
  await session.hub.commit(repo, { 'theirs.md': '# theirs' })
  session.hub.reset()
  writeFileSync(join(folder, 'config.json'), '{"a": 2}\n')
  const pushed = await pushTo(folder, repo)
  assert.equal(
    pushed.files.map(({ state }) => state),
    ['same', 'changed', 'same', 'same'],
  )
  assert.is(pushed.bytes_sent, 9)
  assert.is(session.hub.count('upload', 'part', 'batch').requests, 0)
  const [commit] = session.hub.requests.filter(({ kind }) => kind === 'commit')
  assert.ok((commit?.received ?? 0) < 500, `${commit?.received} bytes`)
  assert.is((await headOf(repo)).tree.get('theirs.md')?.content.size, 8)
  assert.equal(
    pushed.remote_only.map(({ path }) => path),
    ['.gitattributes', 'theirs.md'],
  )
})

test('a dry run says exactly that, and asks for nothing but to read', async () => {
  const folder = modelFolder({ 'model.gguf': noise(4, 4000) }, { 'config.json': '{}\n' })
  const repo = fresh()
  const planned = await pushTo(folder, repo, { create: true, dryRun: true })
  assert.is(planned.creates, 'repository')
  assert.is(planned.commit, null)
  assert.not.ok(session.hub.repositories.has(`model ${repo}`))
  await pushTo(folder, repo, { create: true })
  writeFileSync(join(folder, 'config.json'), '{"a": 1}\n')
  writeFileSync(join(folder, 'notes.txt'), 'new\n')
  session.hub.reset()
  const dry = await pushTo(folder, repo, { dryRun: true })
  assert.equal(
    dry.files.map(({ path, state }) => [path, state]),
    [
      ['README.md', 'same'],
      ['config.json', 'changed'],
      ['model.gguf', 'same'],
      ['notes.txt', 'new'],
      ['openllama.json', 'same'],
    ],
  )
  assert.is(dry.bytes_to_send, 9 + 4)
  assert.is(dry.bytes_sent, 0)
  assert.equal([...new Set(session.hub.requests.map(({ kind }) => kind))].sort(), [
    'info',
    'tree',
    'validate-yaml',
    'whoami',
  ])
  const real = await pushTo(folder, repo)
  assert.equal(real.files, dry.files)
  assert.is(real.bytes_sent, dry.bytes_to_send)
})

test('a branch is made from main; a pull request leaves main alone, and is gone on with', async () => {
  const folder = modelFolder({ 'model.gguf': noise(5, 4000) })
  const repo = fresh()
  await pushTo(folder, repo, { create: true })
  const main = await headOf(repo)
  writeFileSync(join(folder, 'side.txt'), 'x')
  const side = await pushTo(folder, repo, { revision: 'side/way' })
  assert.is(side.creates, 'branch')
  assert.is(side.bytes_sent, 1)
  await equalsFolder(repo, folder, 'refs/heads/side/way')

  const asked = await pushTo(folder, repo, { createPr: true, message: 'Add side' })
  assert.is(asked.pull_request, 1)
  assert.is(asked.revision, 'refs/pr/1')
  await equalsFolder(repo, folder, 'refs/pr/1')
  writeFileSync(join(folder, 'side.txt'), 'xy')
  const more = await pushTo(folder, repo, { createPr: true, message: 'Add side' })
  assert.is(more.pull_request, 1)
  await equalsFolder(repo, folder, 'refs/pr/1')
  const other = await pushTo(folder, repo, { createPr: true, message: 'Another' })
  assert.is(other.pull_request, 2)
  assert.is((await headOf(repo)).oid, main.oid)
  assert.is(session.hub.repository(repo).discussions[0]?.title, 'Add side')
})

test('the same content under two names is sent once', async () => {
  const weights = noise(6, 50_000)
  const folder = modelFolder({ 'a.gguf': weights, 'b.gguf': weights })
  const repo = fresh()
  await pushTo(folder, repo, { create: true })
  await equalsFolder(repo, folder)
  assert.is(session.hub.count('upload').requests, 1)
})

test('many files go in few commits, also into one pull request', async () => {
  const texts = Object.fromEntries(
    Array.from({ length: 230 }, (_, i) => [`texts/${i}.txt`, `text ${i}\n`]),
  )
  const folder = modelFolder({ 'a.gguf': noise(7, 900) }, texts)
  const repo = fresh()
  const pushed = await pushTo(folder, repo, { create: true })
  assert.is(pushed.commits, 3)
  await equalsFolder(repo, folder)
  const other = fresh()
  await session.hub.commit(other, { 'x.txt': 'x' })
  const asked = await pushTo(folder, other, { createPr: true })
  assert.is(asked.commits, 3)
  assert.is(session.hub.repository(other).discussions.length, 1)
  assert.is(session.hub.repository(other).commits.size, 2 + 3)
})

test('empty files are in the commit, whatever their names: the storage takes none', async () => {
  const folder = modelFolder({ 'a.gguf': noise(300, 90) }, { 'empty.bin': '', 'empty.txt': '' })
  const repo = fresh()
  await pushTo(folder, repo, { create: true, unchecked: true })
  const { tree } = await equalsFolder(repo, folder)
  assert.is(tree.get('empty.bin')?.lfs, false)
  assert.is(tree.get('a.gguf')?.lfs, true)
  assert.is((await pushTo(folder, repo, { unchecked: true })).commits, 0)
})

test('a link to nowhere is refused, and does no harm where it is left out', async () => {
  const folder = modelFolder({ 'a.gguf': noise(301, 90) })
  symlinkSync('nowhere', join(folder, 'last'))
  await fails(() => pushTo(folder, fresh(), { create: true }), 'input', 'last', 'no such file')
  await pushTo(folder, fresh(), { create: true, exclude: ['last'] })
})

test('--include and --exclude choose; the record is held against what is chosen', async () => {
  const folder = modelFolder({ 'a.gguf': noise(8, 900), 'b.gguf': noise(9, 900) })
  const repo = fresh()
  await pushTo(folder, repo, { create: true, exclude: ['b.*', 'openllama.json'] })
  assert.equal([...(await headOf(repo)).tree.keys()], ['.gitattributes', 'README.md', 'a.gguf'])
  rmSync(join(folder, 'b.gguf'))
  await pushTo(folder, repo, { include: ['*.md', 'a.gguf'] })
  await fails(() => pushTo(folder, repo), 'check', 'b.gguf', 'not there', 900)
  await fails(() => pushTo(folder, repo, { include: ['none'] }), 'usage', '`include`')
})

test('a file that is not what openllama.json says is refused', async () => {
  const bytes = noise(10, 900)
  const folder = modelFolder({ 'a.gguf': bytes })
  const repo = fresh()
  const other = Uint8Array.from(bytes, (byte, i) => (i === 500 ? byte ^ 1 : byte))
  writeFileSync(join(folder, 'a.gguf'), other)
  await fails(() => pushTo(folder, repo, { create: true }), 'check', sha256(other), sha256(bytes))
  // Not to be talked into: unchecked is about what it computes.
  await fails(() => pushTo(folder, repo, { create: true, unchecked: true }), 'check', 'a.gguf')
  writeFileSync(join(folder, 'a.gguf'), bytes.subarray(1))
  await fails(() => pushTo(folder, repo, { create: true }), 'check', 'a.gguf', 899, 900)
  assert.not.ok(session.hub.repositories.has(`model ${repo}`))
})

test('hashes that were left out are no reason to refuse; a large file is read once', async () => {
  const folder = modelFolder({ 'a.gguf': noise(11, 900) })
  const record = JSON.parse(readFileSync(join(folder, 'openllama.json'), 'utf8'))
  record.target.files[0].sha256 = null
  writeFileSync(join(folder, 'openllama.json'), JSON.stringify(record))
  await pushTo(folder, fresh(), { create: true })
})

test('what no check has passed is refused, unless it is asked for', async () => {
  const repo = fresh()
  const weights = { 'a.gguf': noise(12, 900) }
  const failed = modelFolder(weights, {}, 'failed')
  await fails(() => pushTo(failed, repo, { create: true }), 'check', 'failed', '`unchecked`')
  const without = modelFolder(weights, {}, null)
  await fails(() => pushTo(without, repo, { create: true }), 'check', 'no check', '`check`')
  rmSync(join(without, 'openllama.json'))
  await fails(() => pushTo(without, repo, { create: true }), 'check', 'openllama.json')
  assert.is(session.hub.requests.length, 0)
  await pushTo(without, repo, { create: true, unchecked: true })
})

test('a folder of several files, each with a record of its own', async () => {
  const [a, b] = [noise(23, 900), noise(24, 900)]
  const folder = modelFolder({ 'a.gguf': a })
  const record = JSON.parse(readFileSync(join(folder, 'openllama.json'), 'utf8'))
  rmSync(join(folder, 'openllama.json'))
  writeFileSync(join(folder, 'a.gguf.openllama.json'), JSON.stringify(record))
  const repo = fresh()
  await pushTo(folder, repo, { create: true })
  // Weights that no record knows are not checked by those of others.
  writeFileSync(join(folder, 'b.gguf'), b)
  await fails(() => pushTo(folder, repo), 'check', 'b.gguf is in no openllama.json', '`unchecked`')
  record.target.files = [{ name: 'b.gguf', bytes: 900, sha256: sha256(a) }]
  writeFileSync(join(folder, 'b.gguf.openllama.json'), JSON.stringify(record))
  await fails(() => pushTo(folder, repo), 'check', 'b.gguf', sha256(b))
  record.target.files[0].sha256 = sha256(b)
  writeFileSync(join(folder, 'b.gguf.openllama.json'), JSON.stringify(record))
  await pushTo(folder, repo)
  await equalsFolder(repo, folder)
})

test('a card that is missing, has no front matter, or that the Hub refuses', async () => {
  const repo = fresh()
  const folder = modelFolder({ 'a.gguf': noise(13, 900) })
  const readme = join(folder, 'README.md')
  const refused = (...parts: string[]) =>
    fails(() => pushTo(folder, repo, { create: true }), 'input', ...parts)
  rmSync(readme)
  await refused('README.md', 'openllama card')
  writeFileSync(readme, '# no front matter\n')
  await refused('front matter')
  writeFileSync(readme, '---\ntags: [a]\n---\n# no license\n')
  await refused('license')
  assert.is(session.hub.requests.length, 0)
  writeFileSync(readme, '---\nlicense: gemma\n---\n')
  await refused('README.md', 'Hub does not accept', 'license')
  assert.not.ok(session.hub.repositories.has(`model ${repo}`))
})

const hfToken = `hf_${'aBcDeFgHiJ'.repeat(4)}`
const secrets: [string, string][] = [
  ['hf', hfToken],
  ['hf of a publisher', `hf_jwt_${'eyJhbGci.abcDEF-'.repeat(3)}`],
  ['this token', token],
  ['AWS id', `AKIA${'QW3RT7UPA5DFGHJK'}`],
  ['AWS key', `aws_secret_access_key = ${'wJalrXUtnF/K7MDENG+bPxRfiCYzzzzzKEYabcde'}`],
  ['private key', '-----BEGIN OPENSSH PRIVATE KEY-----'],
  ['GitHub', `ghp_${'a1B2c3D4e5'.repeat(4)}`],
  ['address', 'https://user:S3cretWord@example.org/x.git'.replace('example', 'company')],
]

for (const [name, secret] of secrets) {
  test(`a secret in a file is refused, with its line and without itself: ${name}`, async () => {
    const notes = `one\ntwo\nsay ${secret}\n`
    const folder = modelFolder({ 'a.gguf': noise(14, 900) }, { 'sub/notes.py': notes })
    const repo = fresh()
    const error = await fails(
      () => pushTo(folder, repo, { create: true }),
      'input',
      'notes.py',
      'line 3',
      '`exclude`',
    )
    assert.not.ok(JSON.stringify([error.message, error]).includes(secret.slice(-12)))
    assert.is(session.hub.requests.length, 0)
    await pushTo(folder, repo, { create: true, exclude: ['sub/'] })
  })
}

test('documentation of secrets is none', async () => {
  const text = 'export HF_TOKEN=hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\nAKIAIOSFODNN7EXAMPLE\n'
  const folder = modelFolder({ 'a.gguf': noise(15, 900) }, { 'use.md': text })
  await pushTo(folder, fresh(), { create: true })
})

for (const path of ['.env', '.git/config', 'sub/.netrc', '.ssh/id_rsa', 'key.pem', '.env.local']) {
  test(`${path} is refused, whatever is in it`, async () => {
    const folder = modelFolder({ 'a.gguf': noise(16, 900) }, { [path]: 'nothing' })
    const [first = ''] = path.split('/')
    const repo = fresh()
    await fails(
      () => pushTo(folder, repo, { create: true }),
      'input',
      first,
      'must not',
      '`exclude`',
    )
    assert.is(session.hub.requests.length, 0)
    await pushTo(folder, repo, { create: true, exclude: [path.includes('/') ? `${first}/` : path] })
  })
}

test('names that another system cannot have are refused; litter of systems is left out', async () => {
  for (const name of ['aux.txt', 'dot.', 'back\\slash', 'colon:x', 'new\nline']) {
    const folder = modelFolder({ 'a.gguf': noise(17, 900) }, { [name]: 'x' })
    await fails(() => pushTo(folder, fresh(), { create: true }), 'input', 'name')
  }
  const litter = { '.DS_Store': 'x', '.cache/huggingface/token': 'x', 'sub/Thumbs.db': 'x' }
  const folder = modelFolder({ 'a.gguf': noise(18, 900) }, litter)
  const { files } = await pushTo(folder, fresh(), { create: true })
  assert.is(files.length, 3)
})

test('links to files are followed, links to folders are not', async () => {
  const folder = modelFolder({ 'a.gguf': noise(19, 900) })
  renameSync(join(folder, 'a.gguf'), join(folder, '..', 'blob'))
  symlinkSync(join('..', 'blob'), join(folder, 'a.gguf'))
  const repo = fresh()
  await pushTo(folder, repo, { create: true })
  await equalsFolder(repo, folder)
  symlinkSync('..', join(folder, 'up'))
  await fails(() => pushTo(folder, repo), 'input', 'up', 'link')
})

test('a file above the limit of the Hub is told before any is read', async () => {
  const folder = modelFolder({ 'a.gguf': noise(20, 900) })
  truncateSync(join(folder, 'a.gguf'), 50e9 + 1)
  await fails(() => pushTo(folder, fresh(), { create: true }), 'input', '50.0 GB', '`maxShardSize`')
})

test('permissions are looked up before anything is sent', async () => {
  const folder = modelFolder({ 'a.gguf': noise(21, 900) })
  const repo = fresh()
  const as = (token: string | undefined, name: string, options: Partial<PushOptions> = {}) =>
    push(folder, name, { ...session.settings, token }, { ...plainPush, ...options })
  session.hub.addToken('hf_reads', 'tester', 'read')
  session.hub.addToken('hf_other', 'other', 'write')
  await fails(() => as(undefined, repo, { create: true }), 'hub', 'no token', 'HF_TOKEN')
  await fails(() => as('hf_reads', repo, { create: true }), 'hub', 'only read')
  await fails(() => as('hf_none', repo, { create: true }), 'hub', '401', 'token')
  await fails(() => as('hf_other', repo, { create: true }), 'hub', 'you are other', 'tester')
  await fails(() => pushTo(folder, repo), 'hub', 'no such repository', '`create`')
  await session.hub.commit(repo, { 'x.txt': 'x' })
  await fails(() => as('hf_other', repo), 'hub', '403', 'permission')
  await fails(() => pushTo(folder, repo, { private: true }), 'hub', 'everybody', '`private`')
  await fails(() => pushTo(folder, repo, { revision: 'a'.repeat(40) }), 'usage', 'branch')
  await fails(() => pushTo(folder, `${repo}/x`), 'usage', '`revision`')
  assert.is(session.hub.count('commit', 'upload', 'batch').requests, 0)
  const offline = { ...session.settings, offline: true }
  await fails(() => push(folder, repo, offline, plainPush), 'hub', 'HF_HUB_OFFLINE')
  await fails(() => pushTo(join(folder, 'README.md'), repo), 'usage', 'folder')
  await fails(() => pushTo(join(folder, 'none'), repo), 'input', 'no such file')
})

test('the token is in requests to the Hub, and nowhere else', async () => {
  const folder = modelFolder({ 'a.gguf': noise(22, 900) })
  const pushed = await pushTo(folder, fresh(), { create: true })
  assert.not.ok(JSON.stringify(pushed).includes(token))
  const uploads = session.hub.requests.filter(({ kind }) => kind === 'upload')
  assert.is(uploads.length, 1)
  assert.ok(uploads.every(({ authorization }) => authorization === undefined))
})

test.run()
