import { basename } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { lookUp } from '../checkpoint/metadata.js'
import { llamaVocabulary } from '../engines/llama-vocabulary.js'
import { hasVocabulary } from '../formats/gguf-vocabulary.js'
import { sentencePieceEngine, tokenizerJsonEngine } from '../tokenizer/engine.js'
import { type Generation, tokenizerFacts } from '../tokenizer/generation.js'
import { loadTokenizer, loadTokenizerJson } from '../tokenizer/load.js'

/** A checkpoint's own tokenizer, for giving texts to the model. */
export interface TextTokenizer {
  /** The file that it comes from. */
  from: string
  generation: Generation
  /** Tokens by their ids. */
  pieces: readonly string[]
  /** Runs of spaces become one; undefined where the file cannot say it. */
  mergesSpaces: boolean | undefined
  /** What every text has to begin with. */
  bos: number | null
  /** Ids of a text, without BOS. */
  encode(text: string): number[]
  decode(ids: readonly number[]): string
  close(): Promise<void>
}

/** The tokenizer of a checkpoint, wherever it is; undefined where it has none. */
export async function openTextTokenizer(
  checkpoint: Checkpoint,
): Promise<TextTokenizer | undefined> {
  const bos = checkpoint.config.bos_token_id
  const close = async () => {}
  const loaded = await loadTokenizer(checkpoint)
  if (loaded !== undefined) {
    const { model, path } = loaded
    const { generation, whitespace } = tokenizerFacts(model)
    const engine = await sentencePieceEngine(model)
    // llama.cpp's converter writes no key for it, so a GGUF that does not merge need not mean it.
    const known = checkpoint.tokenizer.model !== undefined || whitespace.merged
    return {
      from: basename(path),
      generation,
      pieces: model.pieces.map(({ text }) => text),
      mergesSpaces: known ? whitespace.merged : undefined,
      bos: bos ?? model.specialIds.bos ?? null,
      encode: engine.encode,
      decode: engine.decode,
      close,
    }
  }
  const json = await loadTokenizerJson(checkpoint.tokenizer)
  if (json !== undefined) {
    const engine = await tokenizerJsonEngine(JSON.stringify(json.json), json.name)
    return {
      from: basename(json.name),
      generation: 'other',
      pieces: piecesOf(json.json),
      mergesSpaces: undefined,
      bos,
      encode: engine.encode,
      decode: engine.decode,
      close,
    }
  }
  const metadata = lookUp(checkpoint.metadata ?? [])
  const tokens = metadata.get('tokenizer.ggml.tokens')
  const [file] = checkpoint.files
  if (tokens?.type !== 'string[]' || file === undefined) return undefined
  if (!hasVocabulary(checkpoint.metadata ?? [])) return undefined
  const vocabulary = await llamaVocabulary(file.path)
  return {
    from: basename(file.path),
    generation: 'other',
    pieces: tokens.value,
    mergesSpaces: undefined,
    bos: bos ?? metadata.integer('tokenizer.ggml.bos_token_id') ?? null,
    encode: vocabulary.encode,
    decode: vocabulary.decode,
    close: vocabulary.close,
  }
}

/** A tokenizer.json's vocabulary, { model: { vocab: { piece: id } } }. */
function piecesOf(json: unknown): string[] {
  const pieces: string[] = []
  if (!isRecord(json) || !isRecord(json.model) || !isRecord(json.model.vocab)) return pieces
  for (const [piece, id] of Object.entries(json.model.vocab)) {
    if (typeof id === 'number') pieces[id] = piece
  }
  return pieces
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

/** What the comparison of two tokenizers came to, in sentences. */
export interface TokenizerJudgement {
  faults: string[]
  notes: string[]
}

/** Whether an artifact has its source's tokenizer: their pieces, and their ids of a text. */
export function compareTokenizers(
  artifact: TextTokenizer | undefined,
  source: TextTokenizer | undefined,
  text: string,
): TokenizerJudgement {
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
  const [ours, theirs] = [artifact.encode(text), source.encode(text)]
  const same = ours.length === theirs.length && ours.every((id, i) => id === theirs[i])
  if (same) return { faults: [], notes: [] }
  if (artifact.mergesSpaces === undefined || source.mergesSpaces === undefined) {
    return {
      faults: [],
      notes: [
        'of texts with runs of spaces the two make other tokens: a GGUF cannot say that spaces are merged, and llama.cpp does not merge them',
      ],
    }
  }
  return {
    faults: [
      `its tokenizer gives ${ours.length} tokens for a text of which the source’s makes ${theirs.length}: it is ${names}`,
    ],
    notes: [],
  }
}

function describe({ generation, from, mergesSpaces, pieces }: TextTokenizer): string {
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
