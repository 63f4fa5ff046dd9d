import type { SentencePieceModel } from './sentencepiece.js'
import {
  resolveTokenizer,
  specialTokensMapJson,
  type TokenizerConfigOptions,
  type TokenizerSettings,
  tokenizerConfigJson,
} from './tokenizer-config.js'
import { tokenizerJson, whyNoTokenizerJson } from './tokenizer-json.js'

/** The tokenizer's part of a Hugging Face folder. */
export interface WrittenTokenizer {
  /** File name → text. */
  readonly files: {
    readonly 'tokenizer.json': string
    readonly 'tokenizer_config.json': string
    readonly 'special_tokens_map.json': string
  }
  readonly settings: TokenizerSettings
  /** Contradictions in the sources, and where the files cannot equal SentencePiece. */
  readonly warnings: readonly string[]
}

/**
 * What lies beside a tokenizer.model that no tokenizer.json can equal: programs load the model
 * itself.
 */
export function modelOnlyFiles(
  model: SentencePieceModel,
  options: TokenizerConfigOptions = {},
): { readonly files: { readonly [name: string]: string }; readonly warnings: readonly string[] } {
  const settings = resolveTokenizer(model, options)
  const reason = whyNoTokenizerJson(model)
  return {
    files: {
      'tokenizer_config.json': tokenizerConfigJson(model, settings, { modelOnly: true }),
      'special_tokens_map.json': specialTokensMapJson(settings),
    },
    warnings: [
      ...settings.warnings,
      ...(reason === undefined ? [] : [`no tokenizer.json is written: ${reason}`]),
    ],
  }
}

/**
 * Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json`
 * for a SentencePiece model, agreeing with one another.
 * @param path what to call the model in an error
 */
export function tokenizerFiles(
  model: SentencePieceModel,
  path: string,
  options: TokenizerConfigOptions = {},
): WrittenTokenizer {
  const settings = resolveTokenizer(model, options)
  const json = tokenizerJson(model, path, settings)
  return {
    files: {
      'tokenizer.json': json.text,
      'tokenizer_config.json': tokenizerConfigJson(model, settings),
      'special_tokens_map.json': specialTokensMapJson(settings),
    },
    settings,
    warnings: [...settings.warnings, ...json.warnings],
  }
}
