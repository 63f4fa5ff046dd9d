import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { writeOutputs } from '../../src/io/output.js'
import { fails, failure } from '../support/errors.js'
import { tempDir } from '../support/temp.js'

const test = suite('io: outputs')

const bytes = new TextEncoder().encode('new')
const namesIn = (folder: string) => readdirSync(folder).sort()
const textOf = (...path: string[]) => readFileSync(join(...path), 'utf8')

test('a file, a folder or a link that is there is refused before anything is written', async () => {
  const folder = tempDir()
  writeFileSync(join(folder, 'file'), 'old')
  mkdirSync(join(folder, 'folder'))
  symlinkSync('nowhere', join(folder, 'link'))
  for (const name of ['file', 'folder', 'link']) {
    const paths = [join(folder, 'first'), join(folder, name)]
    const files = paths.map((path) => ({ path, bytes }))
    await fails(() => writeOutputs(files, false), 'usage', join(folder, name))
    assert.equal(namesIn(folder), ['file', 'folder', 'link'])
  }
  assert.is(textOf(folder, 'file'), 'old')
})

test('what comes there meanwhile is not replaced, and those before it are taken back', async () => {
  const folder = tempDir()
  const { link } = fs
  fs.link = async (from, to) => {
    if (String(to).endsWith('b')) writeFileSync(to, 'old')
    return link(from, to)
  }
  syncBuiltinESMExports()
  try {
    const files = ['a', 'b', 'c'].map((name) => ({ path: join(folder, name), bytes }))
    await fails(() => writeOutputs(files, false), 'usage', join(folder, 'b'), 'exists')
  } finally {
    fs.link = link
    syncBuiltinESMExports()
  }
  assert.equal(namesIn(folder), ['b'])
  assert.is(textOf(folder, 'b'), 'old')
})

test('replaced, and one cannot be: all are as they were', async () => {
  const folder = tempDir()
  for (const name of ['a', 'b']) writeFileSync(join(folder, name), 'old')
  const { rename } = fs
  fs.rename = async (from, to) => {
    if (String(to).endsWith('b')) throw Object.assign(new Error('EACCES'), { code: 'EACCES' })
    return rename(from, to)
  }
  syncBuiltinESMExports()
  try {
    const files = ['a', 'b'].map((name) => ({ path: join(folder, name), bytes }))
    await fails(() => writeOutputs(files, true), 'resources', join(folder, 'b'))
  } finally {
    fs.rename = rename
    syncBuiltinESMExports()
  }
  assert.equal(namesIn(folder), ['a', 'b'])
  for (const name of ['a', 'b']) assert.is(textOf(folder, name), 'old')
})

test('what fails when all is there says so', async () => {
  const folder = tempDir()
  const path = join(folder, 'sub', 'a')
  const { open } = fs
  fs.open = async (at, ...rest) => {
    if (at === join(folder, 'sub')) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    return open(at, ...rest)
  }
  syncBuiltinESMExports()
  try {
    const error = await failure(() => writeOutputs([{ path, bytes }], false))
    assert.is(error.exit, 6)
    assert.match(error.message, 'all files are whole')
  } finally {
    fs.open = open
    syncBuiltinESMExports()
  }
  assert.ok(existsSync(path))
  assert.equal(namesIn(join(folder, 'sub')), ['a'])
})

test('a temporary file that cannot be removed is named, and is said to be needed by nothing', async () => {
  const folder = tempDir()
  const path = join(folder, 'a')
  const { rm } = fs
  fs.rm = async () => {
    throw Object.assign(new Error('EBUSY'), { code: 'EBUSY' })
  }
  syncBuiltinESMExports()
  try {
    const error = await failure(() => writeOutputs([{ path, bytes }], false))
    assert.is(error.exit, 6)
    const left = namesIn(folder).filter((name) => name.endsWith('.partial'))
    assert.match(error.message, `${left.join()}: all files are whole`)
    // Of several, those that are there: partial ones have their names.
    const paths = ['b', 'c'].map((name) => join(folder, name))
    for (const path of paths) writeFileSync(path, 'old')
    const several = await failure(() =>
      writeOutputs(
        paths.map((path) => ({ path, bytes })),
        true,
      ),
    )
    const names = namesIn(folder).filter((name) => name.endsWith('.before'))
    assert.is(names.length, 2)
    assert.equal(several.suggestions, [`Remove what nothing needs any more: ${names.join(', ')}`])
  } finally {
    fs.rm = rm
    syncBuiltinESMExports()
  }
  for (const name of ['a', 'b', 'c']) assert.is(textOf(folder, name), 'new')
})

test.run()
