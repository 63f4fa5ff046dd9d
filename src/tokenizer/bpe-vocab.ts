import { itemsOf, property } from '../io/json.js'
import { readMerges } from './bpe-merges.js'
import type { KnownLimit } from './compare.js'
import { llamaCppName } from './generation.js'
import { templateEntries } from './gguf-template.js'
import type { GgufEntry } from './gguf-vocab.js'
import { brief, maxTokens, readTokens, refuse } from './json-vocabulary.js'
import {
  describeSteps,
  knownPreTokenizers,
  recogniseSteps,
  type SplitStep,
} from './pre-tokenizer.js'
import type { SpecialRole } from './tokenizer-config.js'

/**
 * A byte-level BPE that exists only as `tokenizer.json` (LLaMA 3 and its kin) as a
 * GGUF's `gpt2` vocabulary, keys and values as llama.cpp's converter writes them.
 */

export interface BpeVocabOptions {
  /** `bos_token_id` and its kin, from config.json. */
  readonly ids?: { readonly [role in SpecialRole]?: number | undefined }
  /** Rows of the embedding, where there are more than tokens: the rest is padded. */
  readonly vocabSize?: number | undefined
}

export interface BpeVocab {
  /** llama.cpp's name of the pre-tokenizer. */
  readonly pre: string
  readonly entries: readonly GgufEntry[]
  /** Where llama.cpp cannot do what the file says. */
  readonly warnings: readonly string[]
}

const tokenTypes = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const

interface BpeToken {
  readonly text: string
  readonly type: keyof typeof tokenTypes
}

/**
 * @param json the parsed tokenizer.json, with the `chat_template` that belongs to it
 * @param path what to call it in an error
 */
export function bpeVocab(json: unknown, path: string, options: BpeVocabOptions = {}): BpeVocab {
  const model = property(json, 'model')
  if (property(model, 'type') !== 'BPE') {
    throw refuse(path, `a model of type ${brief(property(model, 'type'))}, not BPE`)
  }
  if (property(model, 'byte_fallback') === true) {
    throw refuse(path, 'it was made from a SentencePiece model, whose scores it does not hold', [
      'Pass the tokenizer.model that it came from with `tokenizer`.',
    ])
  }
  const ignoreMerges = property(model, 'ignore_merges') === true
  const steps = readSteps(property(json, 'pre_tokenizer'), path)
  const pre = recogniseSteps(steps, ignoreMerges)
  if (pre === undefined) {
    const how = ignoreMerges ? 'whole words looked up first' : 'merges only'
    throw refuse(path, `llama.cpp has no pre-tokenizer for "${describeSteps(steps)}" with ${how}`, [
      `It has ${knownPreTokenizers.join(', ')} among others: if the model belongs to a kin that llama.cpp knows, convert it there.`,
      'Other formats carry the tokenizer.json as it is.',
    ])
  }
  const tokens = tokensOf(json, path)
  const size = options.vocabSize ?? tokens.length
  if (size < tokens.length) {
    throw refuse(path, `${tokens.length} tokens, and only ${size} rows of the embedding`)
  }
  if (size > maxTokens) throw refuse(path, `${size} tokens; at most ${maxTokens} are believed`)
  for (let id = tokens.length; id < size; id++) tokens.push(padding(id))

  const prefix = 'tokenizer.ggml.'
  const ids = options.ids ?? {}
  const id = (name: string, value: number | undefined): GgufEntry[] =>
    value === undefined || value < 0 || value >= size
      ? []
      : [{ key: `${prefix}${name}_token_id`, type: 'uint32', value }]
  const adds = readTemplate(property(json, 'post_processor'))
  const entries: GgufEntry[] = [
    { key: `${prefix}model`, type: 'string', value: 'gpt2' },
    { key: `${prefix}pre`, type: 'string', value: pre },
    { key: `${prefix}tokens`, type: 'string[]', value: tokens.map(({ text }) => text) },
    {
      key: `${prefix}token_type`,
      type: 'int32[]',
      value: Int32Array.from(tokens, ({ type }) => tokenTypes[type]),
    },
    {
      key: `${prefix}merges`,
      type: 'string[]',
      value: readMerges(model, new Set(tokens.map(({ text }) => text)), path),
    },
    ...id('bos', ids.bos),
    ...id('eos', ids.eos),
    ...id('unknown', ids.unk),
    ...id('padding', ids.pad),
    { key: `${prefix}add_bos_token`, type: 'bool', value: adds.before },
    { key: `${prefix}add_eos_token`, type: 'bool', value: adds.after },
  ]
  const template = templateEntries(property(json, 'chat_template'))
  return {
    pre,
    entries: [...entries, ...template.entries],
    warnings: [...normalizerWarnings(property(json, 'normalizer')), ...template.warnings],
  }
}

function readSteps(json: unknown, path: string): SplitStep[] {
  const type = property(json, 'type')
  if (type === 'Sequence') {
    const steps = property(json, 'pretokenizers')
    return (Array.isArray(steps) ? steps : []).flatMap((step: unknown) => readSteps(step, path))
  }
  if (type === 'Split') {
    const pattern = property(json, 'pattern')
    const regex = property(pattern, 'Regex')
    if (typeof regex === 'string' && property(json, 'behavior') === 'Isolated') {
      if (property(json, 'invert') !== true) return [{ type, regex }]
    }
    // The same said the other way round: what the pattern matches is kept, the rest dropped.
    if (typeof regex === 'string' && property(json, 'behavior') === 'Removed') {
      if (property(json, 'invert') === true) return [{ type, regex }]
    }
  }
  if (type === 'Digits' && property(json, 'individual_digits') === true) return [{ type }]
  if (type === 'ByteLevel' && property(json, 'add_prefix_space') !== true) {
    return [{ type, gpt2Pattern: property(json, 'use_regex') !== false }]
  }
  throw refuse(path, `llama.cpp has nothing like the pre-tokenizer ${brief(json)}`, [
    'Other formats carry the tokenizer.json as it is.',
  ])
}

function tokensOf(json: unknown, path: string): BpeToken[] {
  return readTokens(json, path).map((token, id) => {
    // Ids that nobody has are padding, as the converter has it.
    if (token === undefined) return padding(id)
    const { text, kind } = token
    if (kind === 'vocabulary') return { text, type: 'normal' }
    const special = kind === 'special' || looksSpecial(text)
    return { text, type: special ? 'control' : 'userDefined' }
  })
}

function padding(id: number): BpeToken {
  return { text: `[PAD${id}]`, type: 'unused' }
}

/** Tokens that the converter takes for special ones, whatever the file says. */
function looksSpecial(text: string): boolean {
  return (
    ['<pad>', '<mask>', '<2mass>', '[@BOS@]'].includes(text) ||
    /^<\|.*\|>$/su.test(text) ||
    /^<｜.*｜>$/su.test(text) ||
    /^<unused.*>$/su.test(text)
  )
}

/** Whether a special token goes before and after a text. */
function readTemplate(json: unknown): { before: boolean; after: boolean } {
  if (property(json, 'type') === 'Sequence') {
    const found = itemsOf(property(json, 'processors')).map(readTemplate)
    return {
      before: found.some(({ before }) => before),
      after: found.some(({ after }) => after),
    }
  }
  const single = itemsOf(property(json, 'single'))
  const isSpecial = (item: unknown) => property(item, 'SpecialToken') !== undefined
  return { before: isSpecial(single[0]), after: single.length > 1 && isSpecial(single.at(-1)) }
}

function normalizerWarnings(json: unknown): string[] {
  if (json === null || json === undefined) return []
  const type = brief(property(json, 'type'))
  return [
    `llama.cpp does not normalise text, and this tokenizer does (${type}): texts that it changes get other tokens.`,
  ]
}

/** What llama.cpp does to the text of every byte-level BPE, whatever stands in a GGUF. */
export function byteLevelLimits(pre: string | undefined): KnownLimit[] {
  return pre !== undefined && marksApart.includes(pre) ? [decodedSpaces, marks] : [decodedSpaces]
}

const decodedSpaces: KnownLimit = {
  engine: llamaCppName,
  what: 'llama.cpp drops the space before punctuation when it decodes a byte-level BPE',
  advice: 'The ids are right; decode with the tokenizer.json where the spaces matter.',
  explains: (text) => / (?:[.?!,']|n't)/.test(text),
}

/** Pre-tokenizers whose pattern keeps a letter and the marks on it together, and llama.cpp's does not. */
const marksApart = ['tekken', 'gpt-4o', 'llama4']

const marks: KnownLimit = {
  engine: llamaCppName,
  what: 'llama.cpp cuts words before combining marks, which this pre-tokenizer does not',
  advice: 'Nothing in a GGUF can mend it; expect other tokens in Devanagari, Thai and their kin.',
  explains: (text) => /\p{M}/u.test(text),
}
