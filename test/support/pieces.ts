import type { Piece, SentencePieceModel } from '../../src/tokenizer/sentencepiece.js'
import { writeSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import { buildSentencePiece } from '../../src/tokenizer/sentencepiece-build.js'

/** A BPE model of bytes, and these pieces behind them; spaces are kept. */
export function modelOf(pieces: readonly Piece[]): {
  model: SentencePieceModel
  bytes: Uint8Array
} {
  const special: Piece[] = [
    { text: '<unk>', score: 0, type: 'unknown' },
    { text: '<s>', score: 0, type: 'control' },
    { text: '</s>', score: 0, type: 'control' },
    ...Array.from({ length: 256 }, (_, byte): Piece => {
      const hex = byte.toString(16).toUpperCase().padStart(2, '0')
      return { text: `<0x${hex}>`, score: 0, type: 'byte' }
    }),
  ]
  const model = buildSentencePiece(
    {
      pieces: [...special, ...pieces],
      modelType: 'bpe',
      normalizer: {
        name: 'identity',
        precompiledCharsmap: new Uint8Array(),
        addDummyPrefix: true,
        removeExtraWhitespaces: false,
        escapeWhitespaces: true,
        normalizationRuleTsv: '',
      },
      bosPiece: '<s>',
      eosPiece: '</s>',
    },
    'made up',
  )
  return { model, bytes: writeSentencePiece(model) }
}

/** Pieces of type normal, of falling scores. */
export function normal(...texts: readonly string[]): Piece[] {
  return texts.map((text, i) => ({ text, score: -i - 1, type: 'normal' }))
}
