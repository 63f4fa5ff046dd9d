import { list } from '../checkpoint/geometry.js'
import { entriesOf, isObject, itemsOf, property } from '../io/json.js'
import { type OrderedJson, stringify } from './json.js'
import type { SentencePieceModel } from './sentencepiece.js'

/**
 * `tokenizer_config.json` and `special_tokens_map.json`, which agree with each
 * other, with the model file and with the ids of `config.json`.
 *
 * What is in them, and why (tried with transformers 4.57 and 5.23):
 * - `tokenizer_class` is PreTrainedTokenizerFast, which both load as the
 *   tokenizer.json stands; transformers 5's LlamaTokenizer builds rules of its own
 *   and passes over the normaliser.
 * - `split_special_tokens`: to SentencePiece `<s>` in a text is three characters.
 *   transformers makes special tokens of it unless told so, whatever the
 *   tokenizer.json says; a call can still ask with `split_special_tokens=False`.
 * - `additional_special_tokens`: transformers.js skips, when it decodes, only the
 *   tokens named here or in `added_tokens`, and there are none of the latter then.
 * - no `added_tokens_decoder` for pieces of the model: llama.cpp's converter would
 *   give them another score and type.
 * - `clean_up_tokenization_spaces` false: else decoding eats spaces before marks.
 */

export type SpecialRole = 'bos' | 'eos' | 'unk' | 'pad'

const roles = ['bos', 'eos', 'unk', 'pad'] as const

/** A token beyond the model's pieces, added by a fine-tune. */
export interface AddedToken {
  readonly id: number
  readonly text: string
  readonly special: boolean
  /** Spaces before it, or after it, are cut out of the text with it; by default not. */
  readonly lstrip?: boolean
  readonly rstrip?: boolean
  /** It counts only where no letter is next to it; by default everywhere. */
  readonly singleWord?: boolean
}

/** How an added token stands in a tokenizer.json and a tokenizer_config.json. */
export function addedTokenJson({ text, special, lstrip, rstrip, singleWord }: AddedToken) {
  return {
    content: text,
    lstrip: lstrip ?? false,
    normalized: false,
    rstrip: rstrip ?? false,
    single_word: singleWord ?? false,
    special,
  }
}

/** JSON files found beside the model, parsed, and what to call them. */
export interface SettingsFile {
  readonly name: string
  readonly json: unknown
}

export interface TokenizerConfigOptions {
  /** `bos_token_id` and its kin, from `config.json`; of several ends of text, all. */
  readonly ids?: { readonly [role in SpecialRole]?: number | readonly number[] | undefined }
  /** Rows of the embedding: a token beyond them is left out. By default as many as are needed. */
  readonly rows?: number | undefined
  /** The longest text in tokens (`max_position_embeddings`). */
  readonly modelMaxLength?: number | undefined
  readonly addBos?: boolean | undefined
  readonly addEos?: boolean | undefined
  /** See tokenizer-json.ts. By default only where a source has a chat template or special tokens of its own. */
  readonly specialsInText?: boolean | undefined
  /** The source's tokenizer_config.json, special_tokens_map.json, added_tokens.json, tokenizer.json. */
  readonly sources?: readonly SettingsFile[]
}

export interface TokenizerSettings {
  readonly tokens: { readonly [role in SpecialRole]: Token | undefined }
  readonly addBos: boolean
  readonly addEos: boolean
  readonly specialsInText: boolean
  readonly added: readonly AddedToken[]
  readonly modelMaxLength: number | undefined
  readonly chatTemplate: OrderedJson | undefined
  /** Contradictions found in the sources, and how each was resolved. */
  readonly warnings: readonly string[]
}

export interface Token {
  readonly id: number
  readonly text: string
}

/**
 * What the files will say: decided by the model file; where that is silent, by
 * the ids of config.json, and then by the source's own maps.
 */
export function resolveTokenizer(
  model: SentencePieceModel,
  options: TokenizerConfigOptions = {},
): TokenizerSettings {
  const warnings: string[] = []
  const sources = options.sources ?? []
  const added = withinRows(addedTokens(model, sources, warnings), options.rows, warnings)
  const textOf = (id: number) =>
    model.pieces[id]?.text ?? added.find((token) => token.id === id)?.text
  const idOf = (text: string) => {
    const id = model.pieces.findIndex((piece) => piece.text === text)
    return id >= 0 ? id : added.find((token) => token.text === text)?.id
  }

  const resolve = (role: SpecialRole): Token | undefined => {
    const claims: Claim[] = claimsOf(role, sources).map(({ file, text }) => {
      return { file, id: idOf(text), said: `"${text}"` }
    })
    // -1 is how the first LLaMA configs said "none".
    const configIds = [options.ids?.[role] ?? []].flat().filter((id) => id >= 0)
    const [configId] = configIds
    if (configId !== undefined) {
      const text = textOf(configId)
      const said = text === undefined ? `id ${configId}` : `id ${configId} ("${text}")`
      claims.unshift({ file: 'config.json', id: text === undefined ? undefined : configId, said })
    }
    // A fine-tune may have given the role to a token that the model file cannot know.
    const ownId =
      claims.find(({ id }) => id !== undefined && id >= model.pieces.length)?.id ??
      (role === 'eos' ? endOfChat(claims, configIds) : undefined) ??
      model.specialIds[role] ??
      claims.find(({ id }) => id !== undefined)?.id
    const ownText = ownId === undefined ? undefined : textOf(ownId)
    for (const { file, id, said } of claims) {
      if (id === ownId && id !== undefined) continue
      // Of several ends of text the tokenizer's own need not be the first.
      if (file === 'config.json' && ownId !== undefined && configIds.includes(ownId)) continue
      const written =
        ownText === undefined ? 'none is written' : `"${ownText}" (id ${ownId}) is written`
      const against = ownId === model.specialIds[role] ? 'the model file' : 'tokenizer_config.json'
      const why = id === undefined ? 'which is no token of the model' : `against ${against}`
      warnings.push(`${file} calls ${said} the ${role.toUpperCase()}, ${why}; ${written}.`)
    }
    return ownId === undefined || ownText === undefined ? undefined : { id: ownId, text: ownText }
  }

  /**
   * A chat model may end with another piece than the model file knows of (Yi's `<|im_end|>`):
   * tokenizer_config.json says so, or another file and config.json together.
   */
  function endOfChat(claims: readonly Claim[], configIds: readonly number[]): number | undefined {
    const { bos, unk } = model.specialIds
    return claims.find(({ file, id }) => {
      if (id === undefined || id === bos || id === unk || file === 'config.json') return false
      return file === 'tokenizer_config.json' || configIds.includes(id)
    })?.id
  }

  const tokens = {
    bos: resolve('bos'),
    eos: resolve('eos'),
    unk: resolve('unk'),
    pad: resolve('pad'),
  }
  const chatTemplate = resolveTemplate(sources, warnings)
  const fineTuned = chatTemplate !== undefined || added.some(({ special }) => special)
  return {
    tokens,
    addBos: options.addBos ?? firstFlag(sources, 'add_bos_token') ?? true,
    addEos: options.addEos ?? firstFlag(sources, 'add_eos_token') ?? false,
    specialsInText: options.specialsInText ?? fineTuned,
    added,
    modelMaxLength: options.modelMaxLength ?? maxLength(sources),
    chatTemplate,
    warnings,
  }
}

interface Claim {
  readonly file: string
  readonly id: number | undefined
  /** As it stands in the file. */
  readonly said: string
}

/**
 * Writes `tokenizer_config.json`.
 * @param modelOnly there is no tokenizer.json beside it
 */
export function tokenizerConfigJson(
  model: SentencePieceModel,
  settings: TokenizerSettings,
  { modelOnly = false }: { modelOnly?: boolean } = {},
): string {
  const beyond = settings.added.map((token): [string, OrderedJson] => [
    String(token.id),
    addedTokenJson(token),
  ])
  const controls = model.pieces
    .filter(({ type }) => type === 'control' || type === 'unknown')
    .map(({ text }) => text)
  return stringify({
    add_bos_token: settings.addBos,
    add_eos_token: settings.addEos,
    // Read by llama.cpp's converter; the tokenizer.json says the same by itself.
    add_prefix_space: model.normalizer.addDummyPrefix ? undefined : false,
    added_tokens_decoder: beyond.length === 0 ? undefined : new Map(beyond),
    additional_special_tokens: settings.specialsInText ? undefined : controls,
    bos_token: settings.tokens.bos?.text,
    chat_template: settings.chatTemplate,
    clean_up_tokenization_spaces: false,
    eos_token: settings.tokens.eos?.text,
    // SentencePiece's own spaces, and not those of transformers before 4.31.
    legacy: modelOnly ? false : undefined,
    // Else transformers adds token_type_ids, at which `generate` of transformers 4 fails.
    model_input_names: ['input_ids', 'attention_mask'],
    model_max_length: settings.modelMaxLength,
    pad_token: settings.tokens.pad?.text,
    split_special_tokens: settings.specialsInText ? undefined : true,
    tokenizer_class: modelOnly ? 'LlamaTokenizer' : 'PreTrainedTokenizerFast',
    unk_token: settings.tokens.unk?.text,
  })
}

/** Writes `special_tokens_map.json`. */
export function specialTokensMapJson(settings: TokenizerSettings): string {
  return stringify({
    bos_token: settings.tokens.bos?.text,
    eos_token: settings.tokens.eos?.text,
    pad_token: settings.tokens.pad?.text,
    unk_token: settings.tokens.unk?.text,
  })
}

function claimsOf(role: SpecialRole, sources: readonly SettingsFile[]) {
  return sources.flatMap(({ name, json }) => {
    const text = tokenText(property(json, `${role}_token`))
    return text === undefined ? [] : [{ file: name, text }]
  })
}

/** Tokens beyond the model's pieces, from whichever file names them. */
function addedTokens(
  model: SentencePieceModel,
  sources: readonly SettingsFile[],
  warnings: string[],
): AddedToken[] {
  const found = new Map<number, AddedToken>()
  const note = (file: string, token: AddedToken) => {
    const { id, text } = token
    const piece = model.pieces[id]
    if (piece !== undefined) {
      if (piece.text !== text) {
        warnings.push(
          `${file} calls token ${id} "${text}"; the model file says "${piece.text}", which is written.`,
        )
      }
      return
    }
    const known = found.get(id)
    if (known === undefined) found.set(id, token)
    else if (known.text !== text) {
      warnings.push(`${file} calls token ${id} "${text}"; "${known.text}" is written.`)
    }
  }
  for (const { name, json } of sources) {
    // tokenizer_config.json: {"32000": {"content": "[PAD]", "special": true}}
    for (const [id, token] of entriesOf(property(json, 'added_tokens_decoder'))) {
      const text = tokenText(token)
      if (text !== undefined && isId(Number(id))) {
        note(name, { id: Number(id), text, ...flagsOf(token) })
      }
    }
    // tokenizer.json: [{"id": 32000, "content": "[PAD]", "special": true}]
    const list = property(json, 'added_tokens')
    for (const token of Array.isArray(list) ? list : []) {
      const id = property(token, 'id')
      const text = tokenText(token)
      if (text !== undefined && isId(id)) note(name, { id, text, ...flagsOf(token) })
    }
    // added_tokens.json: {"[PAD]": 32000}
    if (name === 'added_tokens.json') {
      for (const [text, id] of entriesOf(json)) {
        if (isId(id)) note(name, { id, text, special: isSpecial(text) })
      }
    }
  }
  return [...found.values()].sort((a, b) => a.id - b.id)

  /** Files of that time name special tokens by their roles, or in a list of others. */
  function isSpecial(text: string): boolean {
    return sources.some(({ json }) => {
      const others = property(json, 'additional_special_tokens')
      const named = roles.map((role) => property(json, `${role}_token`))
      return [...named, ...itemsOf(others)].some((token) => tokenText(token) === text)
    })
  }
}

/** The added tokens that the embedding has rows for; the others are told of, and left out. */
function withinRows(
  added: readonly AddedToken[],
  rows: number | undefined,
  warnings: string[],
): readonly AddedToken[] {
  const beyond = rows === undefined ? [] : added.filter(({ id }) => id >= rows)
  if (beyond.length > 0) warnings.push(beyondRows(beyond, rows ?? 0))
  return added.filter((token) => !beyond.includes(token))
}

/** Says which added tokens are left out, and how to have them. */
export function beyondRows(
  tokens: readonly { readonly id: number; readonly text: string }[],
  rows: number,
): string {
  const [have, are] = tokens.length === 1 ? ['token has', 'is'] : ['tokens have', 'are']
  const names = list(tokens.map(({ id, text }) => `"${text}" (id ${id})`))
  return `${tokens.length} added ${have} no row in the embedding of ${rows} and ${are} left out: ${names}. To keep such a token, give the weights its row first (resize_token_embeddings in transformers).`
}

function flagsOf(token: unknown): Omit<AddedToken, 'id' | 'text'> {
  return {
    special: property(token, 'special') === true,
    lstrip: property(token, 'lstrip') === true,
    rstrip: property(token, 'rstrip') === true,
    singleWord: property(token, 'single_word') === true,
  }
}

/** The first there is: a file of its own comes first, as in transformers. */
function resolveTemplate(
  sources: readonly SettingsFile[],
  warnings: string[],
): OrderedJson | undefined {
  const found = sources.flatMap(({ name, json }) => {
    const template = property(json, 'chat_template')
    return isJson(template) ? [{ name, template }] : []
  })
  const [first, ...others] = found
  for (const { name, template } of others) {
    if (first === undefined || stringify(template) === stringify(first.template)) continue
    warnings.push(`${name} has another chat template than ${first.name}, which is written.`)
  }
  return first?.template
}

function firstFlag(sources: readonly SettingsFile[], key: string): boolean | undefined {
  return sources.map(({ json }) => property(json, key)).find((value) => typeof value === 'boolean')
}

/** transformers writes 10^30 for "no limit", which says nothing. */
function maxLength(sources: readonly SettingsFile[]): number | undefined {
  return sources
    .map(({ json }) => property(json, 'model_max_length'))
    .find((value): value is number => isId(value) && value > 0)
}

/** A special token is sent as a text, or as an object with its `content`. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const content = property(value, 'content')
  return typeof content === 'string' ? content : undefined
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** A chat template is a text, or a list of named ones; all else is left out. */
function isJson(value: unknown): value is OrderedJson {
  return (
    typeof value === 'string' ||
    (Array.isArray(value) &&
      value.every(
        (item) => isObject(item) && Object.values(item).every((part) => typeof part === 'string'),
      ))
  )
}
