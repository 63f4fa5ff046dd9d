import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { type MetadataLookup, metadataLookup } from '../checkpoint/metadata.js'
import { OpenLlamaError } from '../io/errors.js'
import { property } from '../io/json.js'
import { bpeVocab } from './bpe-vocab.js'
import { type LoadedTokenizer, loadTokenizer, loadTokenizerJson, readSettings } from './load.js'
import { preTokenizerNamed } from './pre-tokenizer.js'
import { resolveTokens } from './resolved-tokens.js'
import { kindOfModel, pieceTypeNames, pieceTypes } from './sentencepiece.js'
import type { SettingsFile } from './tokenizer-config.js'

/**
 * What decides which tokens a text gets, whatever file it stands in: two tokenizers that are equal
 * in this give the same tokens, and which texts would show it need not be guessed.
 */
export interface Vocabulary {
  kind: 'sentencepiece-bpe' | 'sentencepiece-unigram' | 'byte-level' | 'other'
  tokens: readonly string[]
  /** By the numbers of SentencePiece and GGUF. */
  types?: ArrayLike<number>
  /** Of SentencePiece. */
  scores?: ArrayLike<number>
  /** Of a byte-level BPE. */
  merges?: readonly string[]
  /** llama.cpp's name of the pre-tokenizer. */
  pre?: string
  /** A space is put before a text. */
  spacePrefix?: boolean
  /** Undefined where no file says it. */
  addsBos?: boolean
  addsEos?: boolean
  bos?: number
  /** Each of them ends a text; the tokenizer's own is the first. */
  ends: readonly number[]
}

/** What was loaded of a checkpoint's tokenizer. */
export interface LoadedParts {
  tokenizer?: LoadedTokenizer | undefined
  json?: SettingsFile | undefined
}

/** The vocabulary of a checkpoint; undefined where it has none, or none that can be compared. */
export async function vocabularyOf(
  checkpoint: Checkpoint,
  { tokenizer, json }: LoadedParts,
): Promise<Vocabulary | undefined> {
  const resolved = resolveTokens(checkpoint, {
    ...(tokenizer ? { tokenizer } : {}),
    ...(json
      ? { tokenizerJson: json, keptTokenizer: await readSettings(checkpoint.tokenizer) }
      : {}),
  })
  const { tokens, config } = resolved
  const ends = [tokens.eos, ...[config.eos_token_id].flat(), resolved.json?.after]
  const ids = {
    ...(tokens.bos === undefined ? {} : { bos: tokens.bos }),
    ends: ends.filter((id) => typeof id === 'number'),
  }
  if (tokenizer !== undefined) return { ...sentencePiece(tokenizer), ...ids }
  try {
    const entries = json && bpeVocab(json.json, json.name, { ids: tokens }).entries
    const metadata = metadataLookup([...(entries ?? checkpoint.metadata ?? [])])
    const texts = metadata.get('tokenizer.ggml.tokens')
    return texts?.type === 'string[]'
      ? { ...fromMetadata(metadata, texts.value), ...ids }
      : undefined
  } catch (error) {
    // A tokenizer.json that llama.cpp has nothing like: only texts can be compared.
    if (error instanceof OpenLlamaError && error.code === 'input') return undefined
    throw error
  }
}

/**
 * Where the tokenizers of two checkpoints differ, in sentences; nothing where one has none.
 * @throws input error where one of them cannot be read
 */
export async function tokenizerDifferences(a: Checkpoint, b: Checkpoint): Promise<string[]> {
  const [first, second] = await Promise.all(
    [a, b].map(async (checkpoint) => {
      const tokenizer = await loadTokenizer(checkpoint)
      const json = tokenizer ? undefined : await loadTokenizerJson(checkpoint.tokenizer)
      return vocabularyOf(checkpoint, { tokenizer, json })
    }),
  )
  if (first === undefined || second === undefined) return []
  const length = Math.min(first.tokens.length, second.tokens.length)
  const others = differing(length, (id) => first.tokens[id] === second.tokens[id])
  if (others.count > 0) {
    const at = others.first
    return [
      `${others.count} of ${length} tokens are others: ${at} is ${JSON.stringify(first.tokens[at])} and ${JSON.stringify(second.tokens[at])}`,
    ]
  }
  return vocabularyFaults(first, second, ['the first’s', 'the second’s'])
}

function sentencePiece({ model, sources, json }: LoadedTokenizer): Omit<Vocabulary, 'ends'> {
  const { modelType } = model.trainer
  const stated = (name: string) =>
    sources.map((source) => property(source.json, name)).find((value) => typeof value === 'boolean')
  const [addsBos, addsEos] = [stated('add_bos_token'), stated('add_eos_token')]
  // LLaMA's own way, where there is a model file and nobody says otherwise.
  const usual = json === undefined
  return {
    kind: kindOfModel(modelType),
    tokens: model.pieces.map(({ text }) => text),
    types: model.pieces.map(({ type }) => pieceTypes[type]),
    scores: model.pieces.map(({ score }) => score),
    spacePrefix: model.normalizer.addDummyPrefix,
    ...(addsBos !== undefined || usual ? { addsBos: addsBos ?? true } : {}),
    ...(addsEos !== undefined || usual ? { addsEos: addsEos ?? false } : {}),
  }
}

/** Of a GGUF, or of what a tokenizer.json would be in one. */
function fromMetadata(
  metadata: MetadataLookup,
  tokens: readonly string[],
): Omit<Vocabulary, 'ends'> {
  const entry = (name: string) => metadata.get(`tokenizer.ggml.${name}`)
  const types = entry('token_type')
  const merges = entry('merges')
  const [addsBos, addsEos] = [entry('add_bos_token'), entry('add_eos_token')]
  const pre = metadata.text('tokenizer.ggml.pre')
  const known = pre === undefined ? undefined : preTokenizerNamed(pre)
  const isByteLevel = metadata.text('tokenizer.ggml.model') === 'gpt2'
  return {
    kind: isByteLevel ? 'byte-level' : 'other',
    tokens,
    ...(types?.type === 'int32[]' || types?.type === 'uint32[]' ? { types: types.value } : {}),
    ...(merges?.type === 'string[]' ? { merges: merges.value } : {}),
    ...(pre === undefined ? {} : { pre: known?.name ?? pre }),
    ...(addsBos?.type === 'bool'
      ? { addsBos: addsBos.value }
      : known === undefined
        ? {}
        : { addsBos: known.addsBos ?? false }),
    ...(addsEos?.type === 'bool' ? { addsEos: addsEos.value } : {}),
  }
}

/**
 * Where an artifact's vocabulary is another than its source's, in sentences. Rows beyond the
 * shorter of the two (padding, added tokens) are not looked at.
 */
export function vocabularyFaults(
  artifact: Vocabulary,
  source: Vocabulary,
  [its, theOther]: readonly [string, string] = ['its', 'the source’s'],
): string[] {
  const length = Math.min(artifact.tokens.length, source.tokens.length)
  const name = (id: number) => JSON.stringify(source.tokens[id] ?? artifact.tokens[id] ?? null)
  const faults: string[] = []
  const said = (value: boolean) => (value ? 'is' : 'is not')
  faults.push(...typeFaults(artifact, source, length, name))
  if (artifact.kind === source.kind) {
    if (artifact.kind === 'sentencepiece-bpe') faults.push(...orderFaults(artifact, source, length))
    else if (artifact.kind === 'sentencepiece-unigram') {
      faults.push(...scoreFaults(artifact, source, length, name))
    }
    faults.push(...mergeFaults(artifact, source))
    if (artifact.pre !== source.pre && artifact.kind === 'byte-level') {
      faults.push(
        `${its} pre-tokenizer is ${JSON.stringify(artifact.pre ?? 'none')}, ${theOther} ${JSON.stringify(source.pre ?? 'none')}`,
      )
    }
  }
  for (const [field, what] of [
    ['spacePrefix', 'a space %s put before a text (add_space_prefix)'],
    ['addsBos', 'BOS %s put before a text (add_bos_token)'],
    ['addsEos', 'EOS %s put after a text (add_eos_token)'],
  ] as const) {
    const [ours, theirs] = [artifact[field], source[field]]
    if (ours === undefined || theirs === undefined || ours === theirs) continue
    faults.push(`${what.replace('%s', said(ours))}, where ${theOther} tokenizer says otherwise`)
  }
  if (artifact.bos !== undefined && source.bos !== undefined && artifact.bos !== source.bos) {
    faults.push(
      `${its} BOS is ${artifact.bos} (${name(artifact.bos)}), ${theOther} ${source.bos} (${name(source.bos)})`,
    )
  }
  const [end] = artifact.ends
  const [right] = source.ends
  if (end !== undefined && right !== undefined && !source.ends.includes(end)) {
    faults.push(`${its} EOS is ${end} (${name(end)}), ${theOther} ${right} (${name(right)})`)
  }
  return faults
}

function typeFaults(
  artifact: Vocabulary,
  source: Vocabulary,
  length: number,
  name: (id: number) => string,
): string[] {
  const [ours, theirs] = [artifact.types, source.types]
  if (ours === undefined || theirs === undefined) return []
  // llama.cpp's converter calls the unknown token a control token where a config names it.
  const kind = (type: number | undefined) =>
    type === pieceTypes.unknown ? pieceTypes.control : type
  const others = differing(length, (id) => kind(ours[id]) === kind(theirs[id]))
  if (others.count === 0) return []
  const called = (types: ArrayLike<number>) => pieceTypeNames[types[others.first] ?? 0] ?? 'unknown'
  return [
    `${others.count} of ${length} tokens are of another type: ${others.first}, ${name(others.first)}, is ${called(ours)} for ${called(theirs)}`,
  ]
}

/** In a BPE the order of the scores counts, and only of what is made of several characters. */
function orderFaults(artifact: Vocabulary, source: Vocabulary, length: number): string[] {
  const [ours, theirs] = [artifact.scores, source.scores]
  if (ours === undefined || theirs === undefined) return []
  const merged = Array.from({ length }, (_, id) => id)
    .filter((id) => source.types?.[id] === pieceTypes.normal)
    .filter((id) => Array.from(source.tokens[id] ?? '').length > 1)
    .sort((a, b) => (theirs[b] ?? 0) - (theirs[a] ?? 0))
  let wrong = 0
  let example = ''
  for (const [i, id] of merged.entries()) {
    const next = merged[i + 1]
    if (next === undefined) break
    const [a, b] = [
      Math.sign((theirs[id] ?? 0) - (theirs[next] ?? 0)),
      Math.sign((ours[id] ?? 0) - (ours[next] ?? 0)),
    ]
    if (a === b) continue
    wrong++
    if (example === '') {
      example = `${JSON.stringify(source.tokens[id])} and ${JSON.stringify(source.tokens[next])} have ${ours[id]} and ${ours[next]} for ${theirs[id]} and ${theirs[next]}`
    }
  }
  return wrong === 0
    ? []
    : [`the scores put ${wrong} of ${merged.length} pieces in another order: ${example}`]
}

function scoreFaults(
  artifact: Vocabulary,
  source: Vocabulary,
  length: number,
  name: (id: number) => string,
): string[] {
  const [ours, theirs] = [artifact.scores, source.scores]
  if (ours === undefined || theirs === undefined) return []
  const others = differing(
    length,
    (id) => source.types?.[id] !== pieceTypes.normal || ours[id] === theirs[id],
  )
  const { count, first } = others
  return count === 0
    ? []
    : [
        `${count} of ${length} scores are others: ${name(first)} has ${ours[first]} for ${theirs[first]}`,
      ]
}

function mergeFaults(artifact: Vocabulary, source: Vocabulary): string[] {
  const [ours, theirs] = [artifact.merges, source.merges]
  if (ours === undefined || theirs === undefined) return []
  const { count, first } = differing(
    Math.max(ours.length, theirs.length),
    (rank) => ours[rank] === theirs[rank],
  )
  return count === 0
    ? []
    : [
        `${count} of ${theirs.length} merges are others: merge ${first} is ${JSON.stringify(ours[first] ?? null)} for ${JSON.stringify(theirs[first] ?? null)}`,
      ]
}

function differing(
  length: number,
  isSame: (index: number) => boolean,
): { count: number; first: number } {
  let count = 0
  let first = -1
  for (let i = 0; i < length; i++) {
    if (isSame(i)) continue
    count++
    if (first < 0) first = i
  }
  return { count, first }
}
