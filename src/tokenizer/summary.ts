import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { metadataLookup } from '../checkpoint/metadata.js'
import { OpenLlamaError } from '../io/errors.js'
import { bpeVocab } from './bpe-vocab.js'
import { type Generation, type TokenizerFacts, tokenizerFacts } from './generation.js'
import { loadTokenizer, loadTokenizerJson, readTokenizerFiles } from './load.js'
import { resolveTokens } from './resolved-tokens.js'
import { kindOfModel } from './sentencepiece.js'
import { resolveTokenizer, type SettingsFile, type Token } from './tokenizer-config.js'

/** What `inspect` says of a checkpoint's tokenizer. */
export interface TokenizerSummary {
  /** The file it was read from. */
  readonly from: string
  readonly kind: 'sentencepiece-bpe' | 'sentencepiece-unigram' | 'byte-level-bpe' | 'other'
  readonly generation: Generation
  /** What happens to spaces; only SentencePiece models say it. */
  readonly whitespace: TokenizerFacts['whitespace'] | undefined
  /** llama.cpp's name for the pre-tokenizer of a byte-level BPE. */
  readonly pre: string | undefined
  readonly bos: Token | undefined
  readonly eos: Token | undefined
  /** Tokens: pieces and what was added to them. */
  readonly tokens: number
  /** Rows of the embedding. */
  readonly rows: number
  /** Contradictions among its files. */
  readonly notes: readonly string[]
}

/**
 * Reads the tokenizer of a checkpoint and sums it up. One that cannot be read is
 * no reason not to look at the checkpoint: it becomes a note.
 */
export async function summarizeTokenizer(
  checkpoint: Checkpoint,
): Promise<{ summary?: TokenizerSummary; notes: readonly string[] }> {
  try {
    const summary = (await sentencePiece(checkpoint)) ?? (await byteLevel(checkpoint))
    return summary === undefined ? { notes: [] } : { summary, notes: summary.notes }
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    return { notes: [`the tokenizer cannot be read: ${error.message}`] }
  }
}

async function sentencePiece(checkpoint: Checkpoint): Promise<TokenizerSummary | undefined> {
  const tokenizer = await loadTokenizer(checkpoint)
  if (tokenizer === undefined) return undefined
  const { model, path, sources } = tokenizer
  const { generation, modelType, vocabSize, whitespace } = tokenizerFacts(model)
  const rows = checkpoint.config.vocab_size
  const settings = resolveTokenizer(model, { ids: idsOf(checkpoint), rows, sources })
  return {
    from: path,
    kind: kindOfModel(modelType),
    generation,
    whitespace,
    pre: undefined,
    bos: settings.tokens.bos,
    eos: settings.tokens.eos,
    tokens: vocabSize + settings.added.length,
    rows: checkpoint.config.vocab_size,
    notes: settings.warnings,
  }
}

/** A byte-level BPE: a tokenizer.json alone, or the vocabulary of a GGUF. */
async function byteLevel(checkpoint: Checkpoint): Promise<TokenizerSummary | undefined> {
  const json = await loadTokenizerJson(checkpoint.tokenizer)
  const entries = json && (await byteLevelEntries(checkpoint, json))
  const metadata = metadataLookup([...(entries ?? checkpoint.metadata ?? [])])
  const tokens = metadata.get('tokenizer.ggml.tokens')
  if (tokens?.type !== 'string[]') return undefined
  const token = (role: string): Token | undefined => {
    const id = metadata.integer(`tokenizer.ggml.${role}_token_id`)
    const text = id === undefined ? undefined : tokens.value[id]
    return id === undefined || text === undefined ? undefined : { id, text }
  }
  return {
    from: json?.name ?? checkpoint.path,
    kind: metadata.text('tokenizer.ggml.model') === 'gpt2' ? 'byte-level-bpe' : 'other',
    generation: 'other',
    whitespace: undefined,
    pre: metadata.text('tokenizer.ggml.pre'),
    bos: token('bos'),
    eos: token('eos'),
    tokens: tokens.value.length,
    rows: checkpoint.config.vocab_size,
    notes: [],
  }
}

async function byteLevelEntries(checkpoint: Checkpoint, tokenizerJson: SettingsFile) {
  const keptTokenizer = await readTokenizerFiles(checkpoint.tokenizer)
  const { json, tokens } = resolveTokens(checkpoint, { tokenizerJson, keptTokenizer })
  return bpeVocab(json?.json?.json, tokenizerJson.name, { ids: tokens }).entries
}

function idsOf({ config }: Checkpoint) {
  return {
    bos: config.bos_token_id ?? undefined,
    eos: config.eos_token_id ?? undefined,
    pad: config.pad_token_id ?? undefined,
  }
}
