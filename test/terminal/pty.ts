import { spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import { root } from '../support/paths.js'

/** What is done to a program in a terminal; pty.py says what each does. */
export type Step =
  | ['wait', number]
  | ['until', string]
  | ['send', string]
  | ['signal', number]
  | ['stopped']
  | ['continue']
  | ['resize', number]

export const keys = { interrupt: '\x03', quit: '\x1c', suspend: '\x1a' } as const

/** How a program in a terminal ended. */
export interface Ended {
  code: number | null
  signal: number | null
  /** From the last key or signal to the end. */
  seconds: number
  /** It was still there when a key was to be pressed, or a signal sent. */
  sent: boolean
  hung: boolean
  written: string
  /** The terminal's settings afterwards are those of before. */
  same: boolean
  problems: string[]
}

/** Where Python is not there, nothing can be tried in a terminal. */
export function hasPython(): boolean {
  return process.platform !== 'win32' && spawnSync('python3', ['--version']).status === 0
}

/** Runs openllama in a pseudo-terminal of its own, as the job of a shell. */
export async function inTerminal(
  args: readonly string[],
  steps: readonly Step[],
  {
    env = {},
    cwd,
    limit = 600,
    columns = 100,
  }: { env?: Record<string, string>; cwd?: string; limit?: number; columns?: number } = {},
): Promise<Ended> {
  const command = [process.execPath, join(root, 'bin', 'run.js'), ...args]
  const { CI: _, NO_COLOR: __, ...inherited } = process.env
  const child = spawn(
    'python3',
    [join(root, 'test', 'terminal', 'pty.py'), JSON.stringify({ command, steps, limit, columns })],
    {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...inherited, TERM: 'xterm', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  await new Promise((resolve) => child.on('close', resolve))
  return JSON.parse(output)
}

export const signals = constants.signals
