// Mutation testing: changes the source in many places, one at a time, and asks whether a test fails.
//   npm run mutate -- [ROOM|FILE …] [--sample N] [--seed S] [--budget SECONDS] [--jobs N] [--again]
// takes N mutants of each room (or of each file that is named), chosen by the seed; --again takes
// those alone that nothing has killed yet. Stryker's instrumenter makes the mutants; only those files
// of tests run that come by one, the nearest and the quick first, until one fails.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { coverTests } from './mutate/coverage.js'
import { home, makeSandbox, rooms } from './mutate/sandbox.js'
import { runTest } from './mutate/trial.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string', default: '80' },
    seed: { type: 'string', default: '1' },
    budget: { type: 'string', default: '60' },
    jobs: { type: 'string', default: `${Math.max(1, availableParallelism() - 1)}` },
    again: { type: 'boolean', default: false },
  },
})
const [sample, budget, jobs] = [values.sample, values.budget, values.jobs].map(Number)
/** Files of tests that take longer come last, as far as the budget goes. */
const quick = 3

const mutants = await makeSandbox()
const groups = (positionals.length === 0 ? rooms : positionals).map((name) => {
  const among = mutants.filter(({ file }) => file === name || file.startsWith(`src/${name}/`))
  if (among.length === 0) throw new Error(`no mutants in ${name}: name a room, or a file of src/`)
  return { name, all: among.length, chosen: choose(among) }
})
const tests = await coverTests()

const note = join(home, 'results.json')
const results = new Map(existsSync(note) ? JSON.parse(readFileSync(note, 'utf8')) : [])
// One of each room after the other: a run that is cut short knows as much of each.
const queue = Array.from({ length: sample }, (_, i) => groups.map(({ chosen }) => chosen[i] ?? []))
  .flat(2)
  .filter(({ name }) => !values.again || !/^(killed|timeout)$/.test(results.get(name)?.end))
console.log(`${queue.length} mutants, seed ${values.seed}`)
let done = 0
await Promise.all(Array.from({ length: jobs }, () => work()))
report()

/** The first N in an order that the seed makes, and that changes elsewhere leave as it is. */
function choose(among) {
  const rank = ({ name }) => createHash('sha256').update(`${values.seed} ${name}`).digest('hex')
  return among
    .map((mutant) => ({ mutant, rank: rank(mutant) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, sample)
    .map(({ mutant }) => mutant)
}

async function work() {
  for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
    const result = await tryMutant(mutant)
    results.set(mutant.name, result)
    writeFileSync(note, JSON.stringify([...results]))
    console.log(`${++done} ${result.end} ${textOf(mutant)}${result.by ? ` [${result.by}]` : ''}`)
  }
}

async function tryMutant({ id, file }) {
  const covering = tests.filter((each) => each.mutants.has(id))
  if (covering.length === 0) return { end: 'uncovered' }
  let spent = 0
  let left = 0
  for (const { name, took } of inOrder(covering, file)) {
    if (spent > 0 && spent + took > budget) {
      left++
      continue
    }
    spent += took
    const env = { OPENLLAMA_MUTANT: id }
    const { status } = await runTest(name, env, 10 + 5 * took)
    if (status !== 0) return { end: status === undefined ? 'timeout' : 'killed', by: name }
  }
  return { end: 'survived', ...(left > 0 ? { left } : {}) }
}

/** Tests of the file itself, of its room, of others; within each those that are quick. */
function inOrder(covering, file) {
  const own = file.replace(/^src\//, '').replace(/\.ts$/, '.test.js')
  const room = own.slice(0, own.lastIndexOf('/') + 1)
  const rank = ({ name, took }) =>
    (took > quick ? 10 : 0) + (name === own ? 0 : name.startsWith(room) ? 1 : 2)
  return covering.toSorted((a, b) => rank(a) - rank(b) || a.took - b.took)
}

function report() {
  console.log('\nroom       mutants  sample  killed  timeout  survived  uncovered  score')
  for (const { name, all, chosen } of groups) {
    const count = (end) => chosen.filter((mutant) => results.get(mutant.name)?.end === end).length
    const counts = ['killed', 'timeout', 'survived', 'uncovered'].map(count)
    const score = (100 * (counts[0] + counts[1])) / chosen.length
    const cells = [all, chosen.length, ...counts].map((each, i) =>
      `${each}`.padStart([7, 6, 6, 7, 8, 9][i] ?? 0),
    )
    console.log(`${name.padEnd(9)}  ${cells.join('  ')}  ${score.toFixed(0).padStart(3)} %`)
  }
  for (const { chosen } of groups) {
    for (const mutant of chosen) {
      const { end, left } = results.get(mutant.name) ?? {}
      if (end !== 'survived' && end !== 'uncovered') continue
      console.log(`${end} ${textOf(mutant)}${left ? ` (${left} slow files not run)` : ''}`)
    }
  }
}

function textOf({ file, line, mutator, before, after }) {
  const short = (text) => text.replace(/\s+/g, ' ').slice(0, 100)
  return `${file}:${line} ${mutator}: ${short(before)} → ${short(after)}`
}
