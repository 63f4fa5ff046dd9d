import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from '../support/paths.js'
import { holdToSchema } from '../support/schemas.js'

test('the committed schemas are those of the types', () => {
  const program =
    "import { schemaFiles } from './scripts/schemas.js'; process.stdout.write(JSON.stringify([...schemaFiles()]))"
  const text = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  const made: [string, string][] = JSON.parse(text)
  const message =
    'stale: run `npm run snapshot`, commit what it changes, and say it in CHANGELOG.md'
  assert.equal(
    readdirSync(join(root, 'schemas')).sort(),
    made.map(([name]) => name).sort(),
    message,
  )
  for (const [name, schema] of made) {
    assert.fixture(
      readFileSync(join(root, 'schemas', name), 'utf8'),
      schema,
      `${name} is ${message}`,
    )
  }
})

test('a field that is missing, or that no schema tells, is found', () => {
  const card = { out: 'a', files: [], model: null, formats: [], sections: [], warnings: [] }
  const held = (json: object) => () => holdToSchema('card', JSON.stringify(json))
  assert.not.throws(held(card))
  assert.throws(held({ ...card, more: 1 }), /additional properties/)
  assert.throws(held({ ...card, out: undefined }), /required property 'out'/)
  assert.throws(held({ ...card, files: [{ path: 'a', bytes: '1' }] }), /must be number/)
})

test('numbers of weights that are not finite are null', () => {
  const first = { row: 0, column: 1, values: [Number.NaN, 1] }
  const values = { count: 1, elements: 2, largest: Number.POSITIVE_INFINITY, first }
  const tensor = { name: 'a', status: 'different', dtypes: ['f32', 'f16'], ...values }
  const diff = { same: false, tensors: [tensor], config: [], tokenizer: [], notes: [] }
  assert.not.throws(() => holdToSchema('diff', JSON.stringify(diff)))
  assert.throws(() => holdToSchema('diff', JSON.stringify({ ...diff, same: null })), /boolean/)
})

test.run()
