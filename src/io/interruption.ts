import { setImmediate } from 'node:timers/promises'
import { OpenLlamaError } from './errors.js'

export function interrupted(suggestions: string[] = []): OpenLlamaError {
  return new OpenLlamaError('interrupted', 'interrupted', { suggestions })
}

/**
 * Lets signals and the spinner in. What keeps the thread busy calls it some times a second: between
 * tiles, rows of logits, texts.
 * @throws where the program was asked to end
 */
export async function giveWay(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate()
  if (signal?.aborted) throw interrupted()
}
