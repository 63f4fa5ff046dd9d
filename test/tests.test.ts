import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from './support/paths.js'

// uvu counts a file that forgets to run its tests as passed; these are what keeps that from happening.

const test = suite('tests')

const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).filter(
  (name) => name.endsWith('.ts'),
)
const textOf = (name: string) => readFileSync(join(root, 'test', name), 'utf8')
const isTest = (name: string) => name.endsWith('.test.ts')

test('every file of tests runs all of its suites', () => {
  assert.ok(files.filter(isTest).length > 20)
  for (const name of files.filter(isTest)) {
    const suites = [...textOf(name).matchAll(/^const (\w+) = suite\(/gm)].map((match) => match[1])
    const plain = /import \{ [^}]*\btest\b[^}]*\} from 'uvu'/.test(textOf(name)) ? ['test'] : []
    assert.ok(suites.length + plain.length > 0, `${name} has no suite`)
    for (const each of [...suites, ...plain])
      assert.ok(textOf(name).includes(`\n${each}.run()\n`), `${name} never runs ${each}`)
  }
})

test('no other file has tests in it, which no one would run', () => {
  for (const name of files.filter((each) => !isTest(each)))
    assert.not(/^import (?!type ).* from 'uvu'/m.test(textOf(name)), name)
})

test('no test is left out, or run alone', () => {
  for (const name of files.filter(isTest))
    assert.not(/\b\w+\.(only|skip)\(/.test(textOf(name)), name)
})

test('no path of one machine is in a test', () => {
  for (const name of files) assert.not(/['"`/](home|work|Users)\/\w+\//.test(textOf(name)), name)
})

test.run()
