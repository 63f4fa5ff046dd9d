import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const root = fileURLToPath(new URL('../../../', import.meta.url))

const read = (name: string) => readFileSync(join(root, name), 'utf8')

test('the committed manifest and snapshot are those of the commands as built', () => {
  const manifest = read('oclif.manifest.json')
  const snapshot = read('test/commands/snapshot.json')
  execFileSync(process.execPath, ['scripts/snapshot.js'], { cwd: root, stdio: 'pipe' })
  const message = 'stale: run `npm run snapshot` and commit what it changes'
  assert.is(read('oclif.manifest.json'), manifest, message)
  assert.is(read('test/commands/snapshot.json'), snapshot, message)
})

test.run()
