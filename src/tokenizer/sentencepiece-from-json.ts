import { entriesOf, itemsOf, property } from '../io/json.js'
import { readMerges } from './bpe-merges.js'
import { brief, readTokens, refuse } from './json-vocabulary.js'
import type { NormalizerSpec, Piece, PieceType, SentencePieceModel } from './sentencepiece.js'
import { buildSentencePiece } from './sentencepiece-build.js'
import { type SettingsFile, tokenText } from './tokenizer-config.js'
import { normalizer, spaceSymbol } from './tokenizer-json.js'

/**
 * The SentencePiece model that a tokenizer.json of its kind stands for: a BPE whose
 * unknown characters fall back to bytes. transformers 5 saves nothing else of a LLaMA
 * tokenizer.
 *
 * A tokenizer.json lists merges where the model has scores. What decides in SentencePiece
 * is their order alone, and that is the order in which the list first makes each piece. The
 * scores themselves are those of training where that counted down by one from piece to
 * piece (LLaMA, OpenLLaMA), and made up otherwise.
 */

/** Whether a tokenizer.json was made from a SentencePiece BPE with byte fallback. */
export function isSentencePieceJson(json: unknown): boolean {
  const model = property(json, 'model')
  return property(model, 'type') === 'BPE' && property(model, 'byte_fallback') === true
}

/**
 * @param json the parsed tokenizer.json
 * @param path what to call it in an error
 * @param sources it and the files beside it, which name the special tokens
 * @throws input error where SentencePiece has nothing like it
 */
export function sentencePieceFromJson(
  json: unknown,
  path: string,
  sources: readonly SettingsFile[],
): SentencePieceModel {
  const all = readTokens(json, path)
  // Tokens that were added behind the vocabulary are none of the model's.
  const ids = entriesOf(property(property(json, 'model'), 'vocab')).map(([, id]) => id)
  const tokens = all.slice(0, 1 + ids.reduce((last: number, id) => Math.max(last, Number(id)), -1))
  const texts = tokens.map((token, id) => token?.text ?? `[PAD${id}]`)
  const known = new Set(texts)
  const merges = readMerges(property(json, 'model'), known, path)
  const isKnown = (text: unknown): text is string => typeof text === 'string' && known.has(text)
  const roleOf = (role: string) =>
    sources.map((source) => tokenText(property(source.json, `${role}_token`))).find(isKnown)
  const unk = [property(property(json, 'model'), 'unk_token'), roleOf('unk'), '<unk>'].find(isKnown)
  if (unk === undefined) throw refuse(path, 'it has no unknown token, and SentencePiece always one')
  const [bos, eos, pad] = [roleOf('bos'), roleOf('eos'), roleOf('pad')]

  const types = new Map<string, PieceType>()
  const made = new Set(merges.map((merge) => merge.replace(' ', '')))
  for (const [id, text] of texts.entries()) {
    const kind = tokens[id]?.kind
    if (kind === undefined) types.set(text, 'unused')
    else if (/^<0x[0-9A-F]{2}>$/.test(text)) types.set(text, 'byte')
    else if (kind === 'added') types.set(text, 'userDefined')
    // What no merge leads to never comes out of text, as is true of control pieces.
    else if (kind === 'special' || (!made.has(text) && Array.from(text).length > 1)) {
      types.set(text, 'control')
    }
  }
  const steps = stepsOf(property(json, 'pre_tokenizer'))
  for (const text of steps.flatMap((step) => cutOut(step, path))) {
    if (isKnown(text)) types.set(text, 'userDefined')
  }
  for (const text of [bos, eos, pad]) if (text !== undefined) types.set(text, 'control')
  types.set(unk, 'unknown')

  const isNormal = (text: string) => !types.has(text)
  const scores = scoresOf(texts.filter(isNormal), merges)
  return buildSentencePiece(
    {
      pieces: texts.map((text): Piece => {
        return { text, score: scores.get(text) ?? 0, type: types.get(text) ?? 'normal' }
      }),
      modelType: 'bpe',
      normalizer: readNormalizer(property(json, 'normalizer'), steps, path),
      bosPiece: bos ?? ['<s>'].find(isKnown),
      eosPiece: eos ?? ['</s>'].find(isKnown),
      padPiece: pad === unk ? undefined : pad,
    },
    path,
  )
}

/**
 * Scores by which SentencePiece joins pieces in the order of the merges.
 * @param pieces those that have a score, in order of their ids
 */
function scoresOf(pieces: readonly string[], merges: readonly string[]): Map<string, number> {
  const order = new Set(merges.map((merge) => merge.replace(' ', '')))
  const made = pieces.filter((text) => order.has(text))
  const wanted = new Set(made)
  const inOrder = [...order].filter((text) => wanted.has(text))
  // In training ids and scores count the same way, characters among the pieces that are made.
  const asTrained = inOrder.every((text, i) => text === made[i])
  const counted = asTrained ? pieces : [...inOrder, ...pieces.filter((text) => !order.has(text))]
  return new Map(counted.map((text, i) => [text, 0 - i]))
}

/** The steps of a pre-tokenizer, one after another. */
function stepsOf(json: unknown): unknown[] {
  if (json === null || json === undefined) return []
  if (property(json, 'type') !== 'Sequence') return [json]
  return itemsOf(property(json, 'pretokenizers')).flatMap(stepsOf)
}

/** The user-defined pieces that a step cuts out: texts, and what we write beside them (tokenizer-json.ts). */
function cutOut(step: unknown, path: string): string[] {
  if (property(step, 'type') === 'Metaspace') return []
  const regex = property(property(step, 'pattern'), 'Regex')
  if (property(step, 'type') === 'Split' && property(step, 'behavior') === 'Isolated') {
    // It keeps whole segments from being looked up, which SentencePiece does not do anyway.
    if (typeof regex === 'string' && regex.startsWith('(?<![\\s\\S])(?:')) return []
    if (typeof regex === 'string' && /^(?:[^\\^$.*+?()[\]{}|/]|\\[^A-Za-z0-9]|\|)+$/.test(regex)) {
      return regex
        .split(/(?<!(?<!\\)(?:\\\\)*\\)\|/)
        .map((text) => text.replaceAll(/\\(.)/gsu, '$1'))
    }
  }
  throw refuse(path, `SentencePiece has nothing like the pre-tokenizer ${brief(step)}`, noModel)
}

const noModel = ['Pass the tokenizer.model that it came from with `tokenizer`.']

const space = spaceSymbol

/** What SentencePiece does to a text first, which a tokenizer.json says in several ways. */
function readNormalizer(json: unknown, steps: readonly unknown[], path: string): NormalizerSpec {
  const charsmap = charsmapOf(json)
  const spec = (addDummyPrefix: boolean, removeExtraWhitespaces: boolean): NormalizerSpec => ({
    name: charsmap.length > 0 ? 'precompiled' : 'identity',
    precompiledCharsmap: charsmap,
    addDummyPrefix,
    removeExtraWhitespaces,
    escapeWhitespaces: true,
    normalizationRuleTsv: '',
  })
  const metaspace = steps.find((step) => property(step, 'type') === 'Metaspace')
  if (metaspace !== undefined) {
    const scheme = property(metaspace, 'prepend_scheme')
    const plain = property(metaspace, 'replacement') === space && (json ?? null) === null
    if (plain && property(metaspace, 'split') !== true && steps.length === 1) {
      return spec(
        scheme === undefined
          ? property(metaspace, 'add_prefix_space') !== false
          : scheme !== 'never',
        false,
      )
    }
    throw refuse(
      path,
      `SentencePiece has nothing like ${brief(metaspace)} after ${brief(json)}`,
      noModel,
    )
  }
  // As transformers writes it, and as we do.
  const given = flatten(json)
  for (const prefix of [true, false]) {
    for (const merges of [false, true]) {
      const candidate = spec(prefix, merges)
      if (flatten(normalizer(candidate)) === given) return candidate
    }
  }
  throw refuse(path, `SentencePiece has nothing like the normaliser ${brief(json)}`, noModel)
}

/** A normaliser as text, equal where it does the same. */
function flatten(json: unknown): string {
  const steps = property(json, 'type') === 'Sequence' ? property(json, 'normalizers') : [json]
  return JSON.stringify(itemsOf(steps))
}

function charsmapOf(json: unknown): Uint8Array {
  const steps = property(json, 'type') === 'Sequence' ? property(json, 'normalizers') : [json]
  const base64 = itemsOf(steps).map((step) => property(step, 'precompiled_charsmap'))
  const found = base64.find((text) => typeof text === 'string')
  return new Uint8Array(Buffer.from(typeof found === 'string' ? found : '', 'base64'))
}
