import { basename, dirname } from 'node:path'
import type { FileCache } from '../io/file-cache.js'
import { isJsonObject, type Json, parseJsonObject } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { join, kindOf } from '../io/store.js'
import { undefinedForInput } from '../io/there.js'
import { tokenizerFacts } from './generation.js'
import type { SentencePieceModel } from './sentencepiece.js'

/**
 * What openllama.json says of the tokenizer. llama.cpp's converter has no key for
 * the merging of spaces, so a GGUF that equals its own cannot say it; with this
 * record beside it, the tokenizer.model is had back as it was.
 */
export interface TokenizerRecord {
  generation: string
  pieces: number
  remove_extra_whitespaces: boolean
}

export function tokenizerRecord(model: SentencePieceModel): TokenizerRecord {
  const { generation, vocabSize, whitespace } = tokenizerFacts(model)
  return { generation, pieces: vocabSize, remove_extra_whitespaces: whitespace.merged }
}

/** A record lists its files; folders of some thousand shards are not known. */
const maxRecord = 16 * 1024 * 1024

/**
 * Whether the record beside a GGUF says that its tokenizer merges spaces.
 * @returns undefined where there is no record, or it is of other files
 */
export async function mergesSpacesByRecord(
  file: string,
  cache?: FileCache,
): Promise<boolean | undefined> {
  for (const path of [`${file}.openllama.json`, join(dirname(file), 'openllama.json')]) {
    if ((await kindOf(path)) !== 'file') continue
    const read = cache?.read(path, maxRecord) ?? readSmallFile(path, maxRecord)
    const bytes = await read.catch(undefinedForInput)
    if (bytes === undefined) continue
    const { target, tokenizer } = parseJsonObject(bytes, path)
    if (!lists(target, basename(file)) || !isJsonObject(tokenizer)) continue
    if (typeof tokenizer.remove_extra_whitespaces === 'boolean') {
      return tokenizer.remove_extra_whitespaces
    }
  }
  return undefined
}

function lists(target: Json | undefined, name: string): boolean {
  if (!isJsonObject(target) || !Array.isArray(target.files)) {
    return false
  }
  return target.files.some((file) => isJsonObject(file) && file.name === name)
}
