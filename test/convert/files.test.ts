import { readFileSync, renameSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openFiles } from '../../src/convert/files.js'
import { identityOf } from '../../src/io/tree.js'
import { fails } from '../support/errors.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: files')

const bytes = Uint8Array.of(1, 2, 3)

test('a file that took an output’s place is not written to, nor what a link there leads to', async () => {
  const folder = tempDir()
  const [path, mine] = [join(folder, 'a'), join(folder, 'mine')]
  writeFileSync(path, 'old')
  const outputs = new Map([['a', identityOf(statSync(path, { bigint: true }))]])
  const files = openFiles(folder, undefined, outputs)
  files.write('a', 0, bytes)
  files.close()
  assert.equal([...readFileSync(path)], [1, 2, 3])
  renameSync(path, `${path}.2`)
  writeFileSync(path, 'another')
  const late = openFiles(folder, undefined, outputs)
  await fails(() => late.write('a', 0, bytes), 'resources', path, 'took its place')
  late.close()
  assert.is(readFileSync(path, 'utf8'), 'another')
  writeFileSync(mine, 'mine')
  renameSync(path, `${path}.3`)
  symlinkSync(mine, path)
  const linked = openFiles(folder)
  try {
    linked.write('a', 0, bytes)
    assert.unreachable('the link was followed')
  } catch (error) {
    assert.not(error instanceof assert.Assertion)
  }
  linked.close()
  assert.is(readFileSync(mine, 'utf8'), 'mine')
})

test.run()
