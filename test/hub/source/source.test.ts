import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { diffCheckpoints } from '../../../src/compare/diff.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { openRunnable } from '../../../src/open/runnable.js'
import { openTokenizer } from '../../../src/open/tokenizer.js'
import { equalBytes } from '../../support/bytes.js'
import { openllama } from '../../support/cli.js'
import { convert } from '../../support/convert.js'
import { fails } from '../../support/errors.js'
import { tinySession, token, useHub } from '../../support/hub/session.js'
import { fixture } from '../../support/paths.js'
import { tempDir } from '../../support/temp.js'

const test = suite('hf:// sources')

const session = tinySession(test)

/** What the same files give on this machine, under the repository's name. */
function localCopy(): string {
  const folder = join(tempDir(), 'tiny')
  mkdirSync(folder)
  writeFileSync(join(folder, 'streaming_params'), session.weights)
  writeFileSync(join(folder, 'config.json'), readFileSync(fixture('tiny-v1', 'config.json')))
  const model = readFileSync(fixture('tiny-v1', 'easylm', 'tokenizer.model'))
  writeFileSync(join(folder, 'tokenizer.model'), model)
  writeFileSync(join(folder, 'README.md'), '---\nlicense: apache-2.0\n---\n# Tiny\n')
  return folder
}

test('is described as the local files are, and of its commit', async () => {
  const local = await openCheckpoint(join(localCopy(), 'streaming_params'))
  const remote = await openCheckpoint('hf://tester/tiny')
  const commit = session.hub.repository('tester/tiny').refs.get('refs/heads/main')
  assert.equal(remote.config, local.config)
  assert.equal([...remote.tensors.keys()], [...local.tensors.keys()])
  assert.equal(remote.origin, { repository: 'tester/tiny', commit })
  assert.is(remote.files[0]?.path, `hf://tester/tiny@${commit}/streaming_params`)
  // Once the revision, once the listing.
  assert.is(session.hub.count('info').requests, 1)
  assert.is(session.hub.count('tree').requests, 1)
  assert.ok(session.hub.count('download').sent < session.weights.length / 10)
})

for (const [to, dtype, more] of [
  ['gguf', 'q4_k_m', {}],
  ['gguf', 'q8_0', {}],
  ['safetensors', 'f16', {}],
  ['onnx', 'q4', {}],
  ['meta', 'auto', { modelParallel: 2 }],
] as const) {
  for (const [how, options] of [
    ['', {}],
    [', in little memory', { maxMemory: 17 * 1024 * 1024, threads: 3 }],
  ] as const) {
    test(`converts to ${to} ${dtype} as from local files, each byte fetched once${how}`, async () => {
      const folder = tempDir()
      const all = { to, dtype, ...more, ...options }
      const local = await convert(join(localCopy(), 'streaming_params'), join(folder, 'a'), all)
      const remote = await convert('hf://tester/tiny', join(folder, 'b'), all)
      assert.equal(remote.target, local.target)
      for (const { name } of local.target.files) {
        const [ours, theirs] = [join(folder, 'b', name), join(folder, 'a', name)]
        equalBytes(readFileSync(ours), readFileSync(theirs), name)
      }
      const { sent } = session.hub.count('download')
      const tokenizer = readFileSync(fixture('tiny-v1', 'easylm', 'tokenizer.model')).length
      assert.ok(
        sent - tokenizer <= 1.02 * session.weights.length,
        `${sent - tokenizer} of ${session.weights.length}`,
      )
      // The hash is the listing's: nothing was fetched for it.
      assert.equal(remote.source.files, local.source.files)
    })
  }
}

test('is the same model as its local copy, and as what it is converted to', async () => {
  const folder = tempDir()
  const out = join(folder, 'out')
  await convert(join(localCopy(), 'streaming_params'), out, { to: 'safetensors', dtype: 'f16' })
  const local = await openCheckpoint(join(localCopy(), 'streaming_params'))
  const rounded = await openCheckpoint(out)
  const remote = await openCheckpoint('hf://tester/tiny')
  for (const maxMemory of [64e6, 120e3]) {
    const options = { maxMemory }
    const same = await diffCheckpoints(remote, local, options)
    assert.ok(same.same)
    assert.ok(same.tensors.every(({ status }) => status === 'equal'))
    assert.equal(
      await diffCheckpoints(remote, rounded, options),
      await diffCheckpoints(local, rounded, options),
    )
    assert.equal(
      await diffCheckpoints(rounded, remote, options),
      await diffCheckpoints(rounded, local, options),
    )
  }
})

test('differs from another model in the same values as its local copy does', async () => {
  const bytes = Uint8Array.from(session.weights)
  const copy = localCopy()
  const middle = await openCheckpoint(join(copy, 'streaming_params'))
  for (const name of ['model.layers.1.mlp.down_proj.weight', 'model.embed_tokens.weight']) {
    const extent = middle.tensors.get(name)?.parts[0]?.extents[0]
    assert.ok(extent)
    for (const at of [100, extent.length - 100])
      bytes.fill(0x3e, extent.offset + at, extent.offset + at + 1)
  }
  writeFileSync(join(copy, 'streaming_params'), bytes)
  const other = await openCheckpoint(join(copy, 'streaming_params'))
  const local = await openCheckpoint(join(localCopy(), 'streaming_params'))
  const remote = await openCheckpoint('hf://tester/tiny')
  for (const maxMemory of [64e6, 120e3]) {
    const found = await diffCheckpoints(remote, other, { maxMemory })
    assert.equal(found, await diffCheckpoints(local, other, { maxMemory }))
    assert.is(found.tensors.filter(({ status }) => status === 'different').length, 2)
  }
})

test('is brought here to be run, once', async () => {
  const { checkpoint } = await openRunnable('hf://tester/tiny')
  const [file] = checkpoint.files
  assert.ok(file?.path.startsWith(session.settings.cache), file?.path)
  equalBytes(readFileSync(file?.path ?? ''), session.weights, 'weights')
  assert.ok(checkpoint.tokenizer.model?.startsWith(session.settings.cache))
  session.hub.reset()
  await openRunnable('params::hf://tester/tiny/streaming_params')
  assert.ok(session.hub.count('download').sent < session.weights.length / 10)
})

test('by the command line: one line, and what it says', async () => {
  const out = join(tempDir(), 'model.gguf')
  const line = ['convert', 'hf://tester/tiny', '--to', 'gguf', '--dtype', 'q4_k_m', '--out', out]
  const ran = await openllama(line, { env: session.env, checked: true })
  assert.is(ran.code, 0, ran.stderr)
  assert.match(ran.stderr, 'not checked')
  const record = readFileSync(`${out}.openllama.json`, 'utf8')
  for (const text of [ran.stdout, ran.stderr, record]) assert.not.ok(text.includes(token))
  assert.ok(!existsSync(session.settings.cache) || !readdirSync(session.settings.cache).length)
  // Asked for, the check brings the source here and runs both.
  const asked = [...line, '--force', '--check', '--json']
  const checked = await openllama(asked, { env: session.env, checked: true })
  assert.is(checked.code, 0, checked.stdout)
  assert.is(JSON.parse(checked.stdout).check.verdict, 'passed')
  const args = ['check', out, '--against', 'hf://tester/tiny', '--json']
  const later = await openllama(args, { env: session.env })
  assert.is(later.code, 0, later.stdout)
})

test('records repository and commit, and no token', async () => {
  const out = join(tempDir(), 'out')
  const commit = session.hub.repository('tester/tiny').refs.get('refs/heads/main')
  await convert('params::hf://tester/tiny@main/streaming_params', out, { to: 'safetensors' })
  const record = readFileSync(join(out, 'openllama.json'), 'utf8')
  assert.equal(JSON.parse(record).source.repository, 'tester/tiny')
  assert.equal(JSON.parse(record).source.commit, commit)
  assert.not.ok(record.includes(token))
})

test('the token goes to the Hub, and not where it redirects to', async () => {
  await openCheckpoint('hf://tester/tiny')
  const { requests } = session.hub
  const downloads = requests.filter(({ kind }) => kind === 'download')
  assert.ok(downloads.length > 0)
  assert.ok(downloads.every(({ authorization }) => authorization === undefined))
  assert.ok(
    requests.every(
      ({ kind, authorization }) => kind === 'download' || authorization === `Bearer ${token}`,
    ),
  )
})

test('has its tokenizer', async () => {
  const { tokenizer } = await openTokenizer('hf://tester/tiny')
  assert.is(tokenizer?.model.pieces.length, 512)
})

test('is read at the commit that a branch was at first', async () => {
  await session.hub.commit('tester/moving', { 'config.json': '{"a": 1}' })
  const repository = session.hub.repository('tester/moving')
  repository.refs.set('refs/heads/side/way', repository.refs.get('refs/heads/main') ?? '')
  await fails(() => openCheckpoint('hf://tester/moving@side%2Fway'), 'input', 'no checkpoint')
  await fails(() => openCheckpoint('hf://tester/moving@none'), 'hub', '404', 'revision')
})

test('what is not there, or not for everybody, says what to do', async () => {
  await fails(() => openCheckpoint('hf://tester/none'), 'hub', '404', 'tester/none', 'names')
  await fails(() => openCheckpoint('hf://tester/tiny/none.bin'), 'input', 'no such file')
  await fails(() => openCheckpoint('hf://datasets/a/b'), 'usage', 'no repository of models')
  await fails(() => openCheckpoint('hf://tiny'), 'usage', 'owner/repo')
  useHub({ settings: { ...session.settings, token: 'hf_other' } })
  const error = await fails(() => openCheckpoint('hf://tester/tiny'), 'hub', '401', 'HF_TOKEN')
  assert.not.ok(JSON.stringify(error).includes('hf_other'))
  session.hub.repository('tester/tiny').gated = true
  useHub({ settings: { ...session.settings, token: undefined } })
  await fails(() => openCheckpoint('hf://tester/tiny'), 'hub', '401', 'restricted')
  session.hub.repository('tester/tiny').gated = false
})

test('offline, nothing is asked', async () => {
  useHub({ settings: { ...session.settings, offline: true } })
  await fails(() => openCheckpoint('hf://tester/tiny'), 'hub', 'HF_HUB_OFFLINE', 'pull')
  assert.is(session.hub.requests.length, 0)
})

test.run()
