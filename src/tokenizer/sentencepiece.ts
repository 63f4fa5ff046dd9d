import {
  asBoolean,
  asBytes,
  asFloat,
  asInt32,
  asText,
  concatenate,
  type MessagePlace,
  type ModelField,
  malformed,
  maxFields,
  readFields,
  tooMany,
} from './protobuf.js'

/**
 * The SentencePiece model file (`tokenizer.model`), a protobuf `ModelProto`.
 * Source: sentencepiece_model.proto and model_interface.cc of google/sentencepiece.
 */

/** What a piece is; the numbers are those of the file, and of GGUF's `token_type`. */
export const pieceTypes = {
  normal: 1,
  unknown: 2,
  control: 3,
  userDefined: 4,
  unused: 5,
  byte: 6,
} as const

export type PieceType = keyof typeof pieceTypes

/** By number: a piece's type as the file (and GGUF) sends it. */
export const pieceTypeNames: readonly (PieceType | undefined)[] = [
  undefined,
  'normal',
  'unknown',
  'control',
  'userDefined',
  'unused',
  'byte',
]

export interface Piece {
  readonly text: string
  /** A log probability (unigram) or minus the merge rank (BPE), as f32. */
  readonly score: number
  readonly type: PieceType
}

/** The number of a model type is its place, from 1, in this list. */
export const modelTypes = ['unigram', 'bpe', 'word', 'char'] as const

export type ModelType = (typeof modelTypes)[number]

/** What a model is called beside tokenizers of other kinds. */
export function kindOfModel(
  type: ModelType,
): 'sentencepiece-bpe' | 'sentencepiece-unigram' | 'other' {
  return type === 'bpe' || type === 'unigram' ? `sentencepiece-${type}` : 'other'
}

/** The part of `trainer_spec` that decides what the tokenizer does. */
interface TrainerSpec {
  readonly modelType: ModelType
  readonly byteFallback: boolean
  readonly splitDigits: boolean
  readonly whitespaceAsSuffix: boolean
  /** What an unknown piece decodes to. */
  readonly unkSurface: string
  readonly unkPiece: string
  readonly bosPiece: string
  readonly eosPiece: string
  readonly padPiece: string
}

/** `normalizer_spec`, or `denormalizer_spec`. */
export interface NormalizerSpec {
  readonly name: string
  /** A compiled trie of replacements; empty for the identity. */
  readonly precompiledCharsmap: Uint8Array
  readonly addDummyPrefix: boolean
  readonly removeExtraWhitespaces: boolean
  readonly escapeWhitespaces: boolean
  readonly normalizationRuleTsv: string
}

/** Ids by role; undefined where the model has no such piece. */
interface SpecialIds {
  readonly unk: number
  readonly bos: number | undefined
  readonly eos: number | undefined
  readonly pad: number | undefined
}

/**
 * A model: a view of its fields, and the fields themselves in the order of the
 * file, unknown ones among them. It is not changed in place: `buildSentencePiece`
 * makes another.
 */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[]
  readonly trainer: TrainerSpec
  readonly normalizer: NormalizerSpec
  readonly denormalizer: NormalizerSpec | undefined
  readonly specialIds: SpecialIds
  readonly fields: readonly ModelField[]
}

/** The largest vocabulary that is believed: a piece is a field. */
export const maxPieces = maxFields

/**
 * Bytes of a piece that text is joined into: SentencePiece's trainer makes none of more than 512
 * characters (`max_sentencepiece_length`). Each place to split a piece is tried, so that one of
 * megabytes would take forever. Pieces that users define are cut out of the text as they are.
 */
const longestPiece = 4 * 512

/**
 * Parses a `tokenizer.model`.
 * @param bytes the whole file
 * @param path what to call it in an error
 * @throws inputError where SentencePiece itself would refuse the model, too
 */
export function parseSentencePiece(bytes: Uint8Array, path: string): SentencePieceModel {
  const place: MessagePlace = { path, message: 'ModelProto' }
  if (bytes.length === 0) throw malformed(place, 0, 'the file is empty')
  const fields = readFields(bytes, place)
  const pieces: Piece[] = []
  const trainerFields: ModelField[] = []
  const normalizerFields: ModelField[] = []
  let denormalizer: NormalizerSpec | undefined
  // A message sent twice is merged, field by field: the last one wins.
  for (const field of fields) {
    switch (field.number) {
      case 1:
        pieces.push(readPiece(asBytes(field, place), { path, message: `pieces[${pieces.length}]` }))
        break
      case 2:
        append(trainerFields, field, { path, message: 'trainer_spec' })
        break
      case 3:
        append(normalizerFields, field, { path, message: 'normalizer_spec' })
        break
      case 5: {
        const at = { path, message: 'denormalizer_spec' }
        denormalizer = readNormalizer(nested(field, at), at)
        break
      }
    }
  }
  const trainer = readTrainer(trainerFields, { path, message: 'trainer_spec' })
  const normalizer = readNormalizer(normalizerFields, { path, message: 'normalizer_spec' })
  const specialIds = checkPieces(pieces, trainer, place)
  return { pieces, trainer, normalizer, denormalizer, specialIds, fields }
}

/** The bytes of the file: for a parsed model, exactly those that were read. */
export function writeSentencePiece(model: SentencePieceModel): Uint8Array {
  return concatenate(model.fields.map((field) => field.raw))
}

function nested(field: ModelField, place: MessagePlace): ModelField[] {
  return readFields(asBytes(field, place), place)
}

function append(all: ModelField[], field: ModelField, place: MessagePlace): void {
  for (const each of nested(field, place)) all.push(each)
  if (all.length > maxFields) throw tooMany(place)
}

function readPiece(bytes: Uint8Array, place: MessagePlace): Piece {
  let text = ''
  let score = 0
  let type: PieceType = 'normal'
  for (const field of readFields(bytes, place)) {
    if (field.number === 1) text = asText(field, place)
    else if (field.number === 2) score = asFloat(field, place)
    else if (field.number === 3) type = asPieceType(field, place)
  }
  if (text === '') throw malformed(place, undefined, 'the piece is empty')
  if (!Number.isFinite(score)) {
    throw malformed(place, undefined, `the score of "${text}" is ${score}`)
  }
  const length = Buffer.byteLength(text)
  if ((type === 'normal' || type === 'unused') && length > longestPiece) {
    throw malformed(
      place,
      undefined,
      `the piece has ${length} bytes; SentencePiece makes none of more than ${longestPiece}`,
    )
  }
  return { text, score, type }
}

function asPieceType(field: ModelField, place: MessagePlace): PieceType {
  const number = asInt32(field, place)
  const type = pieceTypeNames[number]
  if (type === undefined) {
    throw malformed(place, undefined, `the piece is of type ${number}; there are types 1 to 6`)
  }
  return type
}

function readTrainer(fields: readonly ModelField[], place: MessagePlace): TrainerSpec {
  // The defaults of sentencepiece_model.proto.
  const trainer: Mutable<TrainerSpec> = {
    modelType: 'unigram',
    byteFallback: false,
    splitDigits: false,
    whitespaceAsSuffix: false,
    unkSurface: ' \u2047 ',
    unkPiece: '<unk>',
    bosPiece: '<s>',
    eosPiece: '</s>',
    padPiece: '<pad>',
  }
  for (const field of fields) {
    switch (field.number) {
      case 3: {
        const number = asInt32(field, place)
        const modelType = modelTypes[number - 1]
        if (modelType === undefined) {
          throw malformed(
            place,
            undefined,
            `the model is of type ${number}; there are types 1 to 4`,
          )
        }
        trainer.modelType = modelType
        break
      }
      case 4: {
        const claimed = asInt32(field, place)
        if (claimed < 0 || claimed > maxPieces) {
          throw malformed(
            place,
            undefined,
            `${claimed} pieces are claimed; at most ${maxPieces} are believed`,
          )
        }
        break
      }
      case 24:
        trainer.whitespaceAsSuffix = asBoolean(field, place)
        break
      case 25:
        trainer.splitDigits = asBoolean(field, place)
        break
      case 35:
        trainer.byteFallback = asBoolean(field, place)
        break
      case 44:
        trainer.unkSurface = asText(field, place)
        break
      case 45:
        trainer.unkPiece = asText(field, place)
        break
      case 46:
        trainer.bosPiece = asText(field, place)
        break
      case 47:
        trainer.eosPiece = asText(field, place)
        break
      case 48:
        trainer.padPiece = asText(field, place)
        break
    }
  }
  return trainer
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function readNormalizer(fields: readonly ModelField[], place: MessagePlace): NormalizerSpec {
  const spec: Mutable<NormalizerSpec> = {
    name: '',
    precompiledCharsmap: new Uint8Array(),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
    normalizationRuleTsv: '',
  }
  for (const field of fields) {
    switch (field.number) {
      case 1:
        spec.name = asText(field, place)
        break
      case 2:
        spec.precompiledCharsmap = asBytes(field, place)
        break
      case 3:
        spec.addDummyPrefix = asBoolean(field, place)
        break
      case 4:
        spec.removeExtraWhitespaces = asBoolean(field, place)
        break
      case 5:
        spec.escapeWhitespaces = asBoolean(field, place)
        break
      case 6:
        spec.normalizationRuleTsv = asText(field, place)
        break
    }
  }
  return spec
}

/** The rules by which SentencePiece refuses a model when it loads it. */
function checkPieces(
  pieces: readonly Piece[],
  trainer: TrainerSpec,
  place: MessagePlace,
): SpecialIds {
  if (pieces.length === 0) throw malformed(place, undefined, 'there is no piece')
  const ids = new Map<string, number>()
  let unk: number | undefined
  let bytes = 0
  for (const [id, { text, type }] of pieces.entries()) {
    const first = ids.get(text)
    if (first !== undefined) {
      throw malformed(place, undefined, `pieces ${first} and ${id} are both "${text}"`)
    }
    ids.set(text, id)
    if (type === 'unknown') {
      if (unk !== undefined) {
        throw malformed(place, undefined, `pieces ${unk} and ${id} are both the unknown piece`)
      }
      unk = id
    }
    if (type === 'byte') {
      if (byteOf(text) === undefined) {
        throw malformed(place, undefined, `piece ${id}, "${text}", is called a byte and is none`)
      }
      bytes++
    }
  }
  if (unk === undefined) throw malformed(place, undefined, 'no piece is the unknown one')
  const expected = trainer.byteFallback ? 256 : 0
  if (bytes !== expected) {
    const flag = trainer.byteFallback ? 'on' : 'off'
    throw malformed(
      place,
      undefined,
      `byte fallback is ${flag}, which takes ${expected} byte pieces; there are ${bytes}`,
    )
  }
  // As bos_id() and its kin: looked up by the spelling, and only a control piece counts.
  const control = (text: string) => {
    const id = ids.get(text)
    return id !== undefined && pieces[id]?.type === 'control' ? id : undefined
  }
  return {
    unk,
    bos: control(trainer.bosPiece),
    eos: control(trainer.eosPiece),
    pad: control(trainer.padPiece),
  }
}

/** The byte that a piece such as `<0x0A>` stands for. */
function byteOf(text: string): number | undefined {
  const hex = /^<0x([0-9A-F]{2})>$/.exec(text)?.[1]
  return hex === undefined ? undefined : Number.parseInt(hex, 16)
}
