import { inputError } from '../io/errors.js'
import type { EngineName } from '../record/check.js'

/** Where a model can be run; `auto` is for the engine to choose, and to say. */
export const devices = ['auto', 'cpu', 'cuda', 'metal', 'vulkan', 'webgpu', 'dml'] as const
export type Device = (typeof devices)[number]

export interface EngineOptions {
  device: Device
  /** By default as many as there are physical cores. */
  threads?: number
  /** Whether `hiddenStates` is wanted; graphs that were exported cannot show them. */
  hiddenStates?: boolean
}

/** A model that is loaded and can be run. Token lists begin with BOS where the model wants one. */
export interface Engine {
  readonly name: EngineName
  /** What it runs on. */
  readonly device: Exclude<Device, 'auto'>
  /** What the user should know of how it runs, in sentences. */
  readonly notes: readonly string[]
  /**
   * Runs the model once over all tokens. llama.cpp's binding gives probabilities and no logits, so
   * of a row only differences mean something: two engines' rows agree up to a constant each.
   * @returns [tokens, vocabulary], row-major: row i is what follows token i
   */
  logits(tokens: readonly number[]): Promise<Float32Array>
  /**
   * Continues greedily: at each step the likeliest token, of equals the first.
   * @param most tokens at most; fewer where the model ends
   * @returns the new tokens, the one that ends the text among them
   */
  generate(tokens: readonly number[], most: number, options?: GenerateOptions): Promise<number[]>
  /**
   * The hidden states behind the embedding and behind each layer, [tokens, hidden] each; only where
   * the engine was opened to show them.
   */
  hiddenStates?(tokens: readonly number[]): Promise<Float32Array[]>
  dispose(): Promise<void>
}

export interface GenerateOptions {
  /**
   * What another model made of the same tokens: as far as this one agrees, one run over all of it
   * takes the place of a run for each. It changes the time, not the result.
   */
  draft?: readonly number[]
  /** Called after each run for a single token. */
  onStep?(seconds: number): void
}

/** The likeliest token of a row of logits, of equals the first; NaN is none. */
export function likeliest(logits: Float32Array): number {
  let best = 0
  let most = Number.NEGATIVE_INFINITY
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i] ?? 0
    if (value > most) {
      best = i
      most = value
    }
  }
  return best
}

/**
 * How many tokens of a draft the model would have made itself.
 * @param logits [given + draft tokens, vocabulary], of a run over the given tokens and the draft
 */
export function agreedTokens(
  logits: Float32Array,
  vocabulary: number,
  given: number,
  draft: readonly number[],
): number {
  const differs = draft.findIndex((token, i) => {
    const row = (given + i - 1) * vocabulary
    return likeliest(logits.subarray(row, row + vocabulary)) !== token
  })
  return differs < 0 ? draft.length : differs
}

/** A runtime would read a row beyond the embedding, or end the process in the middle of a run. */
export function checkTokens(tokens: readonly number[], vocabulary: number): readonly number[] {
  if (tokens.length === 0) throw inputError('there are no tokens to run')
  const wrong = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= vocabulary)
  if (wrong === undefined) return tokens
  throw inputError(`token ${wrong} is not of the model's vocabulary of ${vocabulary}`, {
    suggestions: ['The tokenizer is not this model’s own.'],
  })
}
