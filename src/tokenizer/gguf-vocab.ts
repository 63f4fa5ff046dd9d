import { inputError } from '../io/errors.js'
import {
  maxPieces,
  type Piece,
  type PieceType,
  pieceTypeNames,
  pieceTypes,
  type SentencePieceModel,
} from './sentencepiece.js'
import { buildSentencePiece } from './sentencepiece-build.js'
import type { AddedToken, SpecialRole } from './tokenizer-config.js'

/**
 * A SentencePiece model as a GGUF's vocabulary, and back, as plain data. The keys
 * and their order are those that llama.cpp's convert_hf_to_gguf.py writes.
 */

/** One key-value pair of a GGUF header. */
export type GgufEntry = { readonly key: string } & (
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'uint32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string[]'; readonly value: readonly string[] }
  | { readonly type: 'float32[]'; readonly value: Float32Array }
  | { readonly type: 'int32[]'; readonly value: Int32Array }
  | { readonly type: 'uint8[]'; readonly value: Uint8Array }
)

export interface GgufVocabOptions {
  /** `bos_token_id` and its kin, from config.json; by default what the model file says. */
  readonly ids?: { readonly [role in SpecialRole]?: number | undefined }
  /** Written where the source's tokenizer_config.json states it; llama.cpp's default is BOS, no EOS. */
  readonly addBos?: boolean | undefined
  readonly addEos?: boolean | undefined
  /** Tokens beyond the model's pieces. */
  readonly added?: readonly AddedToken[]
  /** Rows of the embedding, where there are more than tokens: the rest is padded. */
  readonly vocabSize?: number | undefined
  /** The chat template's entries (gguf-template.ts). */
  readonly template?: readonly GgufEntry[]
  /**
   * Write `remove_extra_whitespaces` and `precompiled_charsmap` where the model has
   * them. llama.cpp passes over both for this kind of vocabulary, and its converter
   * leaves them out, but without them the model cannot be had back. Default true.
   */
  readonly keepNormalizer?: boolean
}

const prefix = 'tokenizer.ggml.'

/** The score that llama.cpp's converter gives to added tokens, and to padding. */
const addedScore = -1000
const paddingScore = -10_000

/**
 * The vocabulary of a SentencePiece model as GGUF metadata.
 * @param path what to call the model in an error
 */
export function ggufVocab(
  model: SentencePieceModel,
  path: string,
  options: GgufVocabOptions = {},
): GgufEntry[] {
  const tokens: Piece[] = [...model.pieces]
  for (const { id, text, special } of options.added ?? []) {
    // Before anything is padded up to it: an id is as large as a file says.
    const rows = options.vocabSize ?? maxPieces
    if (id >= rows) {
      throw wrongVocab(
        path,
        `added token "${text}" has the id ${id}, and only ${rows} rows of the embedding`,
      )
    }
    pad(tokens, id)
    if (tokens.length !== id) throw wrongVocab(path, `added token "${text}" has the id of another`)
    tokens.push({ text, score: addedScore, type: special ? 'control' : 'userDefined' })
  }
  const size = options.vocabSize ?? tokens.length
  if (size < tokens.length) {
    throw wrongVocab(path, `${tokens.length} tokens, and only ${size} rows of the embedding`)
  }
  pad(tokens, size)

  const { modelType, whitespaceAsSuffix } = model.trainer
  if ((modelType !== 'bpe' && modelType !== 'unigram') || whitespaceAsSuffix) {
    throw wrongVocab(path, `llama.cpp knows no SentencePiece model of type "${modelType}"`)
  }
  const given = options.ids ?? {}
  const own = model.specialIds
  const { normalizer } = model
  const keep = options.keepNormalizer ?? true
  const entries: (GgufEntry | undefined)[] = [
    // llama.cpp calls the unigram kind after the model it came with.
    text('model', modelType === 'bpe' ? 'llama' : 't5'),
    text('pre', 'default'),
    { key: `${prefix}tokens`, type: 'string[]', value: tokens.map((token) => token.text) },
    {
      key: `${prefix}scores`,
      type: 'float32[]',
      value: Float32Array.from(tokens, ({ score }) => score),
    },
    {
      key: `${prefix}token_type`,
      type: 'int32[]',
      value: Int32Array.from(tokens, ({ type }) => pieceTypes[type]),
    },
    id('bos_token_id', given.bos ?? own.bos, tokens.length),
    id('eos_token_id', given.eos ?? own.eos, tokens.length),
    // The converter names it only where a config does; 0 is llama.cpp's default.
    id('unknown_token_id', given.unk ?? (own.unk === 0 ? undefined : own.unk), tokens.length),
    id('padding_token_id', given.pad ?? own.pad, tokens.length),
    flag('add_bos_token', options.addBos),
    flag('add_eos_token', options.addEos),
    ...(options.template ?? []),
    flag('add_space_prefix', normalizer.addDummyPrefix ? undefined : false),
    flag('remove_extra_whitespaces', keep && normalizer.removeExtraWhitespaces ? true : undefined),
    keep && normalizer.precompiledCharsmap.length > 0
      ? {
          key: `${prefix}precompiled_charsmap`,
          type: 'uint8[]',
          value: normalizer.precompiledCharsmap,
        }
      : undefined,
  ]
  return entries.filter((entry) => entry !== undefined)
}

/** Up to the embedding's size, as the converter pads. */
function pad(tokens: Piece[], size: number): void {
  while (tokens.length < size) {
    tokens.push({ text: `[PAD${tokens.length}]`, score: paddingScore, type: 'unused' })
  }
}

function text(name: string, value: string): GgufEntry {
  return { key: prefix + name, type: 'string', value }
}

function flag(name: string, value: boolean | undefined): GgufEntry | undefined {
  return value === undefined ? undefined : { key: prefix + name, type: 'bool', value }
}

/** An id, unless it is "none": negative in a config, or no token at all. */
function id(name: string, value: number | undefined, size: number): GgufEntry | undefined {
  if (value === undefined || value < 0 || value >= size) return undefined
  return { key: prefix + name, type: 'uint32', value }
}

/** Looks up a GGUF key; arrays as lists or typed arrays, integers as numbers or bigints. */
export type GgufLookup = (key: string) => unknown

/**
 * The SentencePiece model that a GGUF's vocabulary came from, or one that does
 * what llama.cpp does with it: spaces are kept unless the file says otherwise.
 * @param path the GGUF, for errors
 */
export function sentencePieceFromGguf(lookup: GgufLookup, path: string): SentencePieceModel {
  const kind = lookup(`${prefix}model`)
  if (kind !== 'llama' && kind !== 't5') {
    throw inputError(`its tokenizer is of the kind ${JSON.stringify(kind) ?? 'undefined'}`, {
      format: 'gguf',
      path,
      suggestions: [
        'Only "llama" and "t5" vocabularies come from SentencePiece; for others pass the original tokenizer.json with `tokenizer`.',
      ],
    })
  }
  const tokens = readTokens(lookup(`${prefix}tokens`), path)
  const scores = readNumbers(lookup(`${prefix}scores`), 'scores', tokens.length, path)
  const types = readNumbers(lookup(`${prefix}token_type`), 'token_type', tokens.length, path)
  const idOf = (name: string) => readId(lookup(`${prefix}${name}_token_id`), tokens.length)
  const bos = idOf('bos')
  const eos = idOf('eos')
  const padding = idOf('padding')
  const named = readTypes(types, path)
  const unk = idOf('unknown') ?? Math.max(0, named.indexOf('unknown'))
  const pieces = tokens.map((token, i): Piece => {
    const type = named[i] ?? 'normal'
    return { text: token, score: scores[i] ?? 0, type: resolveType(i, type) }
  })
  const charsmap = lookup(`${prefix}precompiled_charsmap`)
  return buildSentencePiece(
    {
      pieces,
      modelType: kind === 'llama' ? 'bpe' : 'unigram',
      normalizer: {
        name: isBytes(charsmap) ? 'precompiled' : 'identity',
        precompiledCharsmap: isBytes(charsmap) ? Uint8Array.from(charsmap) : new Uint8Array(),
        addDummyPrefix: readFlag(lookup(`${prefix}add_space_prefix`)) ?? true,
        removeExtraWhitespaces: readFlag(lookup(`${prefix}remove_extra_whitespaces`)) ?? false,
        escapeWhitespaces: true,
        normalizationRuleTsv: '',
      },
      bosPiece: bos === undefined ? undefined : tokens[bos],
      eosPiece: eos === undefined ? undefined : tokens[eos],
      padPiece: padding === undefined || padding === unk ? undefined : tokens[padding],
    },
    path,
  )

  /** One unknown piece, and BOS and EOS never out of text, as in every SentencePiece model. */
  function resolveType(i: number, type: PieceType): PieceType {
    if (i === unk) return 'unknown'
    // A byte stays one, whatever an id says of it: no text could be written without.
    if (type === 'byte') return type
    if (i === bos || i === eos || type === 'unknown') return 'control'
    return type
  }
}

function readTypes(types: readonly number[], path: string): PieceType[] {
  return types.map((number, i) => {
    const type = pieceTypeNames[number]
    if (type === undefined) {
      throw wrongVocab(path, `token ${i} is of type ${number}; there are types 1 to 6`)
    }
    return type
  })
}

function readTokens(value: unknown, path: string): string[] {
  if (!Array.isArray(value)) throw wrongVocab(path, `there is no ${prefix}tokens`)
  return value.map((token: unknown, i) => {
    if (typeof token === 'string') return token
    throw wrongVocab(path, `token ${i} is no text`)
  })
}

function readNumbers(value: unknown, name: string, count: number, path: string): number[] {
  if (!isList(value)) {
    throw wrongVocab(path, `there is no ${prefix}${name}, and no tokenizer without it`)
  }
  if (value.length !== count) {
    throw wrongVocab(path, `${prefix}${name} has ${value.length} entries for ${count} tokens`)
  }
  return Array.from(value, Number)
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value)
}

function isBytes(value: unknown): value is ArrayLike<number> {
  return (
    isList(value) && value.length > 0 && Array.from(value).every((byte) => typeof byte === 'number')
  )
}

function readFlag(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined
}

/** Some converters write 2^32 - 1 for "none". */
function readId(value: unknown, count: number): number | undefined {
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined
  const number = Number(value)
  return number >= 0 && number < count ? number : undefined
}

function wrongVocab(path: string, what: string): Error {
  return inputError(what, {
    format: 'gguf',
    path,
    suggestions: ['Pass the original tokenizer.model with `tokenizer`.'],
  })
}
