import { AsyncLocalStorage } from 'node:async_hooks'
import { Config, Errors } from '@oclif/core'
import { root } from './paths.js'
import { holdToSchema } from './schemas.js'

/** What a command is to a test: its class. */
interface Runnable {
  name: string
  run(argv: string[], config: Config): Promise<unknown>
}

/** What a command printed, and its exit code. */
export interface Printed {
  code: number
  stdout: string
  stderr: string
}

let config: Promise<Config> | undefined

/**
 * Runs a command in this process, which takes milliseconds where a new one takes half a second.
 * What it does to the process (signals, working directory, environment) is not undone.
 */
export async function inProcess(command: Runnable, argv: string[]): Promise<Printed> {
  config ??= Config.load(root)
  const loaded = await config
  const printed = { code: 0, stdout: '', stderr: '' }
  capture()
  try {
    await running.run(printed, () => command.run(argv, loaded))
  } catch (error) {
    if (!(error instanceof Errors.CLIError)) {
      printed.code = 1
      printed.stderr += error instanceof Error ? (error.stack ?? error.message) : String(error)
    } else {
      printed.code = error.oclif.exit ?? 1
      if (!(error instanceof Errors.ExitError)) printed.stderr += error.message
    }
  } finally {
    process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM')
    // What a command found wrong it says so, without an error.
    if (printed.code === 0) printed.code = Number(process.exitCode ?? 0)
    process.exitCode = 0
  }
  // TokenizerCheck → tokenizer-check.
  const schema = command.name.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase()
  if (argv.includes('--json')) holdToSchema(schema, printed.stdout)
  return printed
}

/** What is printed belongs to the run that prints it; the tests' own words pass. */
const running = new AsyncLocalStorage<Printed>()
let captured = false

function capture(): void {
  if (captured) return
  captured = true
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = process[name]
    const write = stream.write.bind(stream)
    stream.write = (chunk: string | Uint8Array): boolean => {
      const printed = running.getStore()
      if (printed === undefined) return write(chunk)
      printed[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
      return true
    }
  }
}
