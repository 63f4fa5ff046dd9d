import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { generationConfigToHf, type ModelConfig } from '../checkpoint/config.js'
import { list } from '../checkpoint/geometry.js'
import {
  type ExactJson,
  isExactObject,
  isSpelled,
  parseExactJson,
  spelledAs,
} from '../io/exact-json.js'
import type { Json } from '../io/json.js'
import {
  type JsonTokenizer,
  resolveJsonTokenizer,
  type TokenizerSources,
} from './json-tokenizer.js'
import {
  resolveTokenizer,
  type TokenizerConfigOptions,
  type TokenizerSettings,
} from './tokenizer-config.js'

/**
 * What all files of an output say of the model's tokens. config.json, generation_config.json, the
 * tokenizer's files, genai_config.json, params.json and GGUF's metadata are written from this one
 * answer, so that none says what another contradicts.
 *
 * The tokenizer decides which token begins and ends a text. A stop-token list that has the
 * tokenizer's own end in it stays as it is; ids that no row belongs to go.
 */
export interface ResolvedTokens {
  /** With the ids that are written, and nothing of how the source was quantized. */
  config: ModelConfig
  /** generation_config.json: the source's own, as far as nothing in it is wrong. */
  generation: ReadonlyMap<string, ExactJson>
  /** The tokenizer's special tokens. */
  tokens: TokenIds
  /** How a SentencePiece tokenizer is written. */
  sentencePiece?: { pieces: number; options: TokenizerConfigOptions; settings: TokenizerSettings }
  /** A tokenizer that is written as the source has it. */
  json?: JsonTokenizer
  /** What was contradicted, and what is written, in sentences. */
  notes: string[]
}

interface TokenIds {
  bos?: number | undefined
  eos?: number | undefined
  unk?: number | undefined
  pad?: number | undefined
}

/** What tokens are resolved from: the tokenizer, and generation_config.json beside the source. */
export interface ResolveSources extends TokenizerSources {
  about?: { generationText?: string }
}

const generationName = 'generation_config.json'

export function resolveTokens(checkpoint: Checkpoint, sources: ResolveSources): ResolvedTokens {
  const { config } = checkpoint
  const quantized = withoutQuantization(config)
  const own = tokenizerOf(checkpoint, sources)
  const ids = resolveIds(idsOf(config), own, config.vocab_size)
  const resolved = { ...quantized.config, ...ids.values }
  const generation = resolveGeneration(sources.about?.generationText, resolved, own)
  return {
    config: resolved,
    generation: generation.json,
    tokens: {
      ...own.ids,
      // Where the tokenizer names none, what the model's configuration says serves.
      bos: own.ids.bos ?? resolved.bos_token_id ?? undefined,
      eos: own.ids.eos ?? [resolved.eos_token_id].flat()[0] ?? undefined,
      pad: own.ids.pad ?? resolved.pad_token_id ?? undefined,
    },
    ...(own.sentencePiece === undefined ? {} : { sentencePiece: own.sentencePiece }),
    ...(own.json === undefined ? {} : { json: own.json }),
    notes: [
      ...quantized.notes,
      ...own.notes,
      ...changesOf('config.json', ids.changes.filter(isUntold)),
      ...generation.notes,
    ],
  }

  /** The notes of a SentencePiece tokenizer tell of each single id that config.json claims. */
  function isUntold({ from, to }: IdChange): boolean {
    return own.sentencePiece === undefined || Array.isArray(from) || Array.isArray(to)
  }
}

/** The tokenizer's own view, whichever kind it is. */
interface OwnTokens {
  ids: TokenIds
  isToken(id: number): boolean
  /** Whether an id is a token that a text may end with, and not just any piece. */
  isSpecial(id: number): boolean
  sentencePiece?: NonNullable<ResolvedTokens['sentencePiece']>
  json?: JsonTokenizer
  notes: string[]
}

function tokenizerOf(checkpoint: Checkpoint, sources: ResolveSources): OwnTokens {
  const { config } = checkpoint
  const { tokenizer, keptTokenizer } = sources
  if (tokenizer === undefined || keptTokenizer !== undefined) {
    const json = resolveJsonTokenizer(sources, config)
    if (json !== undefined) {
      const { ids, isToken, isSpecial, notes } = json
      return { ids, isToken, isSpecial, json, notes }
    }
  }
  if (tokenizer === undefined) {
    return { ids: {}, isToken: () => true, isSpecial: () => true, notes: [] }
  }
  const { bos, eos, pad } = idsOf(config)
  const options = {
    ids: { bos: bos ?? undefined, eos: eos ?? undefined, pad: pad ?? undefined },
    modelMaxLength: config.max_position_embeddings,
    rows: config.vocab_size,
    sources: tokenizer.sources,
  }
  const settings = resolveTokenizer(tokenizer.model, options)
  const { tokens, added, warnings } = settings
  const { pieces } = tokenizer.model
  return {
    ids: { bos: tokens.bos?.id, eos: tokens.eos?.id, unk: tokens.unk?.id, pad: tokens.pad?.id },
    isToken: (id) => id < pieces.length || added.some((token) => token.id === id),
    isSpecial: (id) =>
      pieces[id]?.type === 'control' || added.some((token) => token.id === id && token.special),
    sentencePiece: { pieces: pieces.length, options, settings },
    notes: [...warnings],
  }
}

type IdRole = 'bos' | 'eos' | 'pad'
type Id = number | null | undefined
type Ends = number | readonly number[] | null | undefined

/** The ids of a configuration; undefined is a field that is not there. */
interface Ids {
  bos: Id
  eos: Ends
  pad: Id
}

interface IdChange {
  role: IdRole
  from: number | readonly number[]
  to: Ends
  why: string
}

function idsOf(config: ModelConfig): Ids {
  return { bos: config.bos_token_id, eos: config.eos_token_id, pad: config.pad_token_id }
}

/** What a configuration's ids have to be for the tokenizer and the rows that there are. */
function resolveIds(
  ids: Ids,
  own: OwnTokens,
  rows: number,
): {
  values: Pick<ModelConfig, 'bos_token_id' | 'eos_token_id' | 'pad_token_id'>
  changes: IdChange[]
} {
  const changes: IdChange[] = []
  const one = (role: 'bos' | 'pad'): number | null => {
    const from = ids[role] ?? null
    const to = own.ids[role] ?? null
    if (from === null || from === to) return from
    if (to === null && from < rows && own.isToken(from)) return from
    changes.push({ role, from, to, why: whyNot(from, rows) })
    return to
  }
  const ends = resolveEnds(ids.eos, own, rows)
  if (ends.change !== undefined) changes.push(ends.change)
  return {
    values: { bos_token_id: one('bos'), eos_token_id: ends.value, pad_token_id: one('pad') },
    changes,
  }
}

function whyNot(id: number, rows: number): string {
  return id >= rows ? `the embedding has ${rows} rows` : 'against the tokenizer'
}

/** The tokens that end a text. A list says where to stop; a single one claims to be the EOS. */
function resolveEnds(
  from: Ends,
  own: OwnTokens,
  rows: number,
): { value: number | number[] | null; change?: IdChange } {
  if (from === null || from === undefined) return { value: null }
  const eos = own.ids.eos
  const claimed = typeof from === 'number' ? [from] : from
  const there = claimed.filter((id) => id < rows)
  const stops = there.filter((id) => {
    if (eos === undefined || there.includes(eos)) return true
    return id !== own.ids.bos && id !== own.ids.unk && (claimed.length > 1 || own.isSpecial(id))
  })
  const all = eos === undefined || stops.includes(eos) ? stops : [eos, ...stops]
  const value = all.length > 1 ? all : (all[0] ?? null)
  if (String(all) === String(claimed)) return { value: typeof from === 'number' ? from : [...from] }
  const beyond = claimed.find((id) => id >= rows)
  const why = whyNot(beyond ?? claimed[0] ?? 0, rows)
  return { value, change: { role: 'eos', from, to: value, why } }
}

function changesOf(file: string, changes: readonly IdChange[]): string[] {
  return changes.map(({ role, from, to, why }) => {
    const written =
      to === null || to === undefined ? 'none is written' : `${JSON.stringify(to)} is written`
    return `${file} calls ${JSON.stringify(from)} the ${role.toUpperCase()}, ${why}; ${written}.`
  })
}

/** The source's generation_config.json with what is wrong in it put right; else one of the config. */
function resolveGeneration(
  text: string | undefined,
  config: ModelConfig,
  own: OwnTokens,
): { json: ReadonlyMap<string, ExactJson>; notes: string[] } {
  const source = text === undefined ? undefined : parseExactJson(text)
  if (!isExactObject(source)) {
    const built = spelledAs(generationConfigToHf(config))
    return { json: isExactObject(built) ? built : new Map(), notes: [] }
  }
  const id = (field: string): Id => {
    const value = source.get(field)
    const number = isSpelled(value) ? Number(value.spelled) : undefined
    return number !== undefined && Number.isSafeInteger(number) && number >= 0 ? number : undefined
  }
  const ends = source.get('eos_token_id')
  const several = Array.isArray(ends) ? ends.map((item: ExactJson) => numberOf(item)) : undefined
  const ids: Ids = {
    bos: id('bos_token_id'),
    eos: several?.filter((each) => each !== undefined) ?? id('eos_token_id'),
    pad: id('pad_token_id'),
  }
  const { values, changes } = resolveIds(ids, own, config.vocab_size)
  const json = new Map(source)
  for (const { role } of changes) {
    const value: Json = values[`${role}_token_id`]
    if (value === null) json.delete(`${role}_token_id`)
    else json.set(`${role}_token_id`, spelledAs(value))
  }
  return { json, notes: changesOf(generationName, changes) }
}

function numberOf(value: ExactJson): number | undefined {
  const number = isSpelled(value) ? Number(value.spelled) : -1
  return Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

/** Where a fine-tune was quantized as it was loaded, what says how is left over beside its floats. */
const leftOver = ['quantization_config', 'quantization', 'compression_config']

function withoutQuantization(config: ModelConfig): { config: ModelConfig; notes: string[] } {
  const there = leftOver.filter((field) => field in config.other)
  if (there.length === 0) return { config, notes: [] }
  const other = Object.fromEntries(
    Object.entries(config.other).filter(([field]) => !leftOver.includes(field)),
  )
  return {
    config: { ...config, other },
    notes: [
      `config.json has a ${list(there)}, and the weights are not quantized so: it is left out, since who loads the model would quantize it, or ask for the library`,
    ],
  }
}
