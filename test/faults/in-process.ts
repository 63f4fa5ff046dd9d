import { Config } from '@oclif/core'
import Card from '../../src/commands/card.js'
import Check from '../../src/commands/check.js'
import Convert from '../../src/commands/convert.js'
import Diff from '../../src/commands/diff.js'
import GgufSet from '../../src/commands/gguf/set.js'
import Inspect from '../../src/commands/inspect.js'
import Pull from '../../src/commands/pull.js'
import Push from '../../src/commands/push.js'
import TokenizerCheck from '../../src/commands/tokenizer/check.js'
import TokenizerConvert from '../../src/commands/tokenizer/convert.js'
import { root } from '../support/paths.js'
import { arm, disarm, type Injection } from './inject.js'

const commands: Record<string, { run(argv: string[], config: Config): Promise<unknown> }> = {
  card: Card,
  check: Check,
  convert: Convert,
  diff: Diff,
  'gguf set': GgufSet,
  inspect: Inspect,
  pull: Pull,
  push: Push,
  'tokenizer check': TokenizerCheck,
  'tokenizer convert': TokenizerConvert,
}

export interface Ended {
  code: number
  stdout: string
  stderr: string
}

let config: Promise<Config> | undefined
process.setMaxListeners(0)

/** Runs a command in this process, as the program would, with what is to go wrong in it. */
export async function openllama(
  args: readonly string[],
  {
    injection,
    failing,
    counting = false,
    env = {},
  }: {
    injection?: Injection
    /** A folder in which nothing can be synced after a while. */
    failing?: string
    /** Calls are being counted. */
    counting?: boolean
    env?: Record<string, string>
  } = {},
): Promise<Ended> {
  config ??= Config.load({ root })
  const loaded = await config
  const two = args.slice(0, 2).join(' ')
  const [name, rest] = two in commands ? [two, args.slice(2)] : [args[0], args.slice(1)]
  const command = Object.entries(commands).find(([each]) => each === name)?.[1]
  if (command === undefined) throw new Error(`there is no command ${name}`)
  const before = { ...process.env }
  Object.assign(process.env, env, { CI: '1' })
  process.exitCode = 0
  const streams = capture()
  if (injection !== undefined) arm(injection)
  if (failing !== undefined) {
    // Late enough that there is something to go on from.
    arm({ root: failing, kind: 'fsync', nth: 2, error: 'ENOSPC', lasting: true, log: '/dev/null' })
  }
  let code: number
  try {
    await command.run([...rest], loaded)
    code = Number(process.exitCode ?? 0)
  } catch (error) {
    code = codeOf(error)
    if (code === 1) process.stderr.write(error instanceof Error ? `${error.stack}` : String(error))
  } finally {
    if (!counting) disarm()
    streams.release()
    for (const key of Object.keys(process.env)) if (!(key in before)) delete process.env[key]
    Object.assign(process.env, before)
    process.exitCode = 0
  }
  return { code, ...streams.texts }
}

function codeOf(error: unknown): number {
  const oclif = error instanceof Error && 'oclif' in error ? error.oclif : undefined
  const isExit = typeof oclif === 'object' && oclif !== null && 'exit' in oclif
  return isExit && typeof oclif.exit === 'number' ? oclif.exit : 1
}

function capture() {
  const texts = { stdout: '', stderr: '' }
  const { stdout, stderr } = process
  const originals = { stdout: stdout.write, stderr: stderr.write }
  const into = (name: 'stdout' | 'stderr') => (chunk: string | Uint8Array) => {
    texts[name] += String(chunk)
    return true
  }
  stdout.write = into('stdout')
  stderr.write = into('stderr')
  return {
    texts,
    release() {
      stdout.write = originals.stdout
      stderr.write = originals.stderr
    },
  }
}
