import { basename, dirname } from 'node:path'
import type { TokenizerFiles } from '../checkpoint/checkpoint.js'
import { contextLength, type MetadataEntry, metadataLookup } from '../checkpoint/metadata.js'
import { gguf } from '../formats/gguf/gguf.js'
import { firstOfSplit, readParts } from '../formats/gguf/split.js'
import { formats } from '../formats/index.js'
import { inputError } from '../io/errors.js'
import { type FileCache, openFileCache } from '../io/file-cache.js'
import { refuseStandIns } from '../io/stand-ins.js'
import { isFolder, join, listFolder, resolvePath } from '../io/store.js'
import {
  type ConfiguredIds,
  configuredIds,
  filesFromGguf,
  filesOfRanks,
  type KeptFile,
  type LoadedTokenizer,
  loadTokenizer,
  readTokenizerText,
  tokenizerJsonOf,
} from '../tokenizer/load.js'
import { isTiktoken } from '../tokenizer/tiktoken.js'
import { findTokenizer } from './find-tokenizer.js'
import { formatOfLoadType, headOf, parseSource } from './source.js'

/** A tokenizer, wherever it was found. */
export interface OpenedTokenizer {
  /** As the user named it. */
  source: string
  /** The SentencePiece model; there is none of a byte-level BPE. */
  tokenizer?: LoadedTokenizer
  /** The model was rebuilt from a GGUF's arrays. */
  rebuilt: boolean
  /** The tokenizer.json that is there. */
  json?: { path: string; text: string }
  /** Of a GGUF with a byte-level BPE, or of LLaMA 3's own vocabulary: the files that were made of it. */
  made?: readonly KeptFile[]
  /** A GGUF that has the vocabulary. */
  gguf?: { path: string; metadata: readonly MetadataEntry[] }
  configured: ConfiguredIds
  notes: string[]
}

export interface OpenTokenizerOptions {
  /** Of a GGUF, read its own arrays and not the files beside it. */
  arrays?: boolean
}

/**
 * Opens the tokenizer of a source: a checkpoint, a folder with a tokenizer, a
 * tokenizer.model, a tokenizer.json, or a GGUF. No weights are needed.
 */
export async function openTokenizer(
  source: string,
  { arrays = false }: OpenTokenizerOptions = {},
): Promise<OpenedTokenizer> {
  const cache = openFileCache()
  const place = await cache.within(() => locate(source, cache))
  const { gguf: file } = place
  const parts = file === undefined ? undefined : await cache.within(() => readParts(file))
  const metadata = parts?.[0]?.header.entries
  const own = arrays && place.isGguf
  const files: TokenizerFiles = own ? { beside: [] } : place.files
  const tokenizer = await loadTokenizer({
    path: place.gguf ?? source,
    files: [],
    tokenizer: files,
    ...(metadata === undefined ? {} : { metadata }),
  })
  const jsonPath = tokenizerJsonOf(files.beside)
  const ranks = await filesOfRanks(files)
  if (
    tokenizer === undefined &&
    jsonPath === undefined &&
    metadata === undefined &&
    ranks === undefined
  ) {
    throw inputError('no tokenizer is there', {
      path: source,
      suggestions: ['Name a tokenizer.model, a GGUF, or a folder that has one.'],
    })
  }
  const made =
    ranks ??
    (metadata &&
      filesFromGguf({ path: place.gguf ?? source, tokenizer: { beside: files.beside }, metadata }))
  const length = contextLength(metadataLookup(metadata ?? []))
  return {
    source,
    ...(tokenizer ? { tokenizer } : {}),
    rebuilt: tokenizer !== undefined && files.model === undefined,
    ...(made === undefined ? {} : { made }),
    ...(jsonPath === undefined
      ? {}
      : { json: { path: jsonPath, text: await readTokenizerText(jsonPath, files.cache) } }),
    ...(place.gguf === undefined || metadata === undefined
      ? {}
      : { gguf: { path: place.gguf, metadata } }),
    configured: own
      ? { ids: {}, modelMaxLength: length }
      : await configuredIds(place.folder, cache),
    notes: place.notes,
  }
}

interface Place {
  /** That a config.json would be in. */
  folder: string
  files: TokenizerFiles
  gguf?: string
  /** The source is the GGUF itself, not a folder with one. */
  isGguf: boolean
  notes: string[]
}

async function locate(source: string, cache: FileCache): Promise<Place> {
  const { loader, path } = parseSource(source)
  const inner = await resolvePath(path)
  if (loader !== undefined) formatOfLoadType(loader)
  if (await isFolder(inner)) return locateInFolder(inner, cache)
  const name = basename(inner)
  const folder = dirname(inner)
  const head = await headOf(inner)
  refuseStandIns(inner, head)
  const place = { folder, isGguf: false, notes: [] }
  if (gguf.detect?.(head, name)) {
    return {
      ...place,
      gguf: inner,
      isGguf: true,
      files: await findTokenizer(folder, undefined, cache),
    }
  }
  if (name === 'tokenizer.json')
    return { ...place, files: await findTokenizer(folder, inner, cache) }
  const format = formats.find(({ detect }) => detect?.(head, name))
  if (format !== undefined || name.endsWith('.index.json')) {
    const home = format?.homeOf?.(inner) ?? folder
    return { ...place, folder: home, files: await findTokenizer(home, undefined, cache) }
  }
  // Files beside a model of another name need not be its own.
  if (name === 'tokenizer.model')
    return { ...place, files: await findTokenizer(folder, inner, cache) }
  const files = isTiktoken(head) ? { tiktoken: inner } : { model: inner }
  return { ...place, files: { ...files, beside: [], cache } }
}

async function locateInFolder(folder: string, cache: FileCache): Promise<Place> {
  const names = (await listFolder(folder)).filter((name) => name.toLowerCase().endsWith('.gguf'))
  const name = firstOfSplit(names) ?? names.toSorted()[0]
  const others = firstOfSplit(names) === undefined ? names.length - 1 : 0
  return {
    folder,
    files: await findTokenizer(folder, undefined, cache),
    ...(name === undefined ? {} : { gguf: join(folder, name) }),
    isGguf: false,
    notes:
      others > 0
        ? [`of ${names.length} GGUF files only ${name} is looked at; name another to have it`]
        : [],
  }
}
