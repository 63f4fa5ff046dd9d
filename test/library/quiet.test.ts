import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/paths.js'

test('what the library is made of neither prints, nor ends the process, nor listens to its signals', () => {
  const src = join(root, 'src')
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts') && !/^(commands|cli)\//.test(name))
    // A process of its own, which the engines run in.
    .filter((name) => name !== 'engines/child.ts')
  assert.ok(files.length > 100)
  const found = files.filter((name) =>
    /process\.(exit\b|exitCode|stdout|stderr|on\()|^\s*console\./m.test(
      // Texts for others, such as the examples of a card, may have anything in them.
      readFileSync(join(src, name), 'utf8').replace(/`[^`]*`/g, ''),
    ),
  )
  assert.equal(found, [])
})

test.run()
