// What the copy's source asks at every place of a mutant: which one runs, if any. Where coverage is
// taken it notes the places that it comes by, in each process and thread of a test.
import { appendFileSync } from 'node:fs'

const active = process.env.OPENLLAMA_MUTANT
const into = process.env.OPENLLAMA_MUTATE_COVERAGE
const passed = into === undefined ? undefined : new Set()
let fresh = []

// The names are those that the instrumenter writes.
export function stryMutAct_9fa48(id) {
  return id === active
}

/** A place's mutants always come together: the first stands for all. */
export function stryCov_9fa48(first, ...others) {
  if (passed === undefined || passed.has(first)) return
  for (const id of [first, ...others]) {
    passed.add(id)
    fresh.push(id)
  }
}

if (into !== undefined) {
  // A thread or a process that is ended from outside notes nothing at its end.
  setInterval(note, 50).unref()
  process.on('exit', note)
}

function note() {
  if (fresh.length > 0) appendFileSync(into, `${fresh.join('\n')}\n`)
  fresh = []
}
