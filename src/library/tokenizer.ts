import { checkTokenizer as checkOpened, type TokenizerCheck } from '../check/tokenizer.js'
import {
  type ConvertedTokenizer,
  convertTokenizer as convertOpened,
  type TokenizerTarget,
} from '../convert/tokenizer.js'
import { openTokenizer } from '../open/tokenizer.js'
import type { Attendance } from './progress.js'

export interface TokenizerCheckOptions {
  /** UTF-8 text files that are taken line by line, beside the built-in probes. */
  corpora?: readonly string[]
}

export interface TokenizerConvertOptions {
  to: TokenizerTarget
  /** A folder, or a file where the path ends as `to` does; by default the working directory. */
  out?: string
  /** Replace existing files. */
  force?: boolean
}

/** Holds SentencePiece, tokenizer.json and llama.cpp against each other, as far as they are there. */
export async function checkTokenizer(
  source: string,
  { corpora = [], signal, onProgress }: TokenizerCheckOptions & Attendance = {},
): Promise<TokenizerCheck> {
  return checkOpened(await openTokenizer(source), {
    corpora,
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done, total) => onProgress?.({ phase: 'tokenize', done, total }),
  })
}

/** Writes a source's tokenizer as tokenizer.json or tokenizer.model. */
export async function convertTokenizer(
  source: string,
  { to, out, force = false }: TokenizerConvertOptions,
): Promise<ConvertedTokenizer> {
  // A GGUF that is named is what is wanted, whatever lies beside it.
  const opened = await openTokenizer(source, { arrays: true })
  return convertOpened(opened, { to, force, ...(out === undefined ? {} : { out }) })
}
