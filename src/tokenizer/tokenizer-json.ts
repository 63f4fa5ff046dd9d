import { inputError } from '../io/errors.js'
import { type OrderedJson, stringify } from './json.js'
import { brokenPieces, findMerges } from './merges.js'
import type { NormalizerSpec, SentencePieceModel } from './sentencepiece.js'
import { type AddedToken, addedTokenJson, type Token } from './tokenizer-config.js'

/**
 * Hugging Face's `tokenizer.json` that gives what SentencePiece gives, text to
 * ids and ids to text.
 *
 * The rules of SentencePiece that it states (normalizer.cc, bpe_model.cc,
 * unigram_model.cc, sentencepiece_processor.cc of google/sentencepiece):
 * - Control and unknown pieces never come out of text: `<s>` written in a text
 *   is three characters. So they are no `added_tokens`, which would be cut out of
 *   every text before anything else; `specialsInText` makes them so.
 * - Spaces are those of U+0020, escaped as U+2581. `remove_extra_whitespaces`
 *   merges runs of them and drops them at both ends of the text, not of lines;
 *   at the end a U+2581 that stood in the text goes with them.
 * - User-defined pieces are cut out whole, the longest first, and never merged.
 *
 * BPE models are equal on all that was tried. Unigram models differ where two ways
 * to read a text weigh the same to the last bit of an f32 (1 of 30,000 lines), as
 * a tokenizer.json is weighed in f64.
 */

export const spaceSymbol = '\u2581'

export interface TokenizerJsonOptions {
  /** BOS before every text: as LLaMA's own tokenizers do. Default true. */
  readonly addBos?: boolean
  /** EOS after every text. Default false. */
  readonly addEos?: boolean
  /**
   * Let `<s>` and its kin, written in a text, become the special tokens, as most
   * of Hugging Face's tokenizers do. It differs from SentencePiece there, and lets
   * whoever writes the text write the special tokens. Default false.
   */
  readonly specialsInText?: boolean
  /** Which tokens BOS and EOS are; by default what the model file says. */
  readonly tokens?: { readonly bos?: Token | undefined; readonly eos?: Token | undefined }
  /** Tokens beyond the model's pieces; they are always cut out of the text. */
  readonly added?: readonly AddedToken[]
}

export interface MadeTokenizerJson {
  /** The file's text. */
  readonly text: string
  /** Where it cannot equal SentencePiece, a sentence each. */
  readonly warnings: readonly string[]
}

/**
 * Writes the `tokenizer.json` of a SentencePiece model: the same bytes for the
 * same model and options.
 * @param path what to call the model in an error
 */
export function tokenizerJson(
  model: SentencePieceModel,
  path: string,
  options: TokenizerJsonOptions = {},
): MadeTokenizerJson {
  const reason = whyNoTokenizerJson(model)
  if (reason !== undefined) throw unsupported(path, reason)
  const warnings: string[] = []
  const parts = model.trainer.modelType === 'bpe' ? bpe(model, warnings) : unigram(model, warnings)
  if (model.normalizer.precompiledCharsmap.length > 0) {
    warnings.push(
      `The normaliser "${model.normalizer.name}" is a compiled table of characters, which ` +
        'JavaScript tokenizers only approximate; Python ones apply it to whole grapheme clusters.',
    )
  }
  if ((model.denormalizer?.precompiledCharsmap.length ?? 0) > 0) {
    warnings.push(
      `The denormaliser "${model.denormalizer?.name}" changes characters of decoded text, which a ` +
        'tokenizer.json cannot say.',
    )
  }
  const text = stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(model, options),
    normalizer: normalizer(model.normalizer),
    pre_tokenizer: parts.preTokenizer,
    post_processor: postProcessor(model, options),
    decoder: decoder(model),
    model: parts.model,
  })
  return { text, warnings }
}

/** Why a model has no equal as a tokenizer.json; undefined where it has. */
export function whyNoTokenizerJson({ trainer }: SentencePieceModel): string | undefined {
  const { modelType, whitespaceAsSuffix } = trainer
  if (modelType !== 'bpe' && modelType !== 'unigram') {
    return `a model of type "${modelType}"; BPE and unigram have a tokenizer.json`
  }
  return whitespaceAsSuffix
    ? 'treat_whitespace_as_suffix has no equal in a tokenizer.json'
    : undefined
}

function unsupported(path: string, what: string): Error {
  return inputError(what, {
    format: 'tokenizer.json',
    path,
    suggestions: ['Use the tokenizer.model itself, with SentencePiece.'],
  })
}

/** Hugging Face's way with special tokens: each is cut out of the text as it stands. */
function addedTokens(model: SentencePieceModel, options: TokenizerJsonOptions): OrderedJson[] {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false }
  const tokens: OrderedJson[] = []
  if (options.specialsInText === true) {
    for (const [id, { text, type }] of model.pieces.entries()) {
      if (type !== 'control' && type !== 'unknown') continue
      tokens.push({ id, content: text, ...flags, special: true })
    }
  }
  for (const token of options.added ?? []) {
    tokens.push({ id: token.id, ...addedTokenJson(token) })
  }
  return tokens
}

// The start and the end of the text. `\A` and `^` mean different things to the
// regex engines of Rust and JavaScript; "nothing before" means the same to both.
const atStart = '(?<![\\s\\S])'
const atEnd = '(?![\\s\\S])'

export function normalizer(spec: NormalizerSpec): OrderedJson {
  const space = spec.escapeWhitespaces ? spaceSymbol : ' '
  const steps: OrderedJson[] = []
  if (spec.precompiledCharsmap.length > 0) {
    const charsmap = Buffer.from(spec.precompiledCharsmap).toString('base64')
    steps.push({ type: 'Precompiled', precompiled_charsmap: charsmap })
  }
  if (spec.removeExtraWhitespaces) {
    steps.push(replace({ Regex: ' {2,}' }, ' '), replace({ Regex: `${atStart} ` }, ''))
  }
  if (spec.addDummyPrefix) steps.push({ type: 'Prepend', prepend: space })
  if (spec.escapeWhitespaces) steps.push(replace({ String: ' ' }, spaceSymbol))
  if (spec.removeExtraWhitespaces) {
    // Not before the first of a run, so that a long run is tried once.
    steps.push(replace({ Regex: `(?<!${space})${space}+${atEnd}` }, ''))
  }
  return steps.length === 0 ? null : { type: 'Sequence', normalizers: steps }
}

function replace(pattern: OrderedJson, content: string): OrderedJson {
  return { type: 'Replace', pattern, content }
}

function decoder(model: SentencePieceModel): OrderedJson {
  const { addDummyPrefix, removeExtraWhitespaces } = model.normalizer
  const steps: OrderedJson[] = [replace({ String: spaceSymbol }, ' ')]
  if (model.trainer.byteFallback) {
    steps.push({ type: 'ByteFallback' })
  } else {
    // The only way to an unknown piece; SentencePiece shows it as a character of its own.
    steps.push(replace({ String: unkText(model) }, model.trainer.unkSurface))
  }
  steps.push({ type: 'Fuse' })
  if (removeExtraWhitespaces && model.trainer.byteFallback) {
    // SentencePiece drops the space of every leading piece, not of the first alone.
    // (It keeps those of an unknown piece; with such, only the first can be dropped.)
    steps.push(replace({ Regex: `${atStart} +` }, ''))
  } else if (addDummyPrefix || removeExtraWhitespaces) {
    steps.push({ type: 'Strip', content: ' ', start: 1, stop: 0 })
  }
  return { type: 'Sequence', decoders: steps }
}

function unkText(model: SentencePieceModel): string {
  return model.pieces[model.specialIds.unk]?.text ?? model.trainer.unkPiece
}

/** BOS and EOS around a text, and around each of a pair. */
function postProcessor(model: SentencePieceModel, options: TokenizerJsonOptions): OrderedJson {
  const token = (id: number | undefined): Token | undefined => {
    const piece = id === undefined ? undefined : model.pieces[id]
    return id === undefined || piece === undefined ? undefined : { id, text: piece.text }
  }
  const { bos, eos } = options.tokens ?? {
    bos: token(model.specialIds.bos),
    eos: token(model.specialIds.eos),
  }
  const before = (options.addBos ?? true) ? bos : undefined
  const after = (options.addEos ?? false) ? eos : undefined
  const used = [before, after].filter((special) => special !== undefined)
  if (used.length === 0) return null
  const special = (special: Token | undefined, typeId: number): OrderedJson[] =>
    special === undefined ? [] : [{ SpecialToken: { id: special.text, type_id: typeId } }]
  const around = (id: 'A' | 'B', typeId: number): OrderedJson[] => [
    ...special(before, typeId),
    { Sequence: { id, type_id: typeId } },
    ...special(after, typeId),
  ]
  const specialTokens = new Map<string, OrderedJson>(
    used.map(({ id, text }) => [text, { id: text, ids: [id], tokens: [text] }]),
  )
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: specialTokens,
  }
}

interface Parts {
  readonly preTokenizer: OrderedJson
  readonly model: OrderedJson
}

function bpe(model: SentencePieceModel, warnings: string[]): Parts {
  const merges = findMerges(model)
  if (merges.unreachable.length > 0) {
    warnings.push(
      `${merges.unreachable.length} pieces are never produced, as a character of theirs is no ` +
        `piece: ${examples(merges.unreachable)}.`,
    )
  }
  if (merges.unused.length > 0) {
    warnings.push(
      `${merges.unused.length} pieces are marked unused, which a tokenizer.json cannot say: ` +
        `${examples(merges.unused)}.`,
    )
  }
  const cutOut = userDefinedPattern(model)
  const broken = cutOut === undefined ? [] : brokenPieces(model, merges)
  const uncut = broken.filter(({ cut }) => cut === undefined).map(({ text }) => text)
  if (uncut.length > 0) {
    warnings.push(
      `${uncut.length} pieces come out whole where they fill all of the text between two ` +
        `user-defined pieces, and in parts in SentencePiece: ${examples(uncut)}.`,
    )
  }
  const cuts = wholeSegmentPattern(broken.flatMap(({ cut }) => (cut === undefined ? [] : [cut])))
  const spaced = model.pieces.some(({ text }) => text.includes(' '))
  return {
    preTokenizer:
      cutOut === undefined
        ? null
        : cuts === undefined
          ? split(cutOut)
          : { type: 'Sequence', pretokenizers: [split(cutOut), split(cuts)] },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unkText(model),
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: model.trainer.byteFallback,
      // A user-defined piece, cut out whole, is looked up whole.
      ignore_merges: cutOut !== undefined,
      vocab: new Map(model.pieces.map(({ text }, id) => [text, id])),
      // Lists came with tokenizers 0.20; a space between the two is read by all.
      merges: merges.pairs.map((pair) => (spaced ? pair : pair.join(' '))),
    },
  }
}

/** All user-defined pieces as a regular expression, the longest first. */
function userDefinedPattern(model: SentencePieceModel): string | undefined {
  const texts = model.pieces.filter(({ type }) => type === 'userDefined').map(({ text }) => text)
  if (texts.length === 0) return undefined
  texts.sort((a, b) => b.length - a.length || (a < b ? -1 : 1))
  return texts.map(escapeRegex).join('|')
}

/** The text as a regular expression that Rust's and JavaScript's engines take alike. */
function escapeRegex(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** Every match of a regular expression becomes a segment of its own. */
function split(regex: string): OrderedJson {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }
}

/**
 * Segments that are looked up whole and must not be (`<s>` between two user-defined
 * pieces): the first part of each, where nothing but the second comes after it.
 */
function wholeSegmentPattern(cuts: readonly (readonly [string, string])[]): string | undefined {
  if (cuts.length === 0) return undefined
  const rests = new Map<string, string[]>()
  for (const [first, rest] of cuts) {
    const known = rests.get(first)
    if (known === undefined) rests.set(first, [escapeRegex(rest)])
    else known.push(escapeRegex(rest))
  }
  const firsts = [...rests].map(
    ([first, all]) => `${escapeRegex(first)}(?=(?:${all.join('|')})${atEnd})`,
  )
  return `${atStart}(?:${firsts.join('|')})`
}

function examples(texts: readonly string[]): string {
  const shown = texts.slice(0, 3).map((text) => `"${text}"`)
  return shown.join(', ') + (texts.length > shown.length ? ', …' : '')
}

/** SentencePiece's penalty for a character that no piece covers (kUnkPenalty). */
const unkPenalty = 10

function unigram(model: SentencePieceModel, warnings: string[]): Parts {
  const normal = model.pieces.filter(({ type }) => type === 'normal').map(({ score }) => score)
  const lowest = normal.reduce((a, b) => Math.min(a, b), 0)
  const highest = normal.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  if (model.trainer.byteFallback) {
    warnings.push(
      'JavaScript tokenizers do not fall back to bytes in a unigram model: they give the unknown ' +
        'token for characters that no piece covers.',
    )
  }
  return {
    preTokenizer: splitBeforeLast(model),
    model: {
      type: 'Unigram',
      unk_id: model.specialIds.unk,
      vocab: model.pieces.map(({ text, score, type }): OrderedJson => {
        const length = Buffer.byteLength(text)
        // As unigram_model.cc has it: they win over every other way to read them.
        if (type === 'userDefined') return [text, length * highest - 0.1]
        // SentencePiece leaves them out: here, worse than their characters one by one.
        if (type === 'unused') return [text, (lowest - unkPenalty) * (length + 1)]
        return [text, score]
      }),
      byte_fallback: model.trainer.byteFallback,
    },
  }
}

/**
 * The lattice of a tokenizer.json holds every piece, SentencePiece's only those
 * that come out of text. So a text that spells another (`<s>`, `<0x0A>`) is cut
 * before the last character of it.
 */
function splitBeforeLast(model: SentencePieceModel): OrderedJson {
  const spelled = model.pieces
    .filter(({ type }) => type === 'control' || type === 'unknown' || type === 'byte')
    .map(({ text }) => Array.from(text))
    .filter((characters) => characters.length > 1)
    .map((characters) => {
      const before = escapeRegex(characters.slice(0, -1).join(''))
      return `(?<=${before})${escapeRegex(characters.slice(-1).join(''))}`
    })
  return split(spelled.join('|'))
}
