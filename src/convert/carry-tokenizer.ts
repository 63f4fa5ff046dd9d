import { basename } from 'node:path'
import type { Checkpoint, FormatName } from '../checkpoint/checkpoint.js'
import type { Target } from '../formats/format.js'
import { usageError } from '../io/errors.js'
import {
  type KeptFile,
  type LoadedTokenizer,
  readTokenizerFiles,
  readTokenizerText,
  tokenizerJsonOf,
} from '../tokenizer/load.js'
import { judgeOwn, proveTokenizer } from './tokenizer-proof.js'

/** Formats that have no place for a tokenizer.json. */
const withoutFolder: readonly FormatName[] = ['gguf', 'meta']

/**
 * The source's tokenizer files that go into the output as they are: all of them
 * with --keep-tokenizer, or where there is no SentencePiece model to make better
 * ones from (LLaMA 3 and its kin).
 */
export async function keptFiles(
  { tokenizer, path }: Checkpoint,
  loaded: LoadedTokenizer | undefined,
  to: FormatName,
  keep: boolean,
): Promise<KeptFile[] | undefined> {
  if (keep && withoutFolder.includes(to)) {
    throw usageError(`--keep-tokenizer is for folders with a tokenizer.json, which ${to} has not`)
  }
  const found = tokenizer.model !== undefined || tokenizer.beside.length > 0
  if (keep && !found) {
    throw usageError('--keep-tokenizer: no tokenizer files are beside the source', {
      path,
      suggestions: ['Name some with --tokenizer, or leave the flag out.'],
    })
  }
  const only = loaded === undefined && tokenizerJsonOf(tokenizer.beside) !== undefined
  return keep || only ? readTokenizerFiles(tokenizer) : undefined
}

/**
 * Checks the tokenizer.json of a target on the probes before anything is written.
 * @returns warnings
 */
export async function checkTargetTokenizer(
  { tokenizer: { beside } }: Checkpoint,
  tokenizer: LoadedTokenizer,
  target: Target,
  kept: boolean,
): Promise<string[]> {
  const name = target.files.find((file) => basename(file.name) === 'tokenizer.json')
  const text = name && new TextDecoder().decode(name.literals[0]?.bytes)
  if (text === undefined && !kept) return []
  const path = tokenizerJsonOf(beside)
  const own = path === undefined ? undefined : { path, text: await readTokenizerText(path) }
  return [
    ...(kept || text === undefined ? [] : await proveTokenizer(tokenizer, text)),
    // The same text is as right as what was just proved.
    ...(own === undefined || (!kept && own.text === text)
      ? []
      : await judgeOwn(tokenizer, own, kept)),
  ]
}
