import { Command, Flags } from '@oclif/core'
import { exitCodes, OpenLlamaError } from '../io/errors.js'
import { registerStore } from '../io/store.js'

/**
 * What all commands share: `--json`, errors that say what, where and what to
 * do with their exit codes, and an abort signal for Ctrl-C.
 */
export abstract class OpenLlamaCommand extends Command {
  static override enableJsonFlag = true

  private readonly aborter = new AbortController()

  /** Aborted by the first Ctrl-C; the second ends the process at once. */
  protected get signal(): AbortSignal {
    return this.aborter.signal
  }

  override async init(): Promise<void> {
    await super.init()
    // Loaded with the first hf:// path: most commands need none of it.
    registerStore('hf', async () => (await import('../hub/store.js')).openHubStore())
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.once(name, () => {
        this.aborter.abort()
        process.once(name, () => process.exit(exitCodes.interrupted))
      })
    }
  }

  protected warnings(sentences: readonly string[]): void {
    for (const sentence of sentences) this.logToStderr(`warning: ${sentence}`)
  }

  override async catch(error: Error & { exitCode?: number }): Promise<void> {
    if (!(error instanceof OpenLlamaError)) {
      // With --json oclif prints the error and would end with 1, whatever code the error has.
      if (this.jsonEnabled() && hasExit(error)) process.exitCode = error.oclif.exit
      await super.catch(error)
      return
    }
    if (this.jsonEnabled()) this.logJson(this.toErrorJson(error))
    else {
      this.logToStderr(`error: ${error.message}`)
      for (const suggestion of error.suggestions) this.logToStderr(`  ${suggestion}`)
    }
    this.exit(error.exit)
  }

  protected override toErrorJson(error: unknown): object {
    if (error instanceof OpenLlamaError) {
      const { code, exit, message, path, format, tensor, suggestions } = error
      return { error: { code, exit, message, path, format, tensor, suggestions } }
    }
    const message = error instanceof Error ? error.message : String(error)
    const exit = hasExit(error) ? error.oclif.exit : 1
    return { error: { code: exit === exitCodes.usage ? 'usage' : 'bug', exit, message } }
  }
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
    if (flags[key] !== undefined) Object.assign(result, { [key]: flags[key] })
  }
  return result
}
