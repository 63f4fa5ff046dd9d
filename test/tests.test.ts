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

test('every file of tests runs them', () => {
  assert.ok(files.filter(isTest).length > 15)
  for (const name of files.filter(isTest)) {
    const suites = textOf(name).match(/^const \w+ = suite\(/gm)?.length ?? 0
    const runs = textOf(name).match(/^\w+\.run\(\)$/gm)?.length ?? 0
    assert.ok(suites > 0, `${name} has no suite`)
    assert.is(runs, suites, `${name} runs all of its suites`)
  }
})

test('nothing else has tests in it, or is left out', () => {
  for (const name of files.filter((each) => !isTest(each))) {
    assert.ok(name.startsWith('support'), `${name} is neither a test nor support`)
    assert.not(textOf(name).includes('suite('), `${name} has tests that no one runs`)
  }
})

test('no test is left out, or run alone', () => {
  for (const name of files.filter(isTest))
    assert.not(/\b\w+\.(only|skip)\(/.test(textOf(name)), name)
})

test('no path of one machine is in a test', () => {
  for (const name of files) assert.not(/['"`/](home|work|Users)\/\w+\//.test(textOf(name)), name)
})

test.run()
