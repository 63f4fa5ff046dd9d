import { property } from '../io/json.js'
import type { KnownLimit } from './compare.js'
import type { SentencePieceModel } from './sentencepiece.js'

/**
 * Where a tokenizer.json differs from other engines and is not wrong for it.
 * @param engine the name of the engine that runs it
 * @param json the parsed file
 * @param model the SentencePiece model that it is held against, where there is one
 */
export function tokenizerJsonLimits(
  engine: string,
  json: unknown,
  model: SentencePieceModel | undefined,
): KnownLimit[] {
  const limits: KnownLimit[] = []
  const special = addedTexts(json)
  if (special.length > 0) {
    limits.push({
      engine,
      what: `${engine} makes special tokens of ${named(special)} where a text spells them, which to other engines is text like any other`,
      advice:
        'Where whoever writes the text must not write special tokens, load it with split_special_tokens=True; docs/tokenizers.md says more.',
      explains: (text) => special.some((token) => text.includes(token)),
    })
  }
  const steps = property(json, 'pre_tokenizer')
  if (property(steps, 'type') === 'Metaspace' && property(steps, 'prepend_scheme') !== 'never') {
    limits.push({
      engine,
      what: `${engine} puts no space before a text that begins with one, as SentencePiece and llama.cpp do`,
      advice: 'The model was trained with SentencePiece’s way; docs/tokenizers.md says more.',
      explains: (text) => /^[ ▁]/.test(text),
    })
  }
  if (model !== undefined && model.normalizer.precompiledCharsmap.length > 0) {
    limits.push({
      engine,
      what: `JavaScript tokenizers only approximate the normaliser "${model.normalizer.name}" of this model`,
      advice: 'Use SentencePiece itself, or Python, where such characters matter.',
      explains: (text) => /[^\x20-\x7e]/.test(text),
    })
  }
  if (model?.trainer.modelType === 'unigram' && model.trainer.byteFallback) {
    const covered = new Set(
      model.pieces.flatMap(({ text, type }) => (type === 'byte' ? [] : Array.from(text))),
    )
    limits.push({
      engine,
      what: 'JavaScript tokenizers do not fall back to bytes in a unigram model',
      advice: 'Use SentencePiece itself, or Python, for characters that no piece covers.',
      explains: (text) => Array.from(text).some((one) => one !== ' ' && !covered.has(one)),
    })
  }
  return limits
}

/** The texts that a tokenizer.json cuts out before anything else. */
function addedTexts(json: unknown): string[] {
  const added = property(json, 'added_tokens')
  if (!Array.isArray(added)) return []
  return added
    .map((token: unknown) => property(token, 'content'))
    .filter((content) => typeof content === 'string' && content !== '')
    .map(String)
}

function named(texts: readonly string[]): string {
  const shown = texts.slice(0, 3).map((text) => JSON.stringify(text))
  return shown.join(', ') + (texts.length > shown.length ? ` and ${texts.length - 3} more` : '')
}
