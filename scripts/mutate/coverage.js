// Which mutants' places each file of tests comes by, and how long it takes. What has been found
// stays in .mutate until the source changes, or what the tests share, or the file itself.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf, home, project } from './sandbox.js'
import { runTest } from './trial.js'

const folder = join(home, 'coverage')
const most = 600

/** @returns for each file that passes without a mutant: its name, its seconds, what it comes by */
export async function coverTests() {
  const built = join(project, 'build')
  const names = readdirSync(built, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.js'))
    .sort()
  const textOf = (name) => readFileSync(join(built, name))
  const isTest = (name) => /^test[\\/].*\.test\.js$/.test(name)
  const common = digestOf(
    names.filter((name) => !isTest(name)),
    textOf,
  )
  mkdirSync(folder, { recursive: true })
  const tests = []
  for (const name of names.filter(isTest)) {
    const digest = digestOf([name], (each) => `${common}${textOf(each)}`)
    const found = await cover(name.slice('test/'.length), join(folder, `${digest}.json`))
    if (found.status === 0) tests.push({ ...found, mutants: new Set(found.mutants) })
  }
  return tests
}

async function cover(name, note) {
  if (existsSync(note)) return JSON.parse(readFileSync(note, 'utf8'))
  const passed = join(folder, 'passed')
  rmSync(passed, { force: true })
  const env = { OPENLLAMA_MUTATE_COVERAGE: join(process.cwd(), passed) }
  const { status, took } = await runTest(name, env, most)
  const mutants = existsSync(passed)
    ? [...new Set(readFileSync(passed, 'utf8').trim().split('\n'))]
    : []
  const how = status === 0 ? `comes by ${mutants.length} mutants` : 'fails in the copy: left out'
  console.log(`${name}: ${took.toFixed(1)} s, ${how}`)
  const found = { name, status, took, mutants }
  writeFileSync(note, JSON.stringify(found))
  return found
}
