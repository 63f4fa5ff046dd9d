import { format } from 'node:util'
import { Command, Flags, ux } from '@oclif/core'
import { exitCodes, fromAnySystemError, fromSystemError, OpenLlamaError } from '../io/errors.js'
import { printableJson, printableLines, printableSentence } from '../io/printable.js'
import { registerWording } from '../io/wording.js'
import { registerHub } from '../library/hub-store.js'
import { withFlags } from './flag-names.js'
import { listenForSignals } from './interruption.js'
import type { Failed } from './json.js'
import { waitingFor } from './progress.js'

/** A warning in which a file's own names stand is cut where it is longer. */
const maxWarning = 2000

/**
 * What all commands share: `--json`, errors that say what, where and what to
 * do with their exit codes, and an abort signal for Ctrl-C.
 */
export abstract class OpenLlamaCommand extends Command {
  static override enableJsonFlag = true

  /** Aborted by the first Ctrl-C; the second ends the process at once. */
  protected readonly signal = listenForSignals(() => this.cutOff())

  override async init(): Promise<void> {
    await super.init()
    registerWording((text) => this.withFlags(text))
    registerHub((holder) => this.logToStderr(waitingFor(holder)))
    holdStreams()
    // Packages warn there of what stands in files, as it stands there.
    console.warn = (...said: unknown[]) => this.warnings([format(...said)])
  }

  protected warnings(told: readonly string[]): void {
    for (const sentence of told) {
      this.logToStderr(`warning: ${printableSentence(this.withFlags(sentence), maxWarning)}`)
    }
  }

  /** What the library says of its options, as it is said on a command line. */
  private withFlags(text: string): string {
    this.flagNames ??= new Set(this.config.commands.flatMap(({ flags }) => Object.keys(flags)))
    return withFlags(text, this.flagNames)
  }

  /** Where it happened are names, and stay. */
  private messageOf({ message, what }: OpenLlamaError): string {
    return message.slice(0, message.length - what.length) + this.withFlags(what)
  }

  private flagNames: ReadonlySet<string> | undefined

  /** What stands in a text comes from files and servers: a terminal gets none of it raw. */
  override log(text = ''): void {
    super.log(printableLines(text))
  }

  override logToStderr(text = ''): void {
    super.logToStderr(printableLines(text))
  }

  override logJson(json: unknown): void {
    ux.stdout(printableJson(JSON.stringify(json, null, 2)))
  }

  override async catch(cause: Error & { exitCode?: number }): Promise<void> {
    const error = fromAnySystemError(cause)
    if (error instanceof OpenLlamaError) {
      this.tell(error)
      this.exit(error.exit)
    }
    // With --json oclif prints the error and would end with 1, whatever code the error has.
    if (this.jsonEnabled() && hasExit(cause)) process.exitCode = cause.oclif.exit
    cause.message = printableStyled(cause.message)
    if (cause.stack !== undefined) cause.stack = printableStyled(cause.stack)
    await super.catch(cause)
  }

  private tell(error: OpenLlamaError): void {
    if (this.jsonEnabled()) this.logJson(this.toErrorJson(error))
    else {
      this.logToStderr(`error: ${this.messageOf(error)}`)
      for (const each of error.suggestions) this.logToStderr(`  ${this.withFlags(each)}`)
    }
  }

  /** Ends the program in the middle of what it does. */
  private cutOff(): never {
    this.tell(new OpenLlamaError('interrupted', 'interrupted'))
    process.exit(exitCodes.interrupted)
  }

  protected override toErrorJson(error: unknown): Failed {
    const { error: told } = errorJson(error)
    const message = error instanceof OpenLlamaError ? this.messageOf(error) : told.message
    const suggestions = told.suggestions.map((each) => this.withFlags(each))
    return { error: { ...told, message, suggestions } }
  }

  protected override toSuccessJson(result: unknown): unknown {
    if (typeof result !== 'object' || result === null) return result
    const told = Object.entries(result).flatMap(([key, value]: [string, unknown]) =>
      sentences.has(key) && Array.isArray(value)
        ? [
            [
              key,
              value.map((each: unknown) =>
                typeof each === 'string' ? this.withFlags(each) : each,
              ),
            ],
          ]
        : [],
    )
    return { ...result, ...Object.fromEntries(told) }
  }
}

/** The fields of results that have sentences of the library in them. */
const sentences: ReadonlySet<string> = new Set(['notes', 'warnings'])

/** What `--json` gives for an error, whatever it is of: a field without a value is left out. */
export function errorJson(error: unknown): Failed {
  if (error instanceof OpenLlamaError) {
    const { code, exit, message, path, format, tensor, suggestions } = error
    return { error: { code, exit, message, path, format, tensor, suggestions } }
  }
  const message = error instanceof Error ? error.message : String(error)
  const exit = hasExit(error) ? error.oclif.exit : 1
  const code = exit === exitCodes.usage ? 'usage' : 'bug'
  return { error: { code, exit, message, suggestions: [] } }
}

let held = false

/** Whoever reads our output may have read enough; that what is left of it is lost must be said. */
function holdStreams(): void {
  if (held) return
  held = true
  // Before oclif's own listener, which throws what is no broken pipe.
  process.stdout.prependListener('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return
    const told = fromSystemError(error, 'the standard output', 'write the result')
    process.stderr.write(`error: ${told instanceof Error ? told.message : String(told)}\n`)
    process.exit(exitCodes.resources)
  })
  // A terminal that was closed, a log whose disk is full: nothing can be said there any more.
  process.stderr.on('error', () => {})
}

function hasExit(error: unknown): error is { oclif: { exit: number } } {
  return (
    error instanceof Error &&
    'oclif' in error &&
    typeof error.oclif === 'object' &&
    error.oclif !== null &&
    'exit' in error.oclif &&
    typeof error.oclif.exit === 'number'
  )
}

/** The same where oclif has written a part of its message dim. */
function printableStyled(text: string): string {
  return text
    .split(dim)
    .map((part, i) => (i % 2 === 1 ? part : printableLines(part)))
    .join('')
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are control characters
const dim = /(\x1b\[(?:2|22)m)/

/** Flags that say how a source is to be understood. */
export const sourceFlags = {
  config: Flags.string({
    helpValue: 'PRESET|FILE',
    summary: 'The model configuration: a preset (open_llama_3b_v2, llama3_8b, …) or a config.json',
  }),
  heads: Flags.integer({
    helpValue: 'N',
    min: 1,
    summary: 'Attention heads, where neither a configuration nor the shapes tell',
  }),
  tokenizer: Flags.string({
    helpValue: 'PATH',
    summary:
      'The tokenizer.model, or the tokenizer.json of a model that has no other, where it is not beside the checkpoint',
  }),
}

/** Leaves out flags that were not given, as optional properties want it. */
export function given<T extends object>(flags: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const result: { [K in keyof T]?: Exclude<T[K], undefined> } = {}
  for (const key in flags) {
    const value = flags[key]
    if (isDefined(value)) result[key] = value
  }
  return result
}

function isDefined<T>(value: T): value is Exclude<T, undefined> {
  return value !== undefined
}
