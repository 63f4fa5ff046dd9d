import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type PushOptions, push } from '../../src/hub/push.js'
import { equalBytes, sha256 } from '../support/bytes.js'
import { modelFolder, noise, plainPush } from '../support/hub/folder.js'
import { type Session, startSession } from '../support/hub/session.js'

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

/** What the Hub has, each file held against the folder's. */
async function equalsFolder(repo: string, folder: string, ref = 'refs/heads/main') {
  const repository = session.hub.repository(repo)
  const commit = repository.commits.get(repository.refs.get(ref) ?? '')
  assert.ok(commit, ref)
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

test.run()
