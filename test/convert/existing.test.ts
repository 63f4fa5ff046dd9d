import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type ConvertOptions,
  type RunOptions,
  refuseAsRun,
  runConversion,
} from '../../src/convert/convert.js'
import { journalName } from '../../src/convert/journal.js'
import { makeSource, prepare, runOptions, withValues } from '../support/conversion.js'
import { fails } from '../support/errors.js'
import { small } from '../support/llama.js'
import { tempDir } from '../support/temp.js'
import { contentOf } from '../support/tree.js'

const test = suite('convert: what is at the output’s path')

const made = makeSource()
const convert = async (
  out: string,
  run: Partial<RunOptions> = {},
  options: Partial<ConvertOptions> = {},
) => runConversion(await prepare({ ...made, out }, options), { ...runOptions, ...run })
const toGguf = (out: string, run: Partial<RunOptions> = {}) => convert(out, run, { to: 'gguf' })
const path = (...parts: string[]) => join(tempDir(), ...parts)

/** A run that is refused changes nothing in the folder of `out`; its advice begins with less than removing. */
async function refused(out: string, parts: string[], work: () => Promise<unknown>) {
  const before = contentOf(dirname(out))
  const { suggestions } = await fails(work, 'usage', ...parts)
  assert.not.match(suggestions.join(' '), /^remove/i)
  assert.equal(contentOf(dirname(out)), before)
}

test('--force: what the record does not list is named, and stays', async () => {
  const foreign = ['notes.txt', 'mine/deep/model.gguf', '.hidden', 'model.safetensors.bak']
  for (const name of foreign) {
    const out = path('out')
    await convert(out)
    mkdirSync(dirname(join(out, name)), { recursive: true })
    writeFileSync(join(out, name), 'mine')
    await refused(out, [out, name], () => convert(out, { force: true }))
  }
  const out = path('out')
  await convert(out)
  symlinkSync(made.source, join(out, 'link'))
  await refused(out, ['link'], () => convert(out, { force: true }))
})

test('--force: the card goes over into the new output, with what belongs to it', async () => {
  const out = path('out')
  await convert(out)
  const kept = ['README.md', 'openllama-loss.svg', '.eval_results/a.yaml']
  mkdirSync(join(out, '.eval_results'))
  for (const name of kept) writeFileSync(join(out, name), name)
  const { warnings } = await convert(out, { force: true }, { dtype: 'f16' })
  for (const name of kept) assert.is(readFileSync(join(out, name), 'utf8'), name)
  assert.ok(warnings.some((each) => each.includes('README.md')))
  assert.equal(readdirSync(dirname(out)), ['out'])
})

test('--force: a file that is not as its record says is refused', async () => {
  const changes: ((file: string) => void)[] = [
    (file) => writeFileSync(file, 'mine'),
    (file) => {
      const bytes = readFileSync(file)
      bytes[bytes.length - 1] = 1 + (bytes.at(-1) ?? 0)
      writeFileSync(file, bytes)
    },
    (file) => {
      renameSync(file, `${file}.x`)
      symlinkSync(`${file}.x`, file)
    },
  ]
  for (const sha256 of [true, false]) {
    for (const change of changes) {
      const out = path('out')
      await convert(out, { sha256 })
      change(join(out, 'model.safetensors'))
      // A change that is as late as any: the clock of files may tick slowly.
      if (existsSync(join(out, 'model.safetensors.x')) === false) {
        const later = new Date(Date.now() + 2000)
        utimesSync(join(out, 'model.safetensors'), later, later)
      }
      await refused(out, ['model.safetensors'], () => convert(out, { force: true }))
    }
    const out = path('out')
    await convert(out, { sha256 })
    await convert(out, { force: true, sha256 })
  }
})

test('--force: a directory whose record is none of ours is refused', async () => {
  for (const record of ['{}', 'x', '{"tool":{"name":"other"}}', undefined]) {
    const out = path('out')
    mkdirSync(out)
    writeFileSync(join(out, 'mine'), 'mine')
    if (record !== undefined) writeFileSync(join(out, 'openllama.json'), record)
    await refused(out, ['not made by this program'], () => convert(out, { force: true }))
  }
  const link = path('link')
  await convert(`${link}.real`)
  symlinkSync(`${link}.real`, link)
  await refused(link, ['link'], () => convert(link, { force: true }))
})

test('a single file and its record: only what describes each other is replaced', async () => {
  const out = path('model.gguf')
  const record = `${out}.openllama.json`
  await toGguf(out)
  await refused(out, ['`force`'], () => toGguf(out))
  await toGguf(out, { force: true })
  assert.equal(readdirSync(dirname(out)).sort(), ['model.gguf', 'model.gguf.openllama.json'])
  // The record of another file, of none, and a file without a record.
  const text = readFileSync(record, 'utf8')
  writeFileSync(record, text.replace('"model.gguf"', '"other.gguf"'))
  await refused(out, ['does not describe it'], () => toGguf(out, { force: true }))
  writeFileSync(record, text)
  writeFileSync(out, 'mine')
  await refused(out, ['bytes'], () => toGguf(out, { force: true }))
  rmSync(record)
  await refused(out, ['not made by this program'], () => toGguf(out, { force: true }))
  // A record that is left alone.
  rmSync(out)
  writeFileSync(record, text)
  await refused(out, [record, '`force`'], () => toGguf(out))
  writeFileSync(record, text.replace('"model.gguf"', '"other.gguf"'))
  await refused(out, [record, 'no record'], () => toGguf(out, { force: true }))
  writeFileSync(record, text)
  await toGguf(out, { force: true })
})

test('a .partial that no conversion made is never removed, gone on from, or published', async () => {
  for (const run of [{}, { force: true }, { resume: true }]) {
    const out = path('out')
    mkdirSync(`${out}.partial`)
    writeFileSync(join(`${out}.partial`, 'mine'), 'mine')
    await refused(out, [`${out}.partial`, 'mine'], () => convert(out, run))
    const file = path('out')
    writeFileSync(`${file}.partial`, 'mine')
    await refused(file, [`${file}.partial`, 'a file'], () => convert(file, run))
    const link = path('out')
    mkdirSync(`${link}.real`)
    symlinkSync(`${link}.real`, `${link}.partial`)
    await refused(link, [`${link}.partial`, 'a link'], () => convert(link, run))
  }
})

test('foreign files and links in an unfinished conversion are named, and stay', async () => {
  const plants: [string, (partial: string) => void][] = [
    ['mine.txt', (partial) => writeFileSync(join(partial, 'mine.txt'), 'mine')],
    ['mine/', (partial) => mkdirSync(join(partial, 'mine'))],
    [
      'config.json',
      (partial) => {
        rmSync(join(partial, 'config.json'))
        symlinkSync(made.source, join(partial, 'config.json'))
      },
    ],
  ]
  for (const [name, plant] of plants) {
    for (const run of [{ force: true }, { resume: true }]) {
      const out = path('out')
      const aborter = new AbortController()
      const onProgress = () => aborter.abort()
      await fails(() => convert(out, { signal: aborter.signal, onProgress }), 'interrupted')
      plant(`${out}.partial`)
      await refused(out, [`${out}.partial`, name], () => convert(out, run))
    }
  }
})

test('names in a journal that lead out of its folder: nothing is removed by them', async () => {
  for (const name of ['../mine', '/etc/hostname', 'a/../../mine', '..', 'C:\\mine']) {
    const out = path('out')
    mkdirSync(`${out}.partial`)
    writeFileSync(join(dirname(out), 'mine'), 'mine')
    const plan = { plan: { fingerprint: 'x', files: [name], force: true } }
    const line = JSON.stringify({ crc32: crc32(JSON.stringify(plan)), ...plan })
    writeFileSync(join(`${out}.partial`, journalName), `${line}\n`)
    const before = contentOf(dirname(out))
    await fails(() => convert(out, { force: true }), 'input', 'journal is damaged')
    assert.equal(contentOf(dirname(out)), before)
  }
})

test('a dry run ends as the run would for what is at its paths, and changes nothing', async () => {
  const out = path('out')
  const conversion = await prepare({ ...made, out })
  const look = (force: boolean, resume = false) => refuseAsRun(conversion, { force, resume })
  await look(false)
  assert.equal(readdirSync(dirname(out)), [])
  await convert(out)
  await refused(out, ['exists', '`force`'], () => look(false))
  await look(true)
  writeFileSync(join(out, 'mine'), 'mine')
  await refused(out, ['mine'], () => look(true))
  const into = await prepare({ ...made, out: dirname(made.source) })
  await refused(out, ['source'], () => refuseAsRun(into, { force: true, resume: false }))
  const partial = path('out')
  mkdirSync(`${partial}.partial`)
  const unfinished = await prepare({ ...made, out: partial })
  await refused(partial, ['`resume`'], () =>
    refuseAsRun(unfinished, { force: false, resume: false }),
  )
})

test('what a resumed run may not do is told before anything is touched', async () => {
  const broken = makeSource(small, 'float32', withValues('transformer/wte/embedding', [Number.NaN]))
  const conversion = await prepare(broken)
  const aborter = new AbortController()
  const onProgress = () => aborter.abort()
  const run = { ...runOptions, allowNonFinite: true }
  await fails(
    () => runConversion(conversion, { ...run, signal: aborter.signal, onProgress }),
    'interrupted',
  )
  const before = contentOf(broken.folder)
  await fails(() => runConversion(conversion, { ...runOptions, resume: true }), 'input', 'NaN')
  assert.equal(contentOf(broken.folder), before)
  await runConversion(conversion, { ...run, resume: true })
})

test.run()
