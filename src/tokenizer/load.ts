import { basename } from 'node:path'
import type { TokenizerFiles } from '../checkpoint/checkpoint.js'
import { parseJsonObject } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { parseSentencePiece, type SentencePieceModel } from './sentencepiece.js'
import type { SourceFile } from './tokenizer-config.js'

/** A checkpoint's tokenizer, read. */
export interface LoadedTokenizer {
  /** What to call it in an error: the path of the file it comes from. */
  path: string
  model: SentencePieceModel
  /** tokenizer.model, byte for byte. */
  bytes: Uint8Array
  /** The JSON files beside it, parsed. */
  sources: SourceFile[]
}

/** A tokenizer of 256,000 pieces has some 5 MB as a model and 20 MB as JSON. */
const maxTokenizer = 128 * 1024 * 1024

/** Reads the tokenizer that was found beside a checkpoint. */
export async function loadTokenizer({
  model: path,
  beside,
}: TokenizerFiles): Promise<LoadedTokenizer | undefined> {
  if (path === undefined) return undefined
  const bytes = await readSmallFile(path, maxTokenizer)
  const sources: SourceFile[] = []
  for (const file of beside) {
    const json = parseJsonObject(await readSmallFile(file, maxTokenizer), file)
    sources.push({ name: basename(file), json })
  }
  return { path, model: parseSentencePiece(bytes, path), bytes, sources }
}
