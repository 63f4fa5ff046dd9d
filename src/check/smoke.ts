import type { Engine } from '../engines/engine.js'
import { entropies } from './parity.js'

/** What running a model by itself showed. */
export interface SmokeRun {
  /** Over the tokens of the passage, [positions, vocabulary]. */
  logits: Float32Array
  /** What it made of the prompt. */
  made: number[]
  /** Seconds that one token takes; undefined where none was made on its own. */
  secondsPerToken?: number
  /** Logits that are no finite numbers, and the first position that has one. */
  notFinite: { count: number; position: number } | undefined
  /** Of the distributions over the passage, in nats. */
  entropy: { least: number; most: number }
}

export interface RunTexts {
  passage: readonly number[]
  prompt: readonly number[]
  /** Tokens to make at most. */
  tokens: number
  vocabulary: number
}

/** Tokens that are made one by one even where another model has made them already: to time them. */
const timedTokens = 4

/**
 * Runs a model over the passage, and lets it go on from the prompt.
 * @param draft what another model made of the prompt
 */
export async function runModel(
  engine: Engine,
  { passage, prompt, tokens, vocabulary }: RunTexts,
  draft: readonly number[] = [],
  signal?: AbortSignal,
): Promise<SmokeRun> {
  const logits = await engine.logits(passage)
  const notFinite = findNotFinite(logits, vocabulary)
  const steps: number[] = []
  const made =
    notFinite === undefined
      ? await engine.generate(prompt, tokens, {
          draft: draft.slice(0, Math.max(0, draft.length - timedTokens)),
          onStep: (seconds) => steps.push(seconds),
        })
      : []
  const all = notFinite === undefined ? await entropies(logits, vocabulary, signal) : []
  return {
    logits,
    made,
    ...(steps.length === 0
      ? {}
      : { secondsPerToken: steps.reduce((sum, seconds) => sum + seconds, 0) / steps.length }),
    notFinite,
    entropy: { least: Math.min(...all), most: Math.max(...all) },
  }
}

/**
 * What is wrong with a model by itself, in sentences.
 * @param source what the source made: what it does too is not the artifact's fault
 */
export function smokeFaults(run: SmokeRun, vocabulary: number, source?: SmokeRun): string[] {
  const { notFinite, made } = run
  if (notFinite !== undefined) {
    const { count, position } = notFinite
    return [`${count} of its logits are no finite numbers, the first at position ${position}`]
  }
  const faults: string[] = []
  if (repeats(made) && !(source && repeats(source.made))) {
    faults.push(`it gives one token again and again: ${made[0]}, ${made.length} times`)
  }
  // All tokens alike at every position: there are no weights in it, or all of them are equal.
  const even = (of: SmokeRun) => of.entropy.least > Math.log(vocabulary) * (1 - 1e-6)
  if (even(run) && !(source && even(source))) {
    faults.push('every token is equally likely to it, wherever it is')
  }
  const certain = (of: SmokeRun) => of.entropy.most < leastEntropy
  if (certain(run) && !(source && certain(source))) {
    faults.push('it is certain of one token at every position')
  }
  return faults
}

/** Nats; a small model that knows its text by heart still has some 1e-3 on another. */
const leastEntropy = 1e-9

/** Fewer equal tokens may be a word. */
const repetition = 8

function repeats(made: readonly number[]): boolean {
  return made.length >= repetition && made.every((token) => token === made[0])
}

function findNotFinite(logits: Float32Array, vocabulary: number): SmokeRun['notFinite'] {
  let count = 0
  let first = -1
  for (let i = 0; i < logits.length; i++) {
    if (Number.isFinite(logits[i])) continue
    count++
    if (first < 0) first = i
  }
  return count === 0 ? undefined : { count, position: Math.floor(first / vocabulary) }
}

/** How many tokens two continuations begin with in common. */
export function commonTokens(a: readonly number[], b: readonly number[]): number {
  const differs = a.findIndex((token, i) => token !== b[i])
  return differs < 0 ? Math.min(a.length, b.length) : Math.min(differs, b.length)
}
