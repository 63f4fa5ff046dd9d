import { basename } from 'node:path'
import type { FileCache } from '../io/file-cache.js'
import { isJsonObject } from '../io/json.js'
import { kindOf } from '../io/store.js'
import { undefinedForInput } from '../io/there.js'
import type { TokenizerRecord } from '../record/provenance.js'
import { fileIn, readRecord, recordsOf } from '../record/record.js'
import { tokenizerFacts } from './generation.js'
import type { SentencePieceModel } from './sentencepiece.js'

export function tokenizerRecord(model: SentencePieceModel): TokenizerRecord {
  const { generation, vocabSize, whitespace } = tokenizerFacts(model)
  return { generation, pieces: vocabSize, remove_extra_whitespaces: whitespace.merged }
}

/**
 * Whether the record beside a GGUF says that its tokenizer merges spaces.
 * @returns undefined where there is no record, or it is of other files
 */
export async function mergesSpacesByRecord(
  file: string,
  cache?: FileCache,
): Promise<boolean | undefined> {
  for (const path of recordsOf(file)) {
    if ((await kindOf(path)) !== 'file') continue
    const record = await readRecord(path, cache).catch(undefinedForInput)
    if (record === undefined || fileIn(record, basename(file)) === undefined) continue
    const { tokenizer } = record
    if (!isJsonObject(tokenizer)) continue
    if (typeof tokenizer.remove_extra_whitespaces === 'boolean') {
      return tokenizer.remove_extra_whitespaces
    }
  }
  return undefined
}
