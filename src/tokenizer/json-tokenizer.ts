import type { ModelConfig } from '../checkpoint/config.js'
import { inputError } from '../io/errors.js'
import {
  type ExactJson,
  formatExactJson,
  isExactObject,
  isSpelled,
  parseExactJson,
} from '../io/exact-json.js'
import { entriesOf, isObject, parseJsonIfAny, property } from '../io/json.js'
import type { KeptFile, LoadedTokenizer } from './load.js'
import { beyondRows, type SettingsFile } from './tokenizer-config.js'

/** A tokenizer that is written as the source has it, but for tokens that the model has no rows for. */
export interface JsonTokenizer {
  /** Its special tokens, as tokenizer_config.json names them. */
  ids: { bos?: number; eos?: number; unk?: number; pad?: number }
  /** What the tokenizer puts after a text, where it puts anything. */
  after?: number
  isToken(id: number): boolean
  isSpecial(id: number): boolean
  /** The files, where the target takes them over. */
  files?: readonly KeptFile[]
  /** The parsed tokenizer.json, for GGUF. */
  json?: SettingsFile
  notes: string[]
}

/** A checkpoint's tokenizer as it was loaded. */
export interface TokenizerSources {
  /** The SentencePiece model, where there is one. */
  tokenizer?: LoadedTokenizer
  /** The source's tokenizer.json, where it has nothing else. */
  tokenizerJson?: SettingsFile
  /** Its files as they are, where they are to be taken over. */
  keptTokenizer?: readonly KeptFile[]
  /** They are to be taken over even where they are wrong (--keep-tokenizer). */
  keepTokenizer?: boolean
}

const roles = ['bos', 'eos', 'unk', 'pad'] as const

/**
 * Resolves a tokenizer that exists only as JSON, or that is kept as it is (--keep-tokenizer).
 * Special tokens are found as llama.cpp's gguf-py finds them: by their text in
 * tokenizer_config.json, among the tokens of tokenizer.json.
 * @returns undefined where there is neither a tokenizer.json nor a file that is kept
 * @throws input error where the vocabulary itself goes beyond the rows
 */
export function resolveJsonTokenizer(
  { tokenizer, tokenizerJson, keptTokenizer, keepTokenizer = false }: TokenizerSources,
  { vocab_size: rows }: Pick<ModelConfig, 'vocab_size'>,
): JsonTokenizer | undefined {
  if (tokenizerJson === undefined && keptTokenizer === undefined) return undefined
  const parsed = new Map((keptTokenizer ?? []).flatMap(parseKept))
  const main = tokenizerJson?.json ?? parsed.get('tokenizer.json')
  const added = addedTokens(main, parsed)
  const vocabulary = new Map(idsIn(property(property(main, 'model'), 'vocab')))
  const largest = largestOf(vocabulary)
  if (largest >= rows && !keepTokenizer && tokenizer === undefined) {
    throw inputError(
      `the tokenizer has a token of the id ${largest}, the embedding only ${rows} rows`,
      {
        ...(tokenizerJson === undefined ? {} : { path: tokenizerJson.name }),
        suggestions: ['It is of another model: give the right one with `tokenizer`.'],
      },
    )
  }
  const beyond = added.filter(({ id }) => id >= rows)
  const within = keepTokenizer ? added : added.filter(({ id }) => id < rows)
  const idOf = (text: string | undefined): number | undefined => {
    if (text === undefined) return undefined
    const found = within.find((token) => token.text === text)?.id ?? vocabulary.get(text)
    if (found !== undefined || tokenizer === undefined) return found
    const piece = tokenizer.model.pieces.findIndex((each) => each.text === text)
    return piece < 0 ? undefined : piece
  }
  const ids: JsonTokenizer['ids'] = {}
  for (const role of roles) {
    const named = ['tokenizer_config.json', 'special_tokens_map.json'].map((name) =>
      idOf(textOf(property(parsed.get(name), `${role}_token`))),
    )
    const id = named.find((each) => each !== undefined && each < rows)
    if (id !== undefined) ids[role] = id
  }
  const after = idOf(lastOfTemplate(property(main, 'post_processor')))
  const isCut = beyond.length > 0 && !keepTokenizer
  return {
    ids,
    ...(after === undefined || after >= rows ? {} : { after }),
    isToken: (id) =>
      within.some((token) => token.id === id) ||
      tokenizer?.model.pieces[id] !== undefined ||
      [...vocabulary.values()].includes(id),
    isSpecial: (id) =>
      within.some((token) => token.id === id && token.special) ||
      tokenizer?.model.pieces[id]?.type === 'control',
    ...(keptTokenizer === undefined
      ? {}
      : { files: isCut ? keptTokenizer.map((file) => cut(file, beyond)) : keptTokenizer }),
    ...(tokenizerJson === undefined
      ? {}
      : { json: isCut ? withoutAdded(tokenizerJson, rows) : tokenizerJson }),
    notes:
      beyond.length === 0
        ? []
        : [keepTokenizer ? keptBeyond(beyond, rows) : beyondRows(beyond, rows)],
  }
}

interface Added {
  id: number
  text: string
  special: boolean
}

function keptBeyond(beyond: readonly Added[], rows: number): string {
  const [first] = beyond
  return `the tokenizer's files are kept as asked, and ${beyond.length} of their added tokens have no row in the embedding of ${rows}: "${first?.text}" (id ${first?.id}) is the first`
}

function parseKept({ name, bytes }: KeptFile): [string, unknown][] {
  if (!name.endsWith('.json')) return []
  // What is none is passed on as it is; who needs what is in it says what is wrong with it.
  const json = parseJsonIfAny(new TextDecoder().decode(bytes))
  return json === undefined ? [] : [[name, json]]
}

function addedTokens(main: unknown, parsed: ReadonlyMap<string, unknown>): Added[] {
  const listed = property(main, 'added_tokens')
  const found = (Array.isArray(listed) ? listed : []).flatMap((token: unknown) =>
    addedToken(property(token, 'id'), property(token, 'content'), property(token, 'special')),
  )
  const decoder = property(parsed.get('tokenizer_config.json'), 'added_tokens_decoder')
  for (const [id, token] of entriesOf(decoder)) {
    found.push(...addedToken(Number(id), property(token, 'content'), property(token, 'special')))
  }
  for (const [text, id] of idsIn(parsed.get('added_tokens.json'))) {
    found.push(...addedToken(id, text, false))
  }
  const once = new Map<number, Added>()
  for (const token of found) if (!once.has(token.id)) once.set(token.id, token)
  return [...once.values()].sort((a, b) => a.id - b.id)
}

function addedToken(id: unknown, text: unknown, special: unknown): Added[] {
  const right = typeof id === 'number' && Number.isSafeInteger(id) && typeof text === 'string'
  return right ? [{ id, text, special: special === true }] : []
}

function largestOf(vocabulary: ReadonlyMap<string, number>): number {
  let largest = -1
  for (const id of vocabulary.values()) if (id > largest) largest = id
  return largest
}

/** The special token that a template puts after a text. */
function lastOfTemplate(processor: unknown): string | undefined {
  const several = property(processor, 'processors')
  for (const each of Array.isArray(several) ? several : [processor]) {
    const single = property(each, 'single')
    if (!Array.isArray(single) || single.length < 2) continue
    const id = property(property(single.at(-1), 'SpecialToken'), 'id')
    if (typeof id === 'string') return id
  }
  return undefined
}

function withoutAdded({ name, json }: SettingsFile, rows: number): SettingsFile {
  if (!isObject(json) || !Array.isArray(json.added_tokens)) return { name, json }
  const added = json.added_tokens.filter((token: unknown) => {
    const id = property(token, 'id')
    return typeof id !== 'number' || id < rows
  })
  return { name, json: { ...json, added_tokens: added } }
}

/** A file without the tokens: out of lists of tokens, out of maps by id or text, out of roles. */
function cut({ name, bytes }: KeptFile, beyond: readonly Added[]): KeptFile {
  if (!name.endsWith('.json')) return { name, bytes }
  const source = parseExactJson(new TextDecoder().decode(bytes))
  if (!isExactObject(source)) return { name, bytes }
  const ids = new Set(beyond.map(({ id }) => String(id)))
  const texts = new Set(beyond.map(({ text }) => text))
  const isGone = (value: ExactJson): boolean => {
    if (typeof value === 'string') return texts.has(value)
    if (isSpelled(value)) return name === 'added_tokens.json' && ids.has(value.spelled)
    if (!isExactObject(value)) return false
    const [id, content] = [value.get('id'), value.get('content')]
    if (isSpelled(id)) return ids.has(id.spelled)
    return typeof content === 'string' && texts.has(content)
  }
  const lists = new Set([
    ...['added_tokens', 'added_tokens_decoder'],
    ...['additional_special_tokens', 'extra_special_tokens'],
  ])
  const json = new Map<string, ExactJson>()
  for (const [key, value] of source) {
    const isRole = key.endsWith('_token') || name === 'added_tokens.json'
    if (isRole && isGone(value)) continue
    json.set(key, lists.has(key) ? without(value, isGone) : value)
  }
  return { name, bytes: new TextEncoder().encode(formatExactJson(json)) }
}

function without(value: ExactJson, isGone: (value: ExactJson) => boolean): ExactJson {
  if (isExactObject(value)) return new Map([...value].filter(([, item]) => !isGone(item)))
  return Array.isArray(value) ? value.filter((item: ExactJson) => !isGone(item)) : value
}

/** A special token is sent as a text, or as an object with its `content`. */
function textOf(value: unknown): string | undefined {
  const text = typeof value === 'string' ? value : property(value, 'content')
  return typeof text === 'string' && text !== '' ? text : undefined
}

function idsIn(value: unknown): [string, number][] {
  return entriesOf(value).flatMap(([text, id]): [string, number][] =>
    typeof id === 'number' && Number.isSafeInteger(id) ? [[text, id]] : [],
  )
}
