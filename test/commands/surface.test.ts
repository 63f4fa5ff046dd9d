import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

test('the committed manifest and snapshot are those of the commands as built', () => {
  const folder = tempDir()
  execFileSync(process.execPath, ['scripts/snapshot.js', folder], { cwd: root, stdio: 'pipe' })
  for (const name of ['oclif.manifest.json', 'test/commands/snapshot.json']) {
    const [made, committed] = [folder, root].map((from) => readFileSync(join(from, name), 'utf8'))
    assert.is(committed, made, 'stale: run `npm run snapshot` and commit what it changes')
  }
})

test.run()
