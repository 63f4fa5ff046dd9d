import { basename } from 'node:path'
import type { Checkpoint, TokenizerFiles } from '../checkpoint/checkpoint.js'
import { lookUp, type MetadataEntry } from '../checkpoint/metadata.js'
import { parseJsonObject } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { sentencePieceFromGguf } from './gguf-vocab.js'
import { parseSentencePiece, type SentencePieceModel, writeSentencePiece } from './sentencepiece.js'
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

/** Reads the tokenizer that was found beside a checkpoint, or in its metadata. */
export async function loadTokenizer({
  path: checkpoint,
  tokenizer: { model: path, beside },
  metadata,
}: Pick<Checkpoint, 'path' | 'tokenizer' | 'metadata'>): Promise<LoadedTokenizer | undefined> {
  if (path === undefined) return metadata && embeddedTokenizer(metadata, checkpoint)
  const bytes = await readSmallFile(path, maxTokenizer)
  const sources: SourceFile[] = []
  for (const file of beside) {
    const json = parseJsonObject(await readSmallFile(file, maxTokenizer), file)
    sources.push({ name: basename(file), json })
  }
  return { path, model: parseSentencePiece(bytes, path), bytes, sources }
}

/** What a GGUF's metadata call the vocabularies that SentencePiece made. */
const sentencePieceKinds = ['llama', 't5']

/** The SentencePiece model that a GGUF's vocabulary stands for; of other kinds there is none. */
function embeddedTokenizer(
  metadata: readonly MetadataEntry[],
  path: string,
): LoadedTokenizer | undefined {
  const entries = lookUp(metadata)
  if (!sentencePieceKinds.includes(entries.text('tokenizer.ggml.model') ?? '')) return undefined
  const model = sentencePieceFromGguf((key) => entries.get(key)?.value, path)
  const json = {
    add_bos_token: entries.get('tokenizer.ggml.add_bos_token')?.value,
    add_eos_token: entries.get('tokenizer.ggml.add_eos_token')?.value,
    chat_template: entries.text('tokenizer.chat_template'),
  }
  return {
    path,
    model,
    bytes: writeSentencePiece(model),
    sources: [{ name: 'the metadata', json }],
  }
}

/** The tokenizer.json of a tokenizer that exists only so: LLaMA 3's and its kin. */
export async function loadTokenizerJson({
  model,
  beside,
}: TokenizerFiles): Promise<SourceFile | undefined> {
  const path = beside.find((file) => basename(file) === 'tokenizer.json')
  if (model !== undefined || path === undefined) return undefined
  return { name: path, json: parseJsonObject(await readSmallFile(path, maxTokenizer), path) }
}
