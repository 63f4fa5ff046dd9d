import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/paths.js'

test('what the library exports, and all types of it, are those of api.txt', () => {
  const program = "import { surfaceOf } from './scripts/api.js'; process.stdout.write(surfaceOf())"
  const surface = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    encoding: 'utf8',
  })
  const committed = readFileSync(join(root, 'test', 'library', 'api.txt'), 'utf8')
  assert.fixture(
    surface,
    committed,
    'changed: where that is meant, run `npm run snapshot`, commit it, and say it in CHANGELOG.md',
  )
})

test.run()
