import { inputError } from '../io/errors.js'
import { readMerges } from './bpe-merges.js'
import type { KnownLimit } from './compare.js'
import { llamaCppName } from './generation.js'
import { templateEntries } from './gguf-template.js'
import type { GgufEntry } from './gguf-vocab.js'
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

/** As for SentencePiece: a wrong claim must not exhaust memory. */
const maxTokens = 10_000_000

const tokenTypes = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const

interface Token {
  readonly text: string
  readonly type: keyof typeof tokenTypes
}

/**
 * @param json the parsed tokenizer.json, with the `chat_template` that belongs to it
 * @param path what to call it in an error
 */
export function bpeVocab(json: unknown, path: string, options: BpeVocabOptions = {}): BpeVocab {
  const model = get(json, 'model')
  if (get(model, 'type') !== 'BPE') {
    throw refuse(path, `a model of type ${JSON.stringify(get(model, 'type')) ?? 'none'}, not BPE`)
  }
  if (get(model, 'byte_fallback') === true) {
    throw refuse(path, 'it was made from a SentencePiece model, whose scores it does not hold', [
      'Pass the tokenizer.model that it came from with --tokenizer.',
    ])
  }
  const ignoreMerges = get(model, 'ignore_merges') === true
  const steps = readSteps(get(json, 'pre_tokenizer'), path)
  const pre = recogniseSteps(steps, ignoreMerges)
  if (pre === undefined) {
    const how = ignoreMerges ? 'whole words looked up first' : 'merges only'
    throw refuse(path, `llama.cpp has no pre-tokenizer for "${describeSteps(steps)}" with ${how}`, [
      `It has ${knownPreTokenizers.join(', ')} among others: if the model belongs to a kin that llama.cpp knows, convert it there.`,
      'Other formats carry the tokenizer.json as it is.',
    ])
  }
  const tokens = readTokens(json, model, path)
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
  const adds = readTemplate(get(json, 'post_processor'))
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
  const template = templateEntries(get(json, 'chat_template'))
  return {
    pre,
    entries: [...entries, ...template.entries],
    warnings: [...normalizerWarnings(get(json, 'normalizer')), ...template.warnings],
  }
}

function readSteps(json: unknown, path: string): SplitStep[] {
  const type = get(json, 'type')
  if (type === 'Sequence') {
    const steps = get(json, 'pretokenizers')
    return (Array.isArray(steps) ? steps : []).flatMap((step: unknown) => readSteps(step, path))
  }
  if (type === 'Split') {
    const pattern = get(json, 'pattern')
    const regex = get(pattern, 'Regex')
    if (typeof regex === 'string' && get(json, 'behavior') === 'Isolated') {
      if (get(json, 'invert') !== true) return [{ type, regex }]
    }
    // The same said the other way round: what the pattern matches is kept, the rest dropped.
    if (typeof regex === 'string' && get(json, 'behavior') === 'Removed') {
      if (get(json, 'invert') === true) return [{ type, regex }]
    }
  }
  if (type === 'Digits' && get(json, 'individual_digits') === true) return [{ type }]
  if (type === 'ByteLevel' && get(json, 'add_prefix_space') !== true) {
    return [{ type, gpt2Pattern: get(json, 'use_regex') !== false }]
  }
  throw refuse(path, `llama.cpp has nothing like the pre-tokenizer ${JSON.stringify(json)}`, [
    'Other formats carry the tokenizer.json as it is.',
  ])
}

function readTokens(json: unknown, model: unknown, path: string): Token[] {
  const tokens: Token[] = []
  const put = (id: unknown, token: Token) => {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= maxTokens) {
      throw refuse(path, `token "${token.text}" has the id ${String(id)}`)
    }
    const other = tokens[id]
    if (other !== undefined && other.text !== token.text) {
      throw refuse(path, `tokens "${other.text}" and "${token.text}" both have the id ${id}`)
    }
    tokens[id] = token
  }
  for (const [text, id] of entriesOf(get(model, 'vocab'))) put(id, { text, type: 'normal' })
  const added = get(json, 'added_tokens')
  for (const token of Array.isArray(added) ? added : []) {
    const text = get(token, 'content')
    if (typeof text !== 'string') throw refuse(path, 'an added token has no text')
    const special = get(token, 'special') === true || looksSpecial(text)
    put(get(token, 'id'), { text, type: special ? 'control' : 'userDefined' })
  }
  if (tokens.length === 0) throw refuse(path, 'there is no token')
  // Ids that nobody has are padding, as the converter has it.
  return Array.from(tokens, (token, id) => token ?? padding(id))
}

function padding(id: number): Token {
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
  if (get(json, 'type') === 'Sequence') {
    const found = listOf(get(json, 'processors')).map(readTemplate)
    return {
      before: found.some(({ before }) => before),
      after: found.some(({ after }) => after),
    }
  }
  const single = listOf(get(json, 'single'))
  const isSpecial = (item: unknown) => get(item, 'SpecialToken') !== undefined
  return { before: isSpecial(single[0]), after: single.length > 1 && isSpecial(single.at(-1)) }
}

function normalizerWarnings(json: unknown): string[] {
  if (json === null || json === undefined) return []
  const type = String(get(json, 'type'))
  return [
    `llama.cpp does not normalise text, and this tokenizer does (${type}): texts that it changes get other tokens.`,
  ]
}

function get(value: unknown, key: string): unknown {
  return isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function entriesOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : []
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function refuse(path: string, what: string, suggestions?: string[]): Error {
  return inputError(what, {
    format: 'tokenizer.json',
    path,
    suggestions: suggestions ?? ['Download it again, or take it from the original release.'],
  })
}

/** What llama.cpp does to the text of every byte-level BPE, whatever stands in a GGUF. */
export const byteLevelLimits: readonly KnownLimit[] = [
  {
    engine: llamaCppName,
    what: 'llama.cpp drops the space before punctuation when it decodes a byte-level BPE',
    advice: 'The ids are right; decode with the tokenizer.json where the spaces matter.',
    explains: (text) => / (?:[.?!,']|n't)/.test(text),
  },
]
