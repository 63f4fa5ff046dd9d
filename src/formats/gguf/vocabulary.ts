import type { Checkpoint } from '../../checkpoint/checkpoint.js'
import type { MetadataEntry } from '../../checkpoint/metadata.js'
import { property } from '../../io/json.js'
import { bpeVocab } from '../../tokenizer/bpe-vocab.js'
import { llamaCppLimits } from '../../tokenizer/generation.js'
import { templateEntries } from '../../tokenizer/gguf-template.js'
import { ggufVocab } from '../../tokenizer/gguf-vocab.js'
import { hasVocabulary, type LoadedTokenizer } from '../../tokenizer/load.js'
import { type ResolvedTokens, resolveTokens } from '../../tokenizer/resolved-tokens.js'
import { resolveTokenizer } from '../../tokenizer/tokenizer-config.js'
import type { TargetOptions } from '../format.js'

/**
 * The vocabulary for a file's metadata (`tokenizer.*`): from the SentencePiece
 * model beside the source, else as another GGUF has it, else from a byte-level
 * tokenizer.json.
 */
export function vocabularyEntries(
  checkpoint: Checkpoint,
  options: TargetOptions,
): { entries: MetadataEntry[]; notes: string[] } {
  const { tokenizer } = options
  const resolved = options.resolved ?? resolveTokens(checkpoint, options)
  const rows = checkpoint.config.vocab_size
  const own = (checkpoint.metadata ?? []).filter(
    (entry) => entry.key.startsWith('tokenizer.') && !isBeyond(entry, rows),
  )
  const notes = [...resolved.notes, ...(tokenizer ? limitNotes(tokenizer) : [])]
  // A tokenizer that has no file of its own was made from these very entries.
  if (hasVocabulary(own) && checkpoint.tokenizer.model === undefined) {
    return { entries: own, notes }
  }
  if (tokenizer !== undefined) {
    const { entries, warnings } = sentencePieceEntries(tokenizer, resolved, rows)
    const keys = new Set(entries.map(({ key }) => key))
    return {
      entries: [...entries, ...own.filter(({ key }) => !keys.has(key))],
      notes: [...notes, ...warnings],
    }
  }
  if (resolved.json?.json !== undefined) {
    const { name, json } = resolved.json.json
    const { tokens } = resolved
    const { entries, warnings } = bpeVocab(json, name, { ids: tokens, vocabSize: rows })
    return {
      entries: [...withTurnEnd(entries, resolved)],
      notes: [...notes, ...warnings],
    }
  }
  return {
    entries: [{ key: 'tokenizer.ggml.model', type: 'string', value: 'no_vocab' }],
    notes: [
      ...notes,
      'no tokenizer is beside the checkpoint: llama.cpp can run the file on token ids, but not on text (`tokenizer` names one)',
    ],
  }
}

function sentencePieceEntries(
  { model, path, sources }: LoadedTokenizer,
  { tokens, sentencePiece }: ResolvedTokens,
  rows: number,
): { entries: MetadataEntry[]; warnings: string[] } {
  const settings = sentencePiece?.settings ?? resolveTokenizer(model, { sources, rows })
  const { bos, eos, unk, pad } = tokens
  const flag = (name: string) => {
    const stated = sources.map(({ json }) => property(json, name))
    return stated.find((value) => typeof value === 'boolean')
  }
  // llama.cpp's converter has the unknown token's id from a tokenizer.json alone.
  const named = sources.some(({ name }) => name === 'tokenizer.json')
  const template = templateEntries(settings.chatTemplate)
  const entries = ggufVocab(model, path, {
    ids: { bos, eos, pad, unk: named ? unk : undefined },
    addBos: flag('add_bos_token'),
    addEos: flag('add_eos_token'),
    added: settings.added,
    vocabSize: rows,
    template: template.entries,
    // For BPE the converter's keys and no others: llama.cpp passes over the normaliser. That
    // spaces are merged is in openllama.json (tokenizer/record.ts).
    keepNormalizer:
      model.trainer.modelType === 'unigram' || model.normalizer.precompiledCharsmap.length > 0,
  })
  return { entries, warnings: template.warnings }
}

/**
 * Where the tokenizer puts another token after a text than it calls its EOS, llama.cpp's converter
 * calls that one the EOS and the tokenizer's own the end of a turn; both stop the text.
 */
function withTurnEnd(
  entries: readonly MetadataEntry[],
  { json, tokens }: ResolvedTokens,
): readonly MetadataEntry[] {
  const after = json?.after
  if (after === undefined || after === tokens.eos) return entries
  const end: MetadataEntry = { key: 'tokenizer.ggml.eos_token_id', type: 'uint32', value: after }
  const turn: MetadataEntry[] =
    tokens.eos === undefined
      ? []
      : [{ key: 'tokenizer.ggml.eot_token_id', type: 'uint32', value: tokens.eos }]
  return entries.flatMap((entry) => (entry.key === end.key ? [end, ...turn] : [entry]))
}

/** Of another GGUF: an id that no row belongs to. Old converters write 2^32 - 1 for "none". */
function isBeyond({ key, value }: MetadataEntry, rows: number): boolean {
  return (
    key.endsWith('_token_id') && typeof value === 'number' && value >= rows && value !== 0xffffffff
  )
}

function limitNotes({ model }: LoadedTokenizer): string[] {
  return llamaCppLimits(model).map(({ what, advice }) => `${what}. ${advice}`)
}
