import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { journalName, openJournal, readJournal } from '../../src/convert/journal.js'
import { tempDir } from '../support/temp.js'

const test = suite('convert: journal')

test('a tile stands in it only once its bytes are on disk', async () => {
  const folder = tempDir()
  const head = { fingerprint: 'one', files: ['a'], force: false }
  const lines = () => readFileSync(join(folder, journalName), 'utf8').trim().split('\n').length
  const before: number[] = []
  const journal = await openJournal(folder, head, undefined, async () => {
    before.push(lines())
  })
  const facts = { nan: 0, infinite: 0, overflowed: 0, vanished: 0 }
  await journal.add({ tile: 3, crc32: 7, facts })
  assert.equal([before, lines()], [[], 1])
  await journal.close()
  // When the outputs were synced there was the head alone.
  assert.equal(before, [1])
  assert.is(lines(), 2)
  assert.equal(
    (await readJournal(folder))?.done.map(({ tile }) => tile),
    [3],
  )
})

test.run()
