import Card from '../../src/commands/card.js'
import Convert from '../../src/commands/convert.js'
import Diff from '../../src/commands/diff.js'
import Inspect from '../../src/commands/inspect.js'
import * as child from './cli.js'
import { inProcess } from './in-process.js'

const commands = { card: Card, convert: Convert, diff: Diff, inspect: Inspect }

let last: Promise<unknown> = Promise.resolve()

/**
 * As support/cli.js runs the program, for tests of what commands say and write, and not of processes:
 * in this one, where nothing asks for another, since starting one takes half a second.
 */
export async function openllama(
  args: readonly string[],
  options: child.RunOptions = {},
): Promise<child.Ran> {
  const [name = '', ...rest] = args
  const command = Object.entries(commands).find(([known]) => known === name)?.[1]
  if (command === undefined || Object.keys(options).length > 0 || !isPlain(rest)) {
    return child.openllama(args, options)
  }
  // What it prints is caught for the whole process: one at a time.
  const run = last.then(async () => {
    const start = performance.now()
    const unchecked = name === 'convert' ? ['--no-check', '--sha256'] : []
    const printed = await inProcess(command, [...rest, ...unchecked])
    const seconds = (performance.now() - start) / 1000
    return { ...printed, signal: null, seconds }
  })
  last = run.catch(() => {})
  return run
}

/** Whether the library prints nothing of it itself: usage and versions are oclif's. */
function isPlain(args: readonly string[]): boolean {
  return !args.some((arg) => ['--help', '--version', '--device'].includes(arg))
}
