import { inputError } from '../io/errors.js'
import { readSmallFile } from '../io/source.js'
import { textOf } from '../io/text.js'
import type { Runnable } from '../open/runnable.js'
import type { CheckOptions } from './check.js'
import { defaultPrompt, passage } from './passage.js'
import { longestText } from './reach.js'
import type { RunTexts } from './smoke.js'
import { madeUpTokens, type TextTokenizer } from './text-tokenizer.js'

/** What both models are given, as tokens. */
export interface Texts extends RunTexts {
  text: string
  promptText: string
  /** The token behind each of the passage's. */
  following: number[]
  notes: string[]
}

const defaultTokens = 32
export const defaultPositions = 256

/**
 * Tokenizes what both models are given, within what both can take.
 * @param reach positions where the user says nothing of them
 */
export async function textsFor(
  { checkpoint }: Runnable,
  tokenizer: TextTokenizer | undefined,
  { against, prompt, tokens = defaultTokens, positions, corpus }: CheckOptions,
  reach = defaultPositions,
): Promise<Texts> {
  const configs = [checkpoint.config, ...(against ? [against.checkpoint.config] : [])]
  const context = Math.min(...configs.map(longestText))
  const vocabulary = checkpoint.config.vocab_size
  const smallest = Math.min(...configs.map((config) => config.vocab_size))
  const text = corpus === undefined ? passage : await readCorpus(corpus)
  const promptText = prompt ?? defaultPrompt
  const notes: string[] = []
  const begin = tokenizer?.bos === null || tokenizer === undefined ? [] : [tokenizer.bos]
  const wanted = Math.min(positions ?? reach, context)
  if (positions !== undefined && positions > context) {
    notes.push(`${context} positions are compared, the model's context, not ${positions}`)
  }
  if (tokenizer === undefined) {
    notes.push('there is no tokenizer: the models are given tokens that are made up')
  }
  const encoded = tokenizer?.encode(text) ?? []
  // The built-in text is read again where a model's window is longer than it.
  const rounds = corpus === undefined ? Math.ceil((wanted + 1) / Math.max(1, encoded.length)) : 1
  const all =
    tokenizer === undefined
      ? madeUpTokens(wanted + 1, smallest)
      : [...begin, ...Array.from({ length: rounds }, () => encoded).flat()]
  const fitting = all.filter((token) => token < smallest).slice(0, wanted + 1)
  if (fitting.length < 2) {
    throw inputError('the text has no tokens to compare', {
      path: corpus,
      suggestions: ['Give a longer text with `corpus`.'],
    })
  }
  if (positions !== undefined && fitting.length - 1 < wanted) {
    notes.push(`the text has ${fitting.length - 1} positions, fewer than ${positions}`)
  }
  const given =
    tokenizer === undefined
      ? madeUpTokens(8, smallest)
      : [...begin, ...tokenizer.encode(promptText)]
  return {
    text,
    promptText,
    passage: fitting.slice(0, -1),
    following: fitting.slice(1),
    prompt: given.filter((token) => token < smallest),
    tokens: Math.max(1, Math.min(tokens, context - given.length)),
    vocabulary,
    notes,
  }
}

/** A text of more positions than any context has is longer than this. */
const mostCorpus = 16 * 1024 * 1024

async function readCorpus(path: string): Promise<string> {
  return textOf(await readSmallFile(path, mostCorpus), path)
}
