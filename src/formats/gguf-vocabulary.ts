import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { lookUp, type MetadataEntry } from '../checkpoint/metadata.js'
import { property } from '../io/json.js'
import { bpeVocab } from '../tokenizer/bpe-vocab.js'
import { llamaCppLimits } from '../tokenizer/generation.js'
import { templateEntries } from '../tokenizer/gguf-template.js'
import { ggufVocab } from '../tokenizer/gguf-vocab.js'
import type { LoadedTokenizer } from '../tokenizer/load.js'
import { settleTokenizer } from '../tokenizer/tokenizer-config.js'
import type { TargetOptions } from './format.js'

/**
 * The vocabulary for a file's metadata (`tokenizer.*`): from the SentencePiece
 * model beside the source, else as another GGUF has it, else from a byte-level
 * tokenizer.json.
 */
export function vocabularyEntries(
  checkpoint: Checkpoint,
  { tokenizer, tokenizerJson }: Pick<TargetOptions, 'tokenizer' | 'tokenizerJson'>,
): { entries: MetadataEntry[]; notes: string[] } {
  const own = (checkpoint.metadata ?? []).filter(({ key }) => key.startsWith('tokenizer.'))
  const notes = tokenizer ? limitNotes(tokenizer) : []
  // A tokenizer that has no file of its own was made from these very entries.
  if (own.length > 0 && checkpoint.tokenizer.model === undefined) return { entries: own, notes }
  if (tokenizer !== undefined) {
    const { entries, warnings } = sentencePieceEntries(checkpoint, tokenizer)
    const keys = new Set(entries.map(({ key }) => key))
    return {
      entries: [...entries, ...own.filter(({ key }) => !keys.has(key))],
      notes: [...notes, ...warnings],
    }
  }
  if (tokenizerJson !== undefined) {
    const { config } = checkpoint
    const { entries, warnings } = bpeVocab(tokenizerJson.json, tokenizerJson.name, {
      ids: specialIds(checkpoint),
      vocabSize: config.vocab_size,
    })
    return { entries: [...entries], notes: [...warnings] }
  }
  return {
    entries: [{ key: 'tokenizer.ggml.model', type: 'string', value: 'no_vocab' }],
    notes: [
      'no tokenizer is beside the checkpoint: llama.cpp can run the file on token ids, but not on text (--tokenizer names one)',
    ],
  }
}

function sentencePieceEntries(
  checkpoint: Checkpoint,
  { model, path, sources }: LoadedTokenizer,
): { entries: MetadataEntry[]; warnings: string[] } {
  const settings = settleTokenizer(model, { ids: specialIds(checkpoint), sources })
  const { bos, eos, unk, pad } = settings.tokens
  const flag = (name: string) => {
    const stated = sources.map(({ json }) => property(json, name))
    return stated.find((value) => typeof value === 'boolean')
  }
  // llama.cpp's converter has the unknown token's id from a tokenizer.json alone.
  const named = sources.some(({ name }) => name === 'tokenizer.json')
  const template = templateEntries(settings.chatTemplate)
  const entries = ggufVocab(model, path, {
    ids: { bos: bos?.id, eos: eos?.id, pad: pad?.id, unk: named ? unk?.id : undefined },
    addBos: flag('add_bos_token'),
    addEos: flag('add_eos_token'),
    added: settings.added,
    vocabSize: checkpoint.config.vocab_size,
    template: template.entries,
    // For BPE the converter's keys and no others: llama.cpp passes over the normaliser. That
    // spaces are merged is in openllama.json (tokenizer/record.ts).
    keepNormalizer:
      model.trainer.modelType === 'unigram' || model.normalizer.precompiledCharsmap.length > 0,
  })
  return { entries, warnings: template.warnings }
}

function specialIds({ config }: Checkpoint): Record<'bos' | 'eos' | 'pad', number | undefined> {
  return {
    bos: config.bos_token_id ?? undefined,
    eos: [config.eos_token_id].flat()[0] ?? undefined,
    pad: config.pad_token_id ?? undefined,
  }
}

function limitNotes({ model }: LoadedTokenizer): string[] {
  return llamaCppLimits(model).map(({ what, advice }) => `${what}. ${advice}`)
}

/** Whether llama.cpp finds a vocabulary: asked to tokenize without one, it ends the process. */
export function hasVocabulary(metadata: readonly MetadataEntry[]): boolean {
  const found = lookUp(metadata)
  const model = found.text('tokenizer.ggml.model')
  return (
    !(model === undefined || withoutOne.includes(model)) &&
    found.get('tokenizer.ggml.tokens') !== undefined
  )
}

/** What llama.cpp calls a model that has none. */
const withoutOne = ['no_vocab', 'none']
