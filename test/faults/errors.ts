// Errors of the file system at chosen calls of every command: npm run test:errors -- [N] [SEED]
// Each run must end with 3 or 6 (or do its work where the error does no harm), and leave either
// nothing, or the old output, or the whole new one, of which it must speak; and the next run must
// bring what the first was to bring. Prints a line for each that did not, and the figures.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Outcome } from './trial.js'

const [count = '500', seed = '1'] = process.argv.slice(2)

/** Seconds after which a run counts as hung; a machine that is busy with other things takes longer. */
const patience = Number(process.env.ERRORS_SECONDS ?? 20)

const url = (name: string) => new URL(name, import.meta.url)
let child: ChildProcess | undefined

const start = performance.now()
const sums = new Map<string, { tried: number; harmless: number; wrong: number }>()
let hits = 0
for (let i = 0; hits < Number(count); i++) {
  const outcome = await tryOne(Number(seed) * 1_000_003 + i)
  if (outcome === undefined || !outcome.hit) continue
  hits++
  const sum = sums.get(outcome.scenario) ?? { tried: 0, harmless: 0, wrong: 0 }
  sums.set(outcome.scenario, sum)
  sum.tried++
  if (outcome.code === 0) sum.harmless++
  if (outcome.faults.length > 0) {
    sum.wrong++
    console.log(`WRONG ${outcome.scenario}, ${outcome.what}: ${outcome.faults.join('; ')}`)
    if (outcome.said !== '') console.log(outcome.said.replace(/^/gm, '  '))
  }
  if (hits % 50 === 0) console.log(`${hits} errors, ${Math.round(seconds())} s`)
}
child?.kill('SIGKILL')

console.log('scenario: errors injected, of them without harm, wrong')
let wrong = 0
for (const [name, sum] of [...sums].sort()) {
  wrong += sum.wrong
  console.log(`  ${name}: ${sum.tried}, ${sum.harmless}, ${sum.wrong}`)
}
console.log(`${hits} errors injected, ${wrong} wrong, ${(seconds() / hits).toFixed(2)} s each`)
process.exitCode = wrong === 0 ? 0 : 1

function seconds(): number {
  return (performance.now() - start) / 1000
}

async function tryOne(number: number): Promise<Outcome | undefined> {
  child ??= await begin()
  const running = child
  running.send({ number })
  // Of a run that makes an engine start, or a scenario's folder the first time, some seconds more.
  const limit = AbortSignal.timeout(4 * patience * 1000)
  try {
    const [outcome]: Outcome[] = await once(running, 'message', { signal: limit })
    if (outcome !== undefined && outcome.seconds > patience) outcome.faults.push('it took too long')
    return outcome
  } catch {
    running.kill('SIGKILL')
    child = undefined
    return {
      scenario: 'unknown',
      what: `trial ${number}`,
      hit: true,
      code: -1,
      seconds: patience,
      faults: ['it hung, or ended the process'],
      said: '',
    }
  }
}

async function begin(): Promise<ChildProcess> {
  const started = fork(fileURLToPath(url('./trial.js')), [], {
    execArgv: ['--import', url('./inject.js').href, '--enable-source-maps'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await once(started, 'message')
  return started
}
