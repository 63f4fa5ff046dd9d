import { basename } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { metadataLookup } from '../checkpoint/metadata.js'
import { llamaVocabulary } from '../engines/llama-vocabulary.js'
import { entriesOf, property } from '../io/json.js'
import { sentencePieceEngine, tokenizerJsonEngine } from '../tokenizer/engine.js'
import { type Generation, tokenizerFacts } from '../tokenizer/generation.js'
import { hasVocabulary, loadTokenizer, loadTokenizerJson } from '../tokenizer/load.js'
import { type Vocabulary, vocabularyFaults, vocabularyOf } from '../tokenizer/vocabulary.js'

/** A checkpoint's own tokenizer, for giving texts to the model. */
export interface TextTokenizer {
  /** Ids of a text, without BOS. */
  encode(text: string): number[]
  decode(ids: readonly number[]): string
  /** What every text has to begin with. */
  bos: number | null
  close(): Promise<void>
}

/** A checkpoint's own tokenizer as data; a program to run it takes seconds to start. */
export interface ReadTokenizer {
  /** The file that it comes from. */
  from: string
  generation: Generation
  /** Tokens by their ids. */
  pieces: readonly string[]
  /** What decides which tokens a text gets; undefined where only texts can tell. */
  vocabulary: Vocabulary | undefined
  /** Runs of spaces become one; undefined where the file cannot say it. */
  mergesSpaces: boolean | undefined
  bos: number | null
  /** What runs it. */
  engine: 'sentencepiece' | 'tokenizers.js' | 'llama.cpp'
  open(): Promise<TextTokenizer>
}

/** The tokenizer of a checkpoint, wherever it is; undefined where it has none. */
export async function readTextTokenizer(
  checkpoint: Checkpoint,
): Promise<ReadTokenizer | undefined> {
  const given = checkpoint.config.bos_token_id
  const close = async () => {}
  const tokenizer = await loadTokenizer(checkpoint)
  if (tokenizer !== undefined) {
    const { model, path } = tokenizer
    const { generation, whitespace } = tokenizerFacts(model)
    // llama.cpp's converter writes no key for it, so a GGUF that does not merge need not mean it.
    const known = checkpoint.tokenizer.model !== undefined || whitespace.merged
    const bos = given ?? model.specialIds.bos ?? null
    return {
      from: basename(path),
      generation,
      pieces: model.pieces.map(({ text }) => text),
      vocabulary: await vocabularyOf(checkpoint, { tokenizer }),
      mergesSpaces: known ? whitespace.merged : undefined,
      bos,
      engine: 'sentencepiece',
      open: async () => ({ ...(await sentencePieceEngine(model)), bos, close }),
    }
  }
  const json = await loadTokenizerJson(checkpoint.tokenizer)
  if (json !== undefined) {
    return {
      from: basename(json.name),
      generation: 'other',
      pieces: piecesOf(json.json),
      vocabulary: await vocabularyOf(checkpoint, { json }),
      mergesSpaces: undefined,
      bos: given,
      engine: 'tokenizers.js',
      open: async () => ({
        ...(await tokenizerJsonEngine(JSON.stringify(json.json), json.name)),
        bos: given,
        close,
      }),
    }
  }
  if (!hasVocabulary(checkpoint.metadata)) return undefined
  const metadata = metadataLookup(checkpoint.metadata ?? [])
  const tokens = metadata.get('tokenizer.ggml.tokens')
  const [file] = checkpoint.files
  if (tokens?.type !== 'string[]' || file === undefined) return undefined
  const bos = given ?? metadata.integer('tokenizer.ggml.bos_token_id') ?? null
  return {
    from: basename(file.path),
    generation: 'other',
    pieces: tokens.value,
    vocabulary: await vocabularyOf(checkpoint, {}),
    mergesSpaces: undefined,
    bos,
    engine: 'llama.cpp',
    open: async () => ({ ...(await llamaVocabulary(file.path)), bos }),
  }
}

/** The same, and ready to run. */
export async function openTextTokenizer(
  checkpoint: Checkpoint,
): Promise<TextTokenizer | undefined> {
  return (await readTextTokenizer(checkpoint))?.open()
}

/** A tokenizer.json's vocabulary, { model: { vocab: { piece: id } } }. */
function piecesOf(json: unknown): string[] {
  const pieces: string[] = []
  for (const [piece, id] of entriesOf(property(property(json, 'model'), 'vocab'))) {
    if (typeof id === 'number') pieces[id] = piece
  }
  return pieces
}

/** What the comparison of two tokenizers came to, in sentences. */
export interface TokenizerJudgement {
  faults: string[]
  notes: string[]
}

/** Whether an artifact has its source's tokenizer: what it consists of, or else its ids of a text. */
export async function compareTokenizers(
  artifact: ReadTokenizer | undefined,
  source: ReadTokenizer | undefined,
  text: string,
): Promise<TokenizerJudgement> {
  if (artifact === undefined || source === undefined) {
    const without = artifact === undefined ? 'the artifact' : 'the source'
    const both = artifact === undefined && source === undefined
    return {
      faults: [],
      notes: [`${both ? 'neither' : without} has ${both ? 'a' : 'no'} tokenizer`],
    }
  }
  const names = `${describe(artifact)}, the source’s is ${describe(source)}`
  const length = Math.min(artifact.pieces.length, source.pieces.length)
  let differing = 0
  let first = -1
  for (let i = 0; i < length; i++) {
    if (artifact.pieces[i] === source.pieces[i]) continue
    differing++
    if (first < 0) first = i
  }
  if (differing > 0) {
    return {
      faults: [
        `it has the wrong generation’s tokenizer: ${differing} of ${length} tokens are others, the first is ${first}, ${JSON.stringify(artifact.pieces[first])} for ${JSON.stringify(source.pieces[first])}; it is ${names}`,
      ],
      notes: [],
    }
  }
  const [ours, theirs] = [artifact.vocabulary, source.vocabulary]
  const faults =
    ours === undefined || theirs === undefined
      ? []
      : vocabularyFaults(ours, theirs).map((fault) => `its tokenizer: ${fault}`)
  const merges = [artifact.mergesSpaces, source.mergesSpaces]
  if (merges.includes(true) && merges.includes(undefined)) {
    return {
      faults,
      notes: [
        'of texts with runs of spaces the two make other tokens: a GGUF cannot say that spaces are merged, and llama.cpp does not merge them',
      ],
    }
  }
  if (merges.includes(true) && merges.includes(false)) {
    faults.push(`of the tokenizers only one merges runs of spaces: it is ${names}`)
  }
  const isTold = ours !== undefined && theirs !== undefined && ours.kind === theirs.kind
  if (faults.length > 0 || isTold) return { faults, notes: [] }
  return { faults: await textFaults(artifact, source, text, names), notes: [] }
}

/** Where the two cannot be compared as data, a text has to tell. */
async function textFaults(
  artifact: ReadTokenizer,
  source: ReadTokenizer,
  text: string,
  names: string,
): Promise<string[]> {
  const opened: TextTokenizer[] = []
  try {
    for (const each of [artifact, source]) opened.push(await each.open())
    const [ours = [], theirs = []] = opened.map((tokenizer) => tokenizer.encode(text))
    const same = ours.length === theirs.length && ours.every((id, i) => id === theirs[i])
    return same
      ? []
      : [
          `its tokenizer gives ${ours.length} tokens for a text of which the source’s makes ${theirs.length}: it is ${names}`,
        ]
  } finally {
    for (const tokenizer of opened) await tokenizer.close()
  }
}

function describe({ generation, from, mergesSpaces, pieces }: ReadTokenizer): string {
  const spaces =
    mergesSpaces === undefined ? '' : mergesSpaces ? ', merges spaces' : ', keeps spaces'
  const what = generation === 'other' ? `${pieces.length} tokens` : generation
  return `${from} (${what}${spaces})`
}

/**
 * Tokens for a model without a tokenizer: what they are does not matter to whether two models
 * compute the same. The same every time, and from all of the vocabulary.
 */
export function madeUpTokens(count: number, vocabulary: number): number[] {
  let state = 1
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * vocabulary)
  })
}
