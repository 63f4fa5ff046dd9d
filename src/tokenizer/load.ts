import { basename } from 'node:path'
import type { Checkpoint, TokenizerFiles } from '../checkpoint/checkpoint.js'
import { type MetadataEntry, metadataLookup } from '../checkpoint/metadata.js'
import type { FileCache } from '../io/file-cache.js'
import { type JsonObject, parseJsonObject } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { refuseStandIns } from '../io/stand-ins.js'
import { join, kindOf } from '../io/store.js'
import { undefinedForInput } from '../io/there.js'
import { byteLevelFromGguf, isByteLevelGguf } from './byte-level-from-gguf.js'
import { templateFromGguf } from './gguf-template.js'
import { sentencePieceFromGguf } from './gguf-vocab.js'
import { mergesSpacesByRecord } from './record.js'
import { parseSentencePiece, type SentencePieceModel, writeSentencePiece } from './sentencepiece.js'
import { isSentencePieceJson, sentencePieceFromJson } from './sentencepiece-from-json.js'
import { filesFromTiktoken } from './tiktoken.js'
import type { SettingsFile } from './tokenizer-config.js'

/** A checkpoint's tokenizer, read. */
export interface LoadedTokenizer {
  /** What to call it in an error: the path of the file it comes from. */
  path: string
  model: SentencePieceModel
  /** tokenizer.model, byte for byte. */
  bytes: Uint8Array
  /** The JSON files beside it, parsed. */
  sources: SettingsFile[]
  /** The text of the tokenizer.json that the model was rebuilt from, where there is no other. */
  json?: string
}

/** A file of a tokenizer that is passed on as it is. */
export interface KeptFile {
  name: string
  bytes: Uint8Array
}

/** A tokenizer of 256,000 pieces has some 5 MB as a model and 20 MB as JSON. */
const maxTokenizer = 128 * 1024 * 1024

/** Reads the tokenizer that was found beside a checkpoint, or in its metadata. */
export async function loadTokenizer({
  path: checkpoint,
  files,
  tokenizer: found,
  metadata,
}: Pick<Checkpoint, 'path' | 'files' | 'tokenizer' | 'metadata'>): Promise<
  LoadedTokenizer | undefined
> {
  const { model: path, cache } = found
  if (path === undefined) {
    const embedded =
      metadata &&
      (await embeddedTokenizer(metadata, checkpoint, files[0]?.path ?? checkpoint, cache))
    return embedded ?? rebuiltTokenizer(found, metadata)
  }
  const bytes = await readWhole(path, cache)
  const sources = await readSources(found)
  return { path, model: parseSentencePiece(bytes, path), bytes, sources }
}

/** In the order in which they count: a template of its own before one within a file. */
async function readSources({ beside, template, cache }: TokenizerFiles): Promise<SettingsFile[]> {
  const sources: SettingsFile[] = []
  if (template !== undefined) {
    const text = await readTokenizerText(template, cache)
    sources.push({ name: basename(template), json: { chat_template: text } })
  }
  for (const file of beside) {
    sources.push({ name: basename(file), json: await readJson(file, cache) })
  }
  return sources
}

/** @throws input error that calls a stand-in (an LFS pointer, a web page) by its name */
async function readWhole(path: string, cache: FileCache | undefined): Promise<Uint8Array> {
  const bytes = await (cache?.read(path, maxTokenizer) ?? readSmallFile(path, maxTokenizer))
  if (bytes.length > 0) refuseStandIns(path, bytes.subarray(0, 512))
  return bytes
}

async function readJson(path: string, cache: FileCache | undefined): Promise<JsonObject> {
  return parseJsonObject(await readWhole(path, cache), path)
}

/** The model that a tokenizer.json of SentencePiece's kind stands for, where it is all there is. */
async function rebuiltTokenizer(
  files: TokenizerFiles,
  metadata: readonly MetadataEntry[] | undefined,
): Promise<LoadedTokenizer | undefined> {
  const path = tokenizerJsonOf(files.beside)
  if (path === undefined || hasVocabulary(metadata)) return undefined
  const json = await readJson(path, files.cache)
  if (!isSentencePieceJson(json)) return undefined
  const sources = await readSources(files)
  const model = sentencePieceFromJson(json, path, sources)
  return {
    path,
    model,
    bytes: writeSentencePiece(model),
    sources,
    json: await readTokenizerText(path, files.cache),
  }
}

/**
 * The files of a byte-level BPE that a GGUF alone has.
 * @throws input error where no tokenizer.json can be made of it
 */
export function filesFromGguf({
  path,
  tokenizer: { model, beside },
  metadata = [],
}: Pick<Checkpoint, 'path' | 'tokenizer' | 'metadata'>): KeptFile[] | undefined {
  if (model !== undefined || tokenizerJsonOf(beside) !== undefined) return undefined
  if (!isByteLevelGguf(metadata)) return undefined
  return Object.entries(byteLevelFromGguf(metadata, path)).map(([name, text]) => {
    return { name, bytes: new TextEncoder().encode(text) }
  })
}

/** Whether llama.cpp finds a vocabulary: asked to tokenize without one, it ends the process. */
export function hasVocabulary(metadata: readonly MetadataEntry[] = []): boolean {
  const found = metadataLookup(metadata)
  const model = found.text('tokenizer.ggml.model')
  return (
    !(model === undefined || withoutOne.includes(model)) &&
    found.get('tokenizer.ggml.tokens') !== undefined
  )
}

/** What llama.cpp calls a model that has none. */
const withoutOne = ['no_vocab', 'none']

/** The files that a list of ranks stands for, made once: LLaMA 3's takes seconds. */
let lastMade: { bytes: Uint8Array; path: string; files: Promise<KeptFile[]> } | undefined

/**
 * The files of a byte-level BPE that LLaMA 3's own vocabulary stands for, where there is no
 * tokenizer.json.
 * @throws input error for what is no list of ranks
 */
export async function filesOfRanks(files: TokenizerFiles): Promise<KeptFile[] | undefined> {
  const { tiktoken: path, beside, cache } = files
  if (path === undefined || tokenizerJsonOf(beside) !== undefined) return undefined
  const bytes = await readWhole(path, cache)
  if (lastMade?.path !== path || Buffer.compare(lastMade.bytes, bytes) !== 0) {
    lastMade = { bytes, path, files: makeFiles(bytes, path) }
  }
  return lastMade.files
}

async function makeFiles(bytes: Uint8Array, path: string): Promise<KeptFile[]> {
  const made = await filesFromTiktoken(bytes, path)
  return Object.entries(made).map(([name, text]) => ({
    name,
    bytes: new TextEncoder().encode(text),
  }))
}

/** What a GGUF's metadata call the vocabularies that SentencePiece made. */
const sentencePieceKinds = ['llama', 't5']

/** The SentencePiece model that a GGUF's vocabulary stands for; of other kinds there is none. */
async function embeddedTokenizer(
  metadata: readonly MetadataEntry[],
  path: string,
  file: string,
  cache: FileCache | undefined,
): Promise<LoadedTokenizer | undefined> {
  const entries = metadataLookup(metadata)
  if (!sentencePieceKinds.includes(entries.text('tokenizer.ggml.model') ?? '')) return undefined
  const mergesKey = 'tokenizer.ggml.remove_extra_whitespaces'
  const merges = entries.get(mergesKey)?.value ?? (await mergesSpacesByRecord(file, cache))
  const model = sentencePieceFromGguf(
    (key) => (key === mergesKey ? merges : entries.get(key)?.value),
    path,
  )
  const json = {
    add_bos_token: entries.get('tokenizer.ggml.add_bos_token')?.value,
    add_eos_token: entries.get('tokenizer.ggml.add_eos_token')?.value,
    chat_template: templateFromGguf((key) => entries.get(key)?.value),
  }
  return {
    path,
    model,
    bytes: writeSentencePiece(model),
    sources: [{ name: 'the metadata', json }],
  }
}

/**
 * The tokenizer.json of a tokenizer that exists only so (LLaMA 3's and its kin), with the
 * chat template that lies beside it.
 */
export async function loadTokenizerJson(files: TokenizerFiles): Promise<SettingsFile | undefined> {
  const { model, beside, cache } = files
  const made = (await filesOfRanks(files))?.find(({ name }) => name === 'tokenizer.json')
  const path = made === undefined ? tokenizerJsonOf(beside) : files.tiktoken
  if (model !== undefined || path === undefined) return undefined
  const json = made === undefined ? await readJson(path, cache) : parseJsonObject(made.bytes, path)
  if (isSentencePieceJson(json)) return undefined
  return { name: path, json: { ...json, chat_template: await readTemplate(files) } }
}

async function readTemplate({ beside, template, cache }: TokenizerFiles): Promise<unknown> {
  if (template !== undefined) return readTokenizerText(template, cache)
  const config = beside.find((file) => basename(file) === 'tokenizer_config.json')
  if (config === undefined) return undefined
  return (await readJson(config, cache)).chat_template
}

/** The path of the tokenizer.json among a tokenizer's files. */
export function tokenizerJsonOf(beside: readonly string[]): string | undefined {
  return beside.find((file) => basename(file) === 'tokenizer.json')
}

/** The text of a tokenizer.json. */
export async function readTokenizerText(
  path: string,
  cache: FileCache | undefined,
): Promise<string> {
  return new TextDecoder().decode(await readWhole(path, cache))
}

/** All files of a tokenizer, byte for byte, by the names that transformers knows them by. */
export async function readTokenizerFiles(files: TokenizerFiles): Promise<KeptFile[]> {
  const { model, beside, template, cache } = files
  const names = new Set(beside.map((path) => basename(path)))
  const made = await filesOfRanks(files)
  const kept = made?.filter(({ name }) => !names.has(name)) ?? []
  if (model !== undefined) {
    kept.push({ name: 'tokenizer.model', bytes: await readWhole(model, cache) })
  }
  for (const path of [...beside, ...(template === undefined ? [] : [template])]) {
    kept.push({ name: basename(path), bytes: await readWhole(path, cache) })
  }
  return kept
}

/** The small files of a tokenizer: those that say which tokens are special. */
export async function readSettings(files: TokenizerFiles): Promise<KeptFile[]> {
  const isSmall = (name: string) => name !== 'tokenizer.json'
  const made = await filesOfRanks(files)
  if (made !== undefined) return made.filter(({ name }) => isSmall(name))
  const small = files.beside.filter((path) => isSmall(basename(path)))
  return Promise.all(
    small.map(async (path) => ({
      name: basename(path),
      bytes: await readWhole(path, files.cache),
    })),
  )
}

/** `bos_token_id` and its kin, and the longest text, as a config.json says them. */
export interface ConfiguredIds {
  readonly ids: {
    readonly bos?: number | undefined
    readonly eos?: number | readonly number[] | undefined
    readonly pad?: number | undefined
  }
  readonly modelMaxLength?: number | undefined
}

/** The config.json of a folder, as far as it concerns the tokenizer; of whatever model it is. */
export async function configuredIds(folder: string, cache: FileCache): Promise<ConfiguredIds> {
  const path = join(folder, 'config.json')
  if ((await kindOf(path)) !== 'file') return { ids: {} }
  const bytes = await cache.read(path, maxTokenizer).catch(undefinedForInput)
  if (bytes === undefined) return { ids: {} }
  const json = parseJsonObject(bytes, path)
  const number = (value: unknown) =>
    typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined
  return {
    ids: {
      bos: number(json.bos_token_id),
      eos: [json.eos_token_id ?? []].flat().flatMap((id) => number(id) ?? []),
      pad: number(json.pad_token_id),
    },
    modelMaxLength: number(json.max_position_embeddings),
  }
}
