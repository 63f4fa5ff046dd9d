import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type SetResult, setMetadata } from '../../../src/convert/apply-edit.js'
import { writeUndo } from '../../../src/convert/undo.js'
import { parseAssignment } from '../../../src/formats/gguf/assign.js'
import { type GgufHeader, readHeader } from '../../../src/formats/gguf/header.js'
import { openFile } from '../../../src/io/source.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { equalBytes } from '../../support/bytes.js'
import { written } from '../../support/convert.js'
import { fails } from '../../support/errors.js'
import {
  modelEntries,
  modelTensors,
  type RawFile,
  rawGguf,
  text,
  texts,
  u16,
  u32,
} from '../../support/gguf.js'
import { small } from '../../support/llama.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: gguf set')

const file = (changes: Partial<RawFile> = {}, name = 'model.gguf') => {
  const path = join(tempDir(), name)
  writeFileSync(
    path,
    rawGguf({
      entries: [
        ...modelEntries(small),
        text('general.name', 'Old Name'),
        texts('tokenizer.ggml.tokens', ['<unk>', '\u{FFFD}', 'z']),
      ],
      tensors: modelTensors(small, 'f16'),
      ...changes,
    }),
  )
  return path
}

const set = (path: string, ...changes: string[]): Promise<SetResult> =>
  setMetadata(path, changes.map(parseAssignment), { dryRun: false })

async function headerOf(path: string): Promise<GgufHeader> {
  const source = await openFile(path)
  try {
    return await readHeader(source)
  } finally {
    await source.close()
  }
}

async function entriesOf(path: string): Promise<unknown[]> {
  return (await headerOf(path)).entries.map(({ key, type, value }) => [key, type, value])
}

/** The weights, wherever they are. */
async function weightsOf(path: string): Promise<Uint8Array> {
  return written(path).subarray((await headerOf(path)).dataBegin)
}

test('a value of the same length: in place, and only its bytes', async () => {
  const path = file()
  const before = written(path)
  const { ino } = statSync(path)
  const { edit, warnings } = await set(path, 'general.name=New Name')
  assert.is(edit.kind, 'in place')
  assert.equal(warnings, [])
  assert.is(statSync(path).ino, ino)
  const after = written(path)
  const changed = [...after.keys()].filter((i) => after[i] !== before[i])
  assert.is(changed.length, 3)
  assert.is(Buffer.from(after).indexOf('New Name'), changed[0])
  assert.equal(readdirSync(join(path, '..')), ['model.gguf'])
})

test('a longer and a shorter value: in place as far as the padding goes', async () => {
  for (let length = 1; length < 120; length++) {
    const path = file()
    const [entries, weights, { dataBegin }] = [
      await entriesOf(path),
      await weightsOf(path),
      await headerOf(path),
    ]
    const name = 'n'.repeat(length)
    const { edit } = await set(path, `general.name=${name}`)
    const moved = (await headerOf(path)).dataBegin !== dataBegin
    assert.is(edit.kind, moved ? 'rewrite' : 'in place', String(length))
    equalBytes(await weightsOf(path), weights, 'the weights')
    assert.equal(
      await entriesOf(path),
      entries.map((entry) =>
        Array.isArray(entry) && entry[0] === 'general.name'
          ? ['general.name', 'string', name]
          : entry,
      ),
    )
    assert.equal(readdirSync(join(path, '..')), ['model.gguf'])
    await openCheckpoint(path)
  }
})

test('new keys, of the types that they have, look like, or are given', async () => {
  const path = file()
  const { edit } = await set(
    path,
    'general.version=2',
    'general.languages=en, ko',
    'general.tags=["a,b","c"]',
    'x.count=7',
    'x.less=-7',
    'x.large=5000000000',
    'x.ratio=0.5',
    'x.flag=false',
    'x.text=a=b:c',
    'x.empty=',
    'x.wide:uint64=1',
    'x.ids:int32[]=1,-2',
    'llama.context_length=64',
  )
  assert.is(edit.kind, 'rewrite')
  const entries = await entriesOf(path)
  assert.equal(entries.slice(-12), [
    ['general.version', 'string', '2'],
    ['general.languages', 'string[]', ['en', 'ko']],
    ['general.tags', 'string[]', ['a,b', 'c']],
    ['x.count', 'uint32', 7],
    ['x.less', 'int32', -7],
    ['x.large', 'uint64', 5000000000n],
    ['x.ratio', 'float32', 0.5],
    ['x.flag', 'bool', false],
    ['x.text', 'string', 'a=b:c'],
    ['x.empty', 'string', ''],
    ['x.wide', 'uint64', 1n],
    ['x.ids', 'int32[]', Int32Array.of(1, -2)],
  ])
  assert.is((await openCheckpoint(path)).config.max_position_embeddings, 64)
})

test('the same value: nothing is written', async () => {
  const path = file()
  const before = statSync(path).mtimeMs
  assert.is((await set(path, 'general.name=Old Name')).edit.kind, 'none')
  assert.is(statSync(path).mtimeMs, before)
})

test('a dry run says what would be done and writes nothing', async () => {
  const path = file()
  const before = written(path)
  const assignments = [parseAssignment(`general.name=${'n'.repeat(100)}`)]
  const { edit } = await setMetadata(path, assignments, { dryRun: true })
  assert.is(edit.kind, 'rewrite')
  equalBytes(written(path), before, 'the file')
})

test('a change in place that was interrupted is told, and undone', async () => {
  const path = file()
  const before = written(path)
  // As a crash would leave it: the record is on disk, half of the change in the file.
  await writeUndo(path, { offset: 100, bytes: before.subarray(100, 160) })
  writeFileSync(
    path,
    before.map((byte, i) => (i >= 100 && i < 130 ? 0xff : byte)),
  )
  await fails(() => openCheckpoint(path), 'input', 'interrupted', 'gguf set')
  const dry = [parseAssignment('general.name=x')]
  await fails(() => setMetadata(path, dry, { dryRun: true }), 'input', 'interrupted')
  const { restored, edit, warnings } = await set(path)
  assert.is(restored, true)
  assert.is(edit.kind, 'none')
  assert.is(warnings.length, 1)
  equalBytes(written(path), before, 'the file')
  assert.equal(readdirSync(join(path, '..')), ['model.gguf'])
})

test('an undo record that is cut short: the file was not touched yet', async () => {
  const path = file()
  const before = written(path)
  writeFileSync(`${path}.undo`, '{"offset":100,"data":"AAAA')
  assert.is((await set(path, 'general.name=New Name')).restored, true)
  assert.is(existsSync(`${path}.undo`), false)
  assert.is.not(Buffer.compare(written(path), before), 0)
})

test('an interrupted rewrite leaves the file as it was', async () => {
  const path = file()
  const before = written(path)
  const aborter = new AbortController()
  aborter.abort()
  await fails(
    () =>
      setMetadata(path, [parseAssignment(`x.y=${'n'.repeat(200)}`)], {
        dryRun: false,
        signal: aborter.signal,
      }),
    'interrupted',
  )
  equalBytes(written(path), before, 'the file')
  assert.equal(readdirSync(join(path, '..')), ['model.gguf'])
})

test('a link stays a link', async () => {
  const path = file()
  const link = join(tempDir(), 'link.gguf')
  symlinkSync(path, link)
  await set(link, `general.name=${'n'.repeat(100)}`)
  assert.ok(JSON.stringify(await entriesOf(path)).includes('n'.repeat(100)))
  assert.equal(await entriesOf(link), await entriesOf(path))
})

const refused: [string, Partial<RawFile>, string[], 'usage' | 'input', ...string[]][] = [
  ['no change', {}, [], 'usage', 'key=value'],
  ['the alignment', {}, ['general.alignment=64'], 'usage', 'general.alignment'],
  ['the architecture', {}, ['general.architecture=x'], 'usage', 'general.architecture'],
  ['what splits', {}, ['split.count=2'], 'usage', 'split.count'],
  ['a key twice', {}, ['a.b=1', 'a.b=2'], 'usage', 'a.b'],
  ['a text for a number', {}, ['llama.block_count=many'], 'usage', 'block_count', 'many'],
  ['too large a number', {}, ['llama.block_count=4294967296'], 'usage', 'block_count'],
  ['a fraction for a whole number', {}, ['llama.block_count=1.5'], 'usage', 'block_count'],
  ['no boolean', {}, ['x.flag:bool=1'], 'usage', 'true or false'],
  ['no number', {}, ['x.scale:float32=NaN'], 'usage', 'a number'],
  ['too large for a float', {}, ['x.scale:float32=1e39'], 'usage', 'x.scale'],
  ['infinity', {}, ['llama.rope.freq_base=Infinity'], 'usage', 'freq_base', 'number'],
  ['infinity in a list', {}, ['x.scales:float64[]=1,Infinity'], 'usage', 'x.scales', 'finite'],
  [
    'another type of a known key',
    {},
    ['llama.context_length:string=4096'],
    'usage',
    'context_length would be of type string, uint32 is expected',
  ],
  ['another type of a new one', {}, ['llama.rope.scaling.factor:uint32=2'], 'usage', 'float32'],
  ['a token’s id as a text', {}, ['tokenizer.ggml.bos_token_id:string=1'], 'usage', 'uint32'],
  ['an id that no token has', {}, ['tokenizer.ggml.bos_token_id=3'], 'usage', '3', 'there are 3'],
  ['fewer tokens', {}, ['tokenizer.ggml.tokens=a,b'], 'usage', '2 elements', 'has 3 tokens'],
  ['scores of other tokens', {}, ['tokenizer.ggml.scores:float32[]=1,2'], 'usage', '2', '3 tokens'],
  ['another kind of scaling', {}, ['llama.rope.scaling.type=magic'], 'usage', 'linear, yarn'],
  ['another kind of tokenizer', {}, ['tokenizer.ggml.model=words'], 'usage', 'gpt2'],
  ['a size that the tensors do not have', {}, ['llama.embedding_length=48'], 'usage', '48'],
  ['more layers than there are', {}, ['llama.block_count=99'], 'usage', 'afterwards'],
  ['no layers', {}, ['llama.block_count=0'], 'usage', 'afterwards'],
  ['a key of other letters', {}, ['ключ=x'], 'usage', 'no key of GGUF'],
  ['too long a key', {}, [`${'k'.repeat(70_000)}=x`], 'usage', '65535'],
  ['broken JSON', {}, ['general.tags=["a"'], 'usage', 'general.tags'],
  ['big-endian', { bigEndian: true, tensors: [] }, ['general.name=x'], 'input', 'big-endian'],
  [
    'a part that is not the first',
    { entries: [u16('split.no', 1), u16('split.count', 2), u32('split.tensors.count', 42)] },
    ['general.name=x'],
    'input',
    'part 2',
    'model-00001-of-00002.gguf',
  ],
]

for (const [what, changes, assignments, code, ...parts] of refused) {
  test(`refused: ${what}`, async () => {
    const path = file(changes, 'model-00002-of-00002.gguf')
    const before = written(path)
    await fails(() => set(path, ...assignments), code, ...parts)
    equalBytes(written(path), before, 'the file')
  })
}

test('refused: what is no assignment', async () => {
  for (const argument of ['', 'key', '=value', 'a b=c', 'a:what=1', 'a:array=1']) {
    await fails(() => parseAssignment(argument), 'usage')
  }
})

test('a file that is not there, or is none', async () => {
  await fails(() => set(join(tempDir(), 'none.gguf'), 'a.b=c'), 'input', 'no such file')
  const path = file()
  writeFileSync(path, 'not a GGUF file, and long enough to be one')
  await fails(() => set(path, 'a.b=c'), 'input', 'GGUF')
})

test('a rewrite beside an unfinished conversion of the same name', async () => {
  const path = file()
  mkdirSync(`${path}.partial`)
  const { edit } = await set(path, `x.y=${'n'.repeat(200)}`)
  assert.is(edit.kind, 'rewrite')
  assert.equal(readdirSync(join(path, '..')).sort(), ['model.gguf', 'model.gguf.partial'])
})

test.run()
