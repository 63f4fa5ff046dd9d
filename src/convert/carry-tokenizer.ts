import { basename } from 'node:path'
import type { Checkpoint, FormatName } from '../checkpoint/checkpoint.js'
import type { Target } from '../formats/format.js'
import { traitsOf } from '../formats/index.js'
import { OpenLlamaError, usageError } from '../io/errors.js'
import {
  filesFromGguf,
  type KeptFile,
  type LoadedTokenizer,
  readTokenizerFiles,
  readTokenizerText,
  tokenizerJsonOf,
} from '../tokenizer/load.js'
import { isRight, judgeOwn, proveRebuilt, proveTokenizer } from './tokenizer-proof.js'

/** Files of a tokenizer that go into the output as they are, and what the user should know of it. */
export interface Kept {
  files?: KeptFile[]
  notes: string[]
}

/**
 * The source's tokenizer files that go into the output as they are: all of them
 * with --keep-tokenizer, or where there is no SentencePiece model to make better
 * ones from (LLaMA 3 and its kin, and what transformers 5 saves). Of a GGUF of that
 * kin they are made.
 */
export async function keptFiles(
  checkpoint: Checkpoint,
  loaded: LoadedTokenizer | undefined,
  to: FormatName,
  keep: boolean,
): Promise<Kept> {
  const { tokenizer, path } = checkpoint
  const { model, tiktoken, beside } = tokenizer
  const found = model !== undefined || tiktoken !== undefined || beside.length > 0
  if (keep && !found) {
    throw usageError('`keepTokenizer`: no tokenizer files are beside the source', {
      path,
      suggestions: ['Name some with `tokenizer`, or leave it out.'],
    })
  }
  const only =
    (loaded === undefined || loaded.json !== undefined) &&
    (tiktoken !== undefined || tokenizerJsonOf(beside) !== undefined)
  const { tokenizer: place } = traitsOf(to)
  // Meta's own layout has the list of ranks itself.
  if (place === 'model' && tiktoken !== undefined) {
    return {
      files: await readTokenizerFiles({ model: tiktoken, beside: [], cache: tokenizer.cache }),
      notes: [],
    }
  }
  if (keep || only) return { files: await readTokenizerFiles(tokenizer), notes: [] }
  if (loaded !== undefined || place !== 'beside') return { notes: [] }
  try {
    const files = filesFromGguf(checkpoint)
    return files === undefined ? { notes: [] } : { files, notes: [] }
  } catch (error) {
    // The weights need no tokenizer.
    if (!(error instanceof OpenLlamaError) || error.code !== 'input') throw error
    return { files: [], notes: [`no tokenizer is written: ${error.message}`] }
  }
}

/** How the tokenizer of a target is to be written, and what the user should know of it. */
export interface CarriedTokenizer {
  /** Why the tokenizer.json is to be left out; the target has to be described anew. */
  leaveOut?: string
  /** The source's own files, which are right where ours cannot be. */
  kept?: KeptFile[]
  warnings: string[]
}

/**
 * Checks the tokenizer.json of a target against SentencePiece before anything is written. One
 * that is not right is left out, and the tokenizer.model stays what counts; a source whose own
 * tokenizer.json is right passes its files on.
 */
export async function checkTargetTokenizer(
  { tokenizer: files }: Checkpoint,
  tokenizer: LoadedTokenizer,
  target: Target,
  kept: boolean,
): Promise<CarriedTokenizer> {
  if (tokenizer.json !== undefined) {
    // Folders have the file itself; the others have what was made of it.
    const made = traitsOf(target.format).tokenizer !== 'beside'
    return { warnings: made ? await proveRebuilt(tokenizer, tokenizer.json) : [] }
  }
  const name = target.files.find((file) => basename(file.name) === 'tokenizer.json')
  const text = name && new TextDecoder().decode(name.literals[0]?.bytes)
  if (text === undefined && !kept) return { warnings: [] }
  const path = tokenizerJsonOf(files.beside)
  const own =
    path === undefined ? undefined : { path, text: await readTokenizerText(path, files.cache) }
  if (text === undefined || kept) {
    return { warnings: own === undefined ? [] : await judgeOwn(tokenizer, own, kept) }
  }
  const proof = await proveTokenizer(tokenizer, text)
  if (proof.wrong !== undefined) {
    if (own !== undefined && (await isRight(tokenizer, own))) {
      return {
        leaveOut: proof.wrong,
        kept: await readTokenizerFiles(files),
        warnings: [
          `${proof.wrong}. The source's own is right: its files are passed on as they are`,
        ],
      }
    }
    return {
      leaveOut: proof.wrong,
      warnings: [
        `${proof.wrong}. No tokenizer.json is written: the tokenizer.model is what counts (in Python: SentencePiece, or transformers with use_fast=False)`,
      ],
    }
  }
  // The same text is as right as what was just proved.
  const judged = own === undefined || own.text === text
  return { warnings: [...proof.warnings, ...(judged ? [] : await judgeOwn(tokenizer, own, kept))] }
}
