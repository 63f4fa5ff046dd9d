import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { root } from './paths.js'
import { holdToSchema, schemaOf } from './schemas.js'

/** How a run of the program ended. */
export interface Ran {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
  seconds: number
}

export interface RunOptions {
  cwd?: string
  env?: Record<string, string>
  /** A shell command that is to come before the program: `ulimit -f 1000`. */
  before?: string
  /** Conversions are checked only where a test asks for it: starting two engines takes seconds. */
  checked?: boolean
  /** Called with the process once it runs. */
  onStart?(child: ChildProcess): void
}

const program = join(root, 'bin', 'run.js')

/** Starts the program as users do; a few run at a time, the others wait. */
export async function openllama(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  while (running >= most) await new Promise<void>((resolve) => waiting.push(resolve))
  running++
  try {
    return await run(args, options)
  } finally {
    running--
    waiting.shift()?.()
  }
}

const { FORCE_COLOR: _, ...inherited } = process.env

/** The machine may have two cores. */
const most = 3
let running = 0
const waiting: (() => void)[] = []

function run(
  given: readonly string[],
  { cwd, env, before, checked, onStart }: RunOptions,
): Promise<Ran> {
  const start = performance.now()
  const [first] = given
  const plain = first === 'convert' && !checked
  // Other tests run beside this one, and threads that wait for each other would wait long.
  const runsModels =
    (first === 'check' || (first === 'convert' && checked)) && !given.includes('--threads')
  const args = [
    ...given,
    ...(plain ? ['--no-check', '--sha256'] : []),
    ...(runsModels ? ['--threads', '1'] : []),
  ]
  const [command, all] =
    before === undefined
      ? [process.execPath, [program, ...args]]
      : ['sh', ['-c', `${before} && exec "$0" "$@"`, process.execPath, program, ...args]]
  const child = spawn(command, all, {
    ...(cwd === undefined ? {} : { cwd }),
    // Colours and terminals of whoever runs the tests are none of the tests'.
    env: { ...inherited, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onStart?.(child)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      try {
        if (given.includes('--json')) holdToSchema(schemaOf(given), stdout)
      } catch (error) {
        reject(error)
      }
      resolve({ code, signal, stdout, stderr, seconds: (performance.now() - start) / 1000 })
    })
  })
}
