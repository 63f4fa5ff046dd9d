import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { metadataLookup } from '../checkpoint/metadata.js'
import { llamaVocabulary } from '../engines/llama-vocabulary.js'
import { fromSystemError, inputError, OpenLlamaError } from '../io/errors.js'
import { parseJson } from '../io/json.js'
import { isRemote } from '../io/store.js'
import type { OpenedTokenizer } from '../open/tokenizer.js'
import { byteLevelLimits } from '../tokenizer/bpe-vocab.js'
import {
  type ComparisonReport,
  compareEngines,
  type KnownLimit,
  unexplained,
} from '../tokenizer/compare.js'
import { readLines } from '../tokenizer/corpus.js'
import {
  sentencePieceEngine,
  type TokenizerEngine,
  tokenizerJsonEngine,
} from '../tokenizer/engine.js'
import { llamaCppLimits } from '../tokenizer/generation.js'
import { tokenizerJsonLimits } from '../tokenizer/json-limits.js'
import { hasVocabulary } from '../tokenizer/load.js'
import { pieceProbes, probes } from '../tokenizer/probes.js'
import { tokenizerFiles } from '../tokenizer/tokenizer-files.js'

export interface TokenizerCheckOptions {
  /** Files of texts, a line each; beside the probes. */
  corpora: readonly string[]
  signal?: AbortSignal
  /** Bytes of texts. */
  onProgress?(done: number, total: number): void
}

export interface TokenizerCheck extends ComparisonReport {
  /** No pair differs in a way that nothing explains. */
  ok: boolean
  /** Engine → what it ran, in words. */
  origins: ReadonlyMap<string, string>
  /** Of `texts`: the built-in ones, and the model's own pieces. */
  probes: number
  notes: string[]
  /** How a token is spelled. */
  pieceOf(id: number): string
}

/** An engine, what it runs, and what it cannot do. */
interface Side {
  engine: TokenizerEngine
  origin: string
  limits: KnownLimit[]
  close?(): Promise<void>
}

/**
 * Holds everything that can run a tokenizer against each other, on the built-in
 * probes and the corpora: SentencePiece, tokenizer.json, and llama.cpp for a GGUF.
 */
export async function checkTokenizer(
  opened: OpenedTokenizer,
  options: TokenizerCheckOptions,
): Promise<TokenizerCheck> {
  const model = opened.tokenizer?.model
  const builtIn = [...probes, ...(model ? pieceProbes(model) : [])]
  const total = await bytesOf(builtIn, options.corpora)
  const notes = [...opened.notes]
  const sides: Side[] = []
  try {
    if (opened.tokenizer !== undefined) sides.push(await sentencePieceSide(opened))
    const json = await tokenizerJsonSide(opened, notes)
    if (json !== undefined) sides.push(json)
    if (opened.gguf !== undefined) {
      const { path, metadata } = opened.gguf
      if (isRemote(path))
        notes.push(`llama.cpp is left out: ${basename(path)} is not on this machine`)
      else if (!hasVocabulary(metadata))
        notes.push(`llama.cpp is left out: ${basename(path)} has no vocabulary`)
      else sides.push(await llamaCppSide(opened, path))
    }
    if (sides.length < 2) throw nothingToCompare(opened, sides)
    let done = 0
    const report = await compareEngines(
      sides.map(({ engine }) => engine),
      texts(builtIn, options, (bytes) => {
        done += bytes
      }),
      {
        limits: sides.flatMap(({ limits }) => limits),
        onProgress: () => options.onProgress?.(Math.min(done, total), total),
      },
    )
    return {
      ...report,
      ok: report.pairs.every((pair) => unexplained(pair) === 0),
      origins: new Map(sides.map(({ engine, origin }) => [engine.name, origin])),
      probes: builtIn.length,
      notes,
      pieceOf: speller(opened),
    }
  } finally {
    for (const side of sides) await side.close?.()
  }
}

async function sentencePieceSide(opened: OpenedTokenizer): Promise<Side> {
  const { tokenizer, rebuilt } = opened
  if (tokenizer === undefined) throw new Error('there is no SentencePiece model')
  const name = basename(tokenizer.path)
  return {
    engine: await sentencePieceEngine(tokenizer.model),
    origin: rebuilt ? `a tokenizer.model rebuilt from ${name}` : name,
    limits: [],
  }
}

/** The tokenizer.json that is there, else the one that we write. */
async function tokenizerJsonSide(
  { source, tokenizer, json, made, gguf, configured }: OpenedTokenizer,
  notes: string[],
): Promise<Side | undefined> {
  const name = 'tokenizer.json'
  if (json !== undefined) {
    const engine = await tokenizerJsonEngine(json.text, json.path, name)
    const limits = tokenizerJsonLimits(name, parseJson(json.text), tokenizer?.model)
    return { engine, origin: 'the one that is there', limits }
  }
  const bytes = made?.find((file) => file.name === name)?.bytes
  if (tokenizer === undefined && bytes !== undefined) {
    const text = new TextDecoder().decode(bytes)
    return {
      engine: await tokenizerJsonEngine(text, name, name),
      origin: `made from ${basename(gguf?.path ?? source)}, as convert writes it`,
      limits: tokenizerJsonLimits(name, parseJson(text), undefined),
    }
  }
  if (tokenizer === undefined) return undefined
  const { model, path, sources } = tokenizer
  const { files, warnings } = tokenizerFiles(model, path, { ...configured, sources })
  notes.push(...warnings)
  const text = files[name]
  return {
    engine: await tokenizerJsonEngine(text, name, name),
    origin: `made from ${basename(path)}, as convert writes it`,
    limits: tokenizerJsonLimits(name, parseJson(text), model),
  }
}

async function llamaCppSide({ tokenizer, gguf }: OpenedTokenizer, path: string): Promise<Side> {
  const engine = await llamaVocabulary(path)
  const limits = tokenizer
    ? llamaCppLimits(tokenizer.model)
    : byteLevelLimits(metadataLookup(gguf?.metadata ?? []).text('tokenizer.ggml.pre'))
  return { engine, origin: basename(path), limits: [...limits], close: engine.close }
}

function nothingToCompare({ source }: OpenedTokenizer, [only]: readonly Side[]): Error {
  const there = only === undefined ? 'no engine' : `only ${only.engine.name}`
  return inputError(`${there} can run this tokenizer: there is nothing to hold it against`, {
    path: source,
    suggestions: [
      'A byte-level BPE takes its tokenizer.json and a GGUF in one folder; others take a SentencePiece model, or a GGUF that was made from one.',
    ],
  })
}

/** The probes, then every line of every corpus. */
async function* texts(
  builtIn: readonly string[],
  { corpora, signal }: TokenizerCheckOptions,
  onRead: (bytes: number) => void,
): AsyncGenerator<string> {
  for (const probe of builtIn) {
    onRead(bytesIn(probe))
    yield probe
  }
  for (const path of corpora) {
    for await (const line of readLines(path)) {
      if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
      onRead(bytesIn(line))
      yield line
    }
  }
}

/** Bytes of a line in its file. */
function bytesIn(line: string): number {
  return Buffer.byteLength(line) + 1
}

/** Bytes of the probes and the corpora. */
async function bytesOf(builtIn: readonly string[], paths: readonly string[]): Promise<number> {
  let bytes = builtIn.reduce((sum, probe) => sum + bytesIn(probe), 0)
  for (const path of paths) {
    try {
      bytes += (await stat(path)).size
    } catch (error) {
      throw fromSystemError(error, path, 'read the corpus')
    }
  }
  return bytes
}

/** A token's spelling: the model's piece, else the GGUF's token. */
function speller({ tokenizer, gguf }: OpenedTokenizer): (id: number) => string {
  const unknown = (id: number) => `token ${id}`
  if (tokenizer !== undefined) {
    return (id) => tokenizer.model.pieces[id]?.text ?? unknown(id)
  }
  const tokens = metadataLookup(gguf?.metadata ?? []).get('tokenizer.ggml.tokens')
  if (tokens?.type === 'string[]') return (id) => tokens.value[id] ?? unknown(id)
  return unknown
}
