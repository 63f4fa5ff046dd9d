import type { KnownLimit } from './compare.js'
import type { ModelType, SentencePieceModel } from './sentencepiece.js'
import type { Token } from './tokenizer-config.js'

/**
 * Which of the known tokenizers a model is:
 * - `openllama-v1`: merges extra spaces; the 3B, 7B and 13B of 2023.
 * - `openllama-v1-keeps-spaces`: the same pieces with that one flag turned over,
 *   as some copies have it. Its texts with extra spaces get other ids.
 * - `openllama-v2`: keeps spaces, and has pieces of several.
 * - `meta`: LLaMA 1 and 2.
 * - `other`
 */
export type Generation =
  | 'openllama-v1'
  | 'openllama-v1-keeps-spaces'
  | 'openllama-v2'
  | 'meta'
  | 'other'

/** What `inspect` says of a tokenizer. */
export interface TokenizerFacts {
  readonly generation: Generation
  readonly modelType: ModelType
  /** Number of pieces. */
  readonly vocabSize: number
  readonly whitespace: {
    /** Runs of spaces become one, and those at both ends of a text are dropped. */
    readonly merged: boolean
    /** A space is put before every text. */
    readonly dummyPrefix: boolean
    /** Pieces made of several spaces. */
    readonly runPieces: number
  }
  /** The normaliser's name, and whether it changes characters. */
  readonly normalizer: { readonly name: string; readonly charsmap: boolean }
  readonly byteFallback: boolean
  readonly splitDigits: boolean
  readonly special: {
    readonly bos: Token | undefined
    readonly eos: Token | undefined
    readonly unk: Token | undefined
    readonly pad: Token | undefined
  }
}

/**
 * Pieces by which the known ones are told apart, from id 259 on: after `<unk>`,
 * `<s>`, `</s>` and 256 bytes come the most frequent pairs of the training text.
 */
const firstPieces: readonly { readonly pieces: string; readonly family: 'v1' | 'v2' | 'meta' }[] = [
  { family: 'v1', pieces: '▁t ▁a in he re on er ▁the ▁s at ▁o en' },
  { family: 'v2', pieces: '▁t ▁a in he ▁▁ re on er ▁s ▁the at or' },
  { family: 'meta', pieces: '▁▁ ▁t er in ▁a en on ▁th es ▁▁▁▁ ▁s ▁d' },
]

const firstLearned = 259
const knownSize = 32_000

/** Reads a tokenizer's facts from the model: its normaliser and its pieces, not its hash. */
export function tokenizerFacts(model: SentencePieceModel): TokenizerFacts {
  const { bos, eos, unk, pad } = model.specialIds
  const token = (id: number | undefined): Token | undefined => {
    const piece = id === undefined ? undefined : model.pieces[id]
    return id === undefined || piece === undefined ? undefined : { id, text: piece.text }
  }
  return {
    generation: generationOf(model),
    modelType: model.trainer.modelType,
    vocabSize: model.pieces.length,
    whitespace: {
      merged: model.normalizer.removeExtraWhitespaces,
      dummyPrefix: model.normalizer.addDummyPrefix,
      runPieces: model.pieces.filter(({ text }) => /^▁{2,}$/.test(text)).length,
    },
    normalizer: {
      name: model.normalizer.name,
      charsmap: model.normalizer.precompiledCharsmap.length > 0,
    },
    byteFallback: model.trainer.byteFallback,
    splitDigits: model.trainer.splitDigits,
    special: { bos: token(bos), eos: token(eos), unk: token(unk), pad: token(pad) },
  }
}

function generationOf(model: SentencePieceModel): Generation {
  const { trainer, normalizer, pieces } = model
  // A fine-tune may have appended pieces, so at least.
  if (trainer.modelType !== 'bpe' || pieces.length < knownSize) return 'other'
  const learned = pieces
    .slice(firstLearned)
    .map(({ text }) => text)
    .slice(0, 12)
    .join(' ')
  const family = firstPieces.find((known) => known.pieces === learned)?.family
  const merges = normalizer.removeExtraWhitespaces
  if (family === 'v1') return merges ? 'openllama-v1' : 'openllama-v1-keeps-spaces'
  if (family === 'v2' && !merges) return 'openllama-v2'
  if (family === 'meta' && !merges) return 'meta'
  return 'other'
}

/** The name that a llama.cpp engine must have for `llamaCppLimits` to apply to it. */
export const llamaCppName = 'llama.cpp'

/**
 * Where llama.cpp cannot do what this model says, whatever stands in a GGUF: it
 * knows no merging of spaces (nor compiled characters) for this kind of vocabulary.
 */
export function llamaCppLimits(model: SentencePieceModel): KnownLimit[] {
  const limits: KnownLimit[] = []
  if (model.normalizer.removeExtraWhitespaces) {
    limits.push({
      engine: llamaCppName,
      what: 'llama.cpp does not merge spaces, which this tokenizer does',
      advice:
        'Nothing in a GGUF can mend it: merge runs of spaces in the text, and strip both ends, before it goes to llama.cpp.',
      explains: (text) => text.includes('▁') || /^ | $| {2}/.test(text),
    })
  }
  if (model.normalizer.precompiledCharsmap.length > 0) {
    limits.push({
      engine: llamaCppName,
      what: `llama.cpp does not apply the normaliser "${model.normalizer.name}" of this tokenizer`,
      advice: 'Normalise the text (Unicode NFKC) before it goes to llama.cpp.',
      explains: (text) => /[^\x20-\x7e]/.test(text),
    })
  }
  const cutOut = model.pieces.filter(({ type }) => type === 'userDefined').map(({ text }) => text)
  if (cutOut.length > 0 && model.normalizer.addDummyPrefix) {
    limits.push({
      engine: llamaCppName,
      what: `llama.cpp puts a space after each user-defined piece ("${cutOut[0]}"), as at the start of a text`,
      advice: 'Nothing in a GGUF can mend it; expect one token more there.',
      explains: (text) => cutOut.some((piece) => text.includes(piece)),
    })
  }
  return limits
}
