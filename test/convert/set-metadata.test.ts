import { createHash } from 'node:crypto'
import {
  copyFileSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { findRecord, keepCheck } from '../../src/check/recorded.js'
import { setRecordedMetadata } from '../../src/convert/set-metadata.js'
import { writeUndo } from '../../src/convert/undo.js'
import { parseAssignment } from '../../src/formats/gguf/assign.js'
import { chosenFiles, readOnce } from '../../src/hub/push/files.js'
import { compareHashes, compareSizes, readRecords } from '../../src/hub/push/record.js'
import { openRunnable } from '../../src/open/runnable.js'
import { openllama } from '../support/cli.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: metadata that are set afterwards')

const source = fixture('tiny-v2', 'easylm', 'streaming_params_bf16')
const config = fixture('tiny-v2', 'config.json')

const made = async (name: string, metadata?: string[]) => {
  const out = join(tempDir(), name)
  const options = metadata === undefined ? {} : { metadata }
  await convert(source, out, { to: 'gguf', dtype: 'q8_0', config, ...options })
  const inside = () => join(out, readdirSync(out).find((each) => each.endsWith('.gguf')) ?? '')
  return name.endsWith('.gguf')
    ? { file: out, record: `${out}.openllama.json` }
    : { file: inside(), record: join(out, 'openllama.json') }
}

const set = (file: string, ...changes: string[]) =>
  setRecordedMetadata(file, changes.map(parseAssignment), { dryRun: false })

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')
const json = (path: string) => JSON.parse(readFileSync(path, 'utf8'))

const check = {
  verdict: 'passed' as const,
  engine: 'llama.cpp' as const,
  device: 'cpu',
  smoke: { prompt: 'Q:', continuation: ' A', tokens: 1, faults: [] },
  notes: [],
}

/** What `push` and `check --record` hold against the record. */
async function isTaken(file: string, record: string): Promise<void> {
  const [listed] = json(record).target.files.filter(
    ({ name }: { name: string }) => name === basename(file),
  )
  assert.is(listed.sha256, sha256(file))
  assert.is(listed.bytes, statSync(file).size)
  const { checkpoint } = await openRunnable(file)
  assert.is(await findRecord(checkpoint), record)
  const files = await chosenFiles(dirname(file), { include: ['*.gguf', '*.json'], exclude: [] })
  const records = await readRecords(files, dirname(file))
  compareSizes(records, files, () => true)
  for (const each of files) {
    compareHashes(records, await readOnce(each, { secrets: [], onBytes: () => {} }))
  }
}

for (const name of ['model.gguf', 'folder']) {
  test(`${name}: in place and anew, the record says what the file is`, async () => {
    const { file, record } = await made(name)
    await keepCheck(record, check)
    const before = json(record)
    const same = await set(file, 'general.name=Tiny V3')
    assert.is(same.edit.kind, 'in place')
    assert.equal(same.warnings, [])
    await isTaken(file, record)
    const longer = await set(file, `general.description=${'d'.repeat(500)}`, 'general.name=Other')
    assert.is(longer.edit.kind, 'rewrite')
    assert.equal(longer.warnings, [])
    await isTaken(file, record)
    const after = json(record)
    const metadata = [`general.description=${'d'.repeat(500)}`, 'general.name=Other']
    assert.equal(after, {
      ...before,
      options: { ...before.options, metadata },
      target: after.target,
    })
    assert.equal(after.check, before.check)
    // What the record says gives the same bytes.
    const again = await made(name, metadata)
    assert.is(sha256(again.file), sha256(file))
    // Nothing is left of the way there.
    assert.equal(readdirSync(dirname(file)).sort(), readdirSync(dirname(again.file)).sort())
  })
}

test('a change of what is computed takes the check out of the record, and says so', async () => {
  const { file, record } = await made('model.gguf')
  await keepCheck(record, check)
  const { warnings } = await set(file, 'llama.context_length=128')
  assert.is(warnings.length, 1)
  assert.match(warnings[0] ?? '', /check .* --against SOURCE --record/)
  assert.is(json(record).check, undefined)
  await isTaken(file, record)
})

test('a record of other bytes is left as it is, and that is said', async () => {
  const { file, record } = await made('model.gguf')
  const text = readFileSync(record, 'utf8').replace(/"sha256": "[0-9a-f]{4}/g, '"sha256": "0000')
  writeFileSync(record, text)
  const { edit, warnings } = await set(file, 'general.name=Tiny V3')
  assert.is(edit.kind, 'in place')
  assert.match(warnings.join(), /another SHA-256/)
  assert.is(readFileSync(record, 'utf8'), text)
})

test('killed at any moment: the next call has the old file and record, or the new ones', async () => {
  const { file, record } = await made('model.gguf')
  const [oldFile, oldRecord] = [readFileSync(file), readFileSync(record, 'utf8')]
  const undo = { record: { path: record, text: oldRecord } }
  const names = { before: 'model.gguf.0.before', partial: 'model.gguf.0.partial' }
  const isOld = async () => {
    assert.is((await set(file)).restored, true)
    assert.is(Buffer.compare(readFileSync(file), oldFile), 0)
    assert.is(readFileSync(record, 'utf8'), oldRecord)
    assert.equal(readdirSync(dirname(file)).sort(), [basename(file), basename(record)].sort())
  }
  // In place: half of the bytes, with the old record and with the new one.
  for (const text of [oldRecord, '{"new": true}']) {
    await writeUndo(file, { offset: 200, bytes: oldFile.subarray(200, 260), ...undo })
    writeFileSync(file, Buffer.from(oldFile).fill(0xff, 200, 230))
    writeFileSync(record, text)
    await isOld()
  }
  // Anew: before the new file has its name, after it, and after the record.
  for (const [isNew, text] of [
    [false, oldRecord],
    [true, oldRecord],
    [true, '{"new": true}'],
  ] as const) {
    await writeUndo(file, { ...names, ...undo })
    linkSync(file, `${file}.0.before`)
    if (isNew) {
      copyFileSync(file, `${file}.1`)
      writeFileSync(`${file}.1`, 'another file')
      renameSync(`${file}.1`, file)
    }
    writeFileSync(record, text)
    await isOld()
  }
  // While the new file is made: the old one is read all the time, and the beginnings go.
  await writeUndo(file, { ...names, ...undo })
  writeFileSync(`${file}.0.partial`, 'half of a')
  const newer = oldRecord.replace('{', '{ ')
  writeFileSync(record, newer)
  await openRunnable(file)
  assert.is((await set(file)).restored, true)
  assert.is(Buffer.compare(readFileSync(file), oldFile), 0)
  // Of the record nothing had been touched: what came meanwhile stays.
  assert.is(readFileSync(record, 'utf8'), newer)
  assert.equal(readdirSync(dirname(file)).sort(), [basename(file), basename(record)].sort())
  writeFileSync(record, oldRecord)
  // All was done but for the undo record: nothing is undone.
  await set(file, `general.name=${'n'.repeat(300)}`)
  const newRecord = readFileSync(record, 'utf8')
  await writeUndo(file, { ...names, ...undo })
  assert.is((await set(file)).restored, false)
  assert.is(readFileSync(record, 'utf8'), newRecord)
  await isTaken(file, record)
})

test('a process that is killed while it copies: the next call removes what it had made', async () => {
  const { file } = await made('model.gguf')
  const folder = dirname(file)
  const old = readFileSync(file)
  // Behind the weights, as a file may have it: so that copying takes a while.
  truncateSync(file, 400e6)
  const args = ['gguf', 'set', file, `general.name=${'n'.repeat(300)}`]
  const before = readdirSync(folder)
  const { signal } = await openllama(args, {
    onStart(child) {
      const watch = setInterval(() => {
        if (!readdirSync(folder).some((name) => name.endsWith('.partial'))) return
        clearInterval(watch)
        child.kill('SIGKILL')
      }, 2)
      child.once('exit', () => clearInterval(watch))
    },
  })
  assert.is(signal, 'SIGKILL')
  assert.ok(readdirSync(folder).some((name) => name.endsWith('.partial')))
  // The old file is whole, and is read.
  await openRunnable(file)
  const { code, stdout, stderr } = await openllama(['gguf', 'set', file])
  assert.is(code, 0, stderr)
  assert.match(stdout + stderr, /interrupted was undone/)
  assert.equal(readdirSync(folder), before)
  assert.is(Buffer.compare(readFileSync(file).subarray(0, old.length), old), 0)
})

test('convert --metadata takes no value with which the file could not be read', async () => {
  const wrong = (metadata: string) => made('model.gguf', [metadata])
  await fails(() => wrong('llama.context_length:string=4'), 'usage', 'uint32 is expected')
  await fails(() => wrong('tokenizer.ggml.bos_token_id=99999'), 'usage', '99999')
  // A number of a key that takes floats is one, though it looks like a whole number.
  const { file } = await made('model.gguf', ['llama.attention.scale=2'])
  const { checkpoint } = await openRunnable(file)
  assert.equal(
    checkpoint.metadata?.find(({ key }) => key === 'llama.attention.scale')?.type,
    'float32',
  )
})

test('a file without a record needs none', async () => {
  const { file } = await made('model.gguf')
  const alone = join(tempDir(), 'alone.gguf')
  copyFileSync(file, alone)
  assert.equal((await set(alone, 'general.name=Tiny V3')).warnings, [])
  assert.equal(readdirSync(dirname(alone)), ['alone.gguf'])
})

test.run()
