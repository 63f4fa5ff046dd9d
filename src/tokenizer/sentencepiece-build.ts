import { bytesField, concatenate, floatField, varintField } from './protobuf.js'
import {
  modelTypes,
  type NormalizerSpec,
  type Piece,
  parseSentencePiece,
  pieceTypes,
  type SentencePieceModel,
} from './sentencepiece.js'

/** What `buildSentencePiece` makes a model from. */
export interface SentencePieceParts {
  readonly pieces: readonly Piece[]
  readonly modelType: 'bpe' | 'unigram'
  readonly normalizer: NormalizerSpec
  readonly bosPiece?: string | undefined
  readonly eosPiece?: string | undefined
  readonly padPiece?: string | undefined
}

/**
 * A model from its parts, for vocabularies that come without a `tokenizer.model`
 * (a GGUF). It is held to the same rules as one that is read.
 * @param path what to call it in an error
 */
export function buildSentencePiece(parts: SentencePieceParts, path: string): SentencePieceModel {
  const { pieces, normalizer } = parts
  const idOf = (text: string | undefined) =>
    text === undefined ? -1 : pieces.findIndex((piece) => piece.text === text)
  const unk = pieces.findIndex((piece) => piece.type === 'unknown')
  const trainer = [
    varintField(3, modelTypes.indexOf(parts.modelType) + 1),
    varintField(4, pieces.length),
    varintField(
      35,
      pieces.some((piece) => piece.type === 'byte'),
    ),
    varintField(40, unk),
    varintField(41, idOf(parts.bosPiece)),
    varintField(42, idOf(parts.eosPiece)),
    varintField(43, idOf(parts.padPiece)),
    ...textField(45, pieces[unk]?.text),
    ...textField(46, parts.bosPiece),
    ...textField(47, parts.eosPiece),
    ...textField(48, parts.padPiece),
  ]
  const normalizerFields = [
    bytesField(1, normalizer.name),
    bytesField(2, normalizer.precompiledCharsmap),
    varintField(3, normalizer.addDummyPrefix),
    varintField(4, normalizer.removeExtraWhitespaces),
    varintField(5, normalizer.escapeWhitespaces),
    bytesField(6, normalizer.normalizationRuleTsv),
  ]
  const bytes = concatenate([
    ...pieces.map((piece) => bytesField(1, writePiece(piece))),
    bytesField(2, concatenate(trainer)),
    bytesField(3, concatenate(normalizerFields)),
  ])
  return parseSentencePiece(bytes, path)
}

function textField(number: number, text: string | undefined): Uint8Array[] {
  return text === undefined ? [] : [bytesField(number, text)]
}

function writePiece({ text, score, type }: Piece): Uint8Array {
  const fields = [bytesField(1, text), floatField(2, score)]
  // As SentencePiece writes it: the default type is left out.
  if (type !== 'normal') fields.push(varintField(3, pieceTypes[type]))
  return concatenate(fields)
}
