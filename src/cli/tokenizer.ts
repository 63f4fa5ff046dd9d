import type { TokenizerFiles } from '../checkpoint/checkpoint.js'
import type { ConvertedTokenizer } from '../convert/tokenizer.js'
import { formatBytes } from '../io/units.js'
import type { Generation, TokenizerFacts } from '../tokenizer/generation.js'
import type { TokenizerSummary } from '../tokenizer/summary.js'
import type { Token } from '../tokenizer/tokenizer-config.js'
import type { ConvertedTokenizerJson, TokenizerJson, TokenJson, WhitespaceJson } from './json.js'
import { formatTable } from './table.js'

const generations: { readonly [name in Generation]: string } = {
  'openllama-v1': 'OpenLLaMA v1',
  'openllama-v1-keeps-spaces': 'a variant of OpenLLaMA v1 that keeps spaces',
  'openllama-v2': 'OpenLLaMA v2',
  meta: 'Meta’s LLaMA 1 and 2',
  other: 'of no known generation',
}

const kinds: { readonly [kind in TokenizerSummary['kind']]: string } = {
  'sentencepiece-bpe': 'SentencePiece BPE',
  'sentencepiece-unigram': 'SentencePiece unigram',
  'byte-level-bpe': 'byte-level BPE',
  other: 'of another kind',
}

/** The rows about a tokenizer in `inspect`. */
export function tokenizerRows(summary: TokenizerSummary | undefined): string[][] {
  if (summary === undefined) return [['tokenizer', 'none found']]
  const { from, kind, generation, whitespace, pre, bos, eos } = summary
  const known = whitespace ? `, ${generations[generation]}` : ''
  return [
    [
      'tokenizer',
      `${kinds[kind]}${known}${pre && kind === 'byte-level-bpe' ? `, ${pre}` : ''} (${from})`,
    ],
    ...(whitespace ? [['  spaces', describeWhitespace(whitespace)]] : []),
    ['  BOS, EOS', `${describeToken(bos)}, ${describeToken(eos)}`],
    ['  tokens', describeSizes(summary)],
  ]
}

export function tokenizerReport(
  { model, beside }: TokenizerFiles,
  summary: TokenizerSummary | undefined,
): TokenizerJson {
  const files = { ...(model === undefined ? {} : { model }), beside }
  if (summary === undefined) return files
  const { kind, generation, whitespace, pre, bos, eos, tokens, rows } = summary
  return {
    ...files,
    kind,
    generation,
    whitespace: whitespaceJson(whitespace),
    pre: pre ?? null,
    bos: tokenJson(bos),
    eos: tokenJson(eos),
    pieces: tokens,
    embedding_rows: rows,
    sizes_agree: tokens === rows,
  }
}

/** What `tokenizer convert` wrote, for people. */
export function describeConvertedTokenizer({ files, facts }: ConvertedTokenizer): string {
  const table = formatTable(
    files.map(({ path, bytes }) => [path, formatBytes(bytes)]),
    [1],
  )
  if (facts === undefined) return table
  const generation = facts.generation === 'other' ? '' : `${generations[facts.generation]}, `
  return [
    table,
    `${generation}${facts.vocabSize} pieces; ${describeWhitespace(facts.whitespace)}`,
  ].join('\n')
}

export function convertedTokenizerJson({
  files,
  facts,
  warnings,
}: ConvertedTokenizer): ConvertedTokenizerJson {
  const written = { out: files[0]?.path ?? null, files }
  if (facts === undefined) return { ...written, tokenizer: { kind: 'byte-level-bpe' }, warnings }
  const { generation, modelType, vocabSize, whitespace, special } = facts
  return {
    ...written,
    tokenizer: {
      generation,
      model_type: modelType,
      pieces: vocabSize,
      whitespace: whitespaceJson(whitespace),
      bos: tokenJson(special.bos),
      eos: tokenJson(special.eos),
    },
    warnings,
  }
}

function describeWhitespace({
  merged,
  dummyPrefix,
  runPieces,
}: TokenizerFacts['whitespace']): string {
  const runs = runPieces > 0 ? `, with ${runPieces} pieces of several` : ''
  return `${merged ? 'runs of spaces are merged' : `spaces are kept${runs}`}; ${dummyPrefix ? 'one' : 'none'} is put before a text`
}

function describeToken(token: Token | undefined): string {
  return token === undefined ? 'none' : `${token.id} ${JSON.stringify(token.text)}`
}

function describeSizes({ tokens, rows }: TokenizerSummary): string {
  const both = `${tokens} for ${rows} rows of the embedding`
  if (tokens === rows) return both
  if (tokens < rows) return `${both}: ${rows - tokens} rows have no token`
  return `${both}: the tokenizer is of another model`
}

function whitespaceJson(
  whitespace: TokenizerFacts['whitespace'] | undefined,
): WhitespaceJson | null {
  if (whitespace === undefined) return null
  const { merged, dummyPrefix, runPieces } = whitespace
  return { merged, dummy_prefix: dummyPrefix, run_pieces: runPieces }
}

function tokenJson(token: Token | undefined): TokenJson | null {
  return token === undefined ? null : { id: token.id, piece: token.text }
}
