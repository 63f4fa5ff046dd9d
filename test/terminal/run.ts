// Every command that takes a while, in a terminal, with Ctrl-C, Ctrl-\, Ctrl-Z and signals at moments
// all over its run: npm run test:terminal -- [MOMENTS] [COMMAND]
// It makes a checkpoint of some hundred million parameters, takes some 3 GB of disk and some minutes,
// and prints a line for each moment that was wrong, and the longest wait of each command.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  copyFileSync,
  createWriteStream,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { configToHf } from '../../src/checkpoint/config.js'
import { presets } from '../../src/checkpoint/presets.js'
import { largeFile } from '../support/hub/hub.js'
import { startSession } from '../support/hub/session.js'
import { fixture, root } from '../support/paths.js'
import { tempDirOnDisk } from '../support/temp.js'
import { type Ended, hasPython, inTerminal, keys, type Step, signals } from './pty.js'

/** Seconds that a command may go on after a key; more where the machine is busy with other things. */
const patience = Number(process.env.TERMINAL_SECONDS ?? 1)

interface Scenario {
  args: readonly string[] | (() => readonly string[])
  env?: Record<string, string>
  /** What may be there afterwards besides what was there before: the work that can be gone on from. */
  leaves?: RegExp
}

const [moments = '4', only] = process.argv.slice(2)
if (!hasPython()) throw new Error('python3 is needed, to open pseudo-terminals with')

const inputs = [
  'config.json',
  'params',
  'tokenizer.model',
  'q8_0.gguf',
  'q8_0.gguf.openllama.json',
  'pushed',
  'corpus.txt',
]

const folder = tempDirOnDisk()
const at = (name: string): string => join(folder, name)
await makeInputs()
const session = await startSession()
await session.hub.commit('tester/big', { 'model.bin': await largeFile(at('params')), 'a.txt': 'a' })
const convert = ['convert', 'params', '--force', '--out']

const scenarios: Record<string, Scenario> = {
  'convert to f16, checked': {
    args: [...convert, 'out', '--to', 'safetensors', '--dtype', 'f16'],
    leaves: /^out(\.partial)?$/,
  },
  'convert to q4_k_m, checked': {
    args: [...convert, 'out.gguf', '--to', 'gguf', '--dtype', 'q4_k_m'],
    leaves: /^out\.gguf/,
  },
  'convert in one thread': {
    args: [...convert, 'out', '--to', 'onnx', '--dtype', 'q4', '--threads', '1', '--no-check'],
    leaves: /^out(\.partial)?$/,
  },
  check: { args: ['check', 'params', '--tokens', '8'] },
  'check --against': {
    args: ['check', 'q8_0.gguf', '--against', 'params', '--positions', '64', '--tokens', '8'],
  },
  diff: { args: ['diff', 'params', 'q8_0.gguf'] },
  'tokenizer check': { args: ['tokenizer', 'check', 'tokenizer.model', '--corpus', 'corpus.txt'] },
  'gguf set': {
    // Another text each time: there would be nothing to change.
    args: () => ['gguf', 'set', 'q8_0.gguf', `general.description=${longText()}`],
  },
  pull: { args: ['pull', 'tester/big', '--out', 'pulled'], env: session.env, leaves: /^pulled$/ },
  push: {
    args: () => {
      changeWeights(at(join('pushed', 'model.gguf')))
      return ['push', 'pushed', `tester/new-${turn++}`, '--create', '--unchecked']
    },
    env: session.env,
  },
}

let turn = 0

function longText(): string {
  return `${turn++} `.repeat(20_000)
}

/** The Hub has what was sent before, and would take it again at once. */
function changeWeights(path: string): void {
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.from([turn % 128]), 0, 1, statSync(path).size - 1)
  closeSync(file)
}

let wrong = 0
try {
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (only === undefined || name.includes(only)) await tryAll(name, scenario)
  }
} finally {
  await session.hub.close()
}
console.log(wrong === 0 ? 'terminal: all as it should be' : `terminal: ${wrong} wrong`)
process.exitCode = wrong === 0 ? 0 : 1

async function tryAll(name: string, scenario: Scenario): Promise<void> {
  const whole = await run(scenario, [])
  const seconds = whole.seconds
  const waits: number[] = []
  const count = Number(moments)
  const interrupts: [what: string, step: Step, signal: number | null][] = [
    ['Ctrl-C', ['send', keys.interrupt], signals.SIGINT],
    ['SIGTERM', ['signal', signals.SIGTERM], signals.SIGTERM],
    ['SIGHUP', ['signal', signals.SIGHUP], signals.SIGHUP],
    ['Ctrl-\\', ['send', keys.quit], signals.SIGQUIT],
  ]
  for (let i = 0; i < count; i++) {
    const [what, step, signal] = interrupts[i % 8 < 5 ? 0 : (i % 8) - 4] ?? interrupts[0] ?? []
    if (what === undefined || step === undefined) continue
    // From when Node itself is up to the end, however long both take.
    const moment = 0.4 + ((i + Math.random()) / count) * Math.max(0.1, seconds - 0.6)
    const ended = await run(scenario, [['wait', moment], step])
    const done = ended.code !== null && ended.code !== 130 && ended.code === whole.code
    // Before Node itself has begun, and where all is said and it is ending, signals have no listener.
    const isAtEdge = moment < patience || hasSaidAll(ended, whole)
    const killed = ended.signal === signal && (what === 'Ctrl-\\' || isAtEdge)
    const faults = [
      ...judge(ended, scenario),
      ...(ended.code === 130 || killed || done
        ? []
        : [`code ${ended.code}, signal ${ended.signal}`]),
    ]
    if (ended.sent && !done) waits.push(ended.seconds)
    report(`${name}: ${what} after ${moment.toFixed(1)} s`, faults, ended)
  }
  const suspended = await run(scenario, [
    ['wait', 0.5 + seconds / 3],
    ['send', keys.suspend],
    ['stopped'],
    ['wait', 0.5],
    ['continue'],
    ['wait', 0.5],
    ['send', keys.interrupt],
  ])
  const early = seconds < 2
  if (!early) {
    report(`${name}: Ctrl-Z, fg, Ctrl-C`, judge(suspended, scenario), suspended)
    if (suspended.sent) waits.push(suspended.seconds)
  }
  const longest = Math.max(0, ...waits).toFixed(2)
  console.log(
    `${name}: ${seconds.toFixed(1)} s alone (code ${whole.code}), ${waits.length} interrupted, ${longest} s at most`,
  )
}

/** Whether the last line of a run that nothing came into was written. */
function hasSaidAll(ended: Ended, whole: Ended): boolean {
  const last = whole.written
    .split(/[\r\n]+/)
    .filter((line) => /\w{3}/.test(line))
    .at(-1)
  return last !== undefined && ended.written.includes(last)
}

async function run({ args, env = {} }: Scenario, steps: Step[]): Promise<Ended> {
  for (const name of readdirSync(folder)) {
    if (!inputs.includes(name)) rmSync(at(name), { recursive: true, force: true })
  }
  const home = session.settings.cache
  rmSync(home, { recursive: true, force: true })
  return inTerminal(typeof args === 'function' ? args() : args, steps, { cwd: folder, env })
}

function judge(ended: Ended, { leaves }: Scenario): string[] {
  const extra = readdirSync(folder).filter((name) => !inputs.includes(name) && !leaves?.test(name))
  return [
    ...ended.problems,
    ...(ended.hung ? ['it hung'] : []),
    ...(ended.sent && ended.seconds > patience
      ? [`it went on for ${ended.seconds.toFixed(2)} s`]
      : []),
    ...(ended.same ? [] : ['the terminal has other settings']),
    ...(extra.length > 0 ? [`left behind: ${extra.join(', ')}`] : []),
    ...(/\n\s+at .*:\d+/.test(ended.written) ? ['a stack trace'] : []),
  ]
}

function report(what: string, faults: readonly string[], { written }: Ended): void {
  if (faults.length === 0) return
  wrong++
  console.log(`WRONG ${what}: ${faults.join('; ')}\n  …${JSON.stringify(written.slice(-300))}`)
}

async function makeInputs(): Promise<void> {
  const run = (script: string, ...args: string[]) =>
    execFileSync(
      process.execPath,
      [...(script.endsWith('.ts') ? ['--import', 'tsx'] : []), join(root, script), ...args],
      {
        cwd: root,
        stdio: 'inherit',
      },
    )
  run('scripts/make-checkpoint.ts', 'llama_1b', at('params'), '--layers', '4')
  const config = presets.get('llama_1b')
  if (config === undefined) throw new Error('there is no llama_1b')
  const json = configToHf({ ...config, num_hidden_layers: 4 }, 'bf16')
  writeFileSync(at('config.json'), JSON.stringify(json))
  copyFileSync(fixture('tiny-v2', 'easylm', 'tokenizer.model'), at('tokenizer.model'))
  const made = ['--to', 'gguf', '--dtype', 'q8_0', '--no-check']
  run('bin/run.js', 'convert', at('params'), ...made, '--out', at('q8_0.gguf'))
  mkdirSync(at('pushed'))
  copyFileSync(at('q8_0.gguf'), at(join('pushed', 'model.gguf')))
  writeFileSync(at(join('pushed', 'README.md')), '---\nlicense: mit\n---\n# Model\n')
  const corpus = createWriteStream(at('corpus.txt'))
  for (let i = 0; i < 20_000; i++) {
    const line = `${i} The quick brown fox jumps over the lazy dog; résumé, naïve, 漢字, ${i * 7919}.\n`
    if (!corpus.write(line)) await once(corpus, 'drain')
  }
  corpus.end()
  await once(corpus, 'close')
}
