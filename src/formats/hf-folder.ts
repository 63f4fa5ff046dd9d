import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { LlamaConfig } from '../checkpoint/config.js'
import { configToHf, generationConfigToHf } from '../checkpoint/config.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { formatJson } from '../io/json.js'
import type { ConfiguredIds } from '../tokenizer/load.js'
import { modelOnlyFiles, tokenizerFiles } from '../tokenizer/tokenizer-files.js'
import type { TargetFile, TargetOptions } from './format.js'

/** Said where the source has no tokenizer that can be taken along. */
export const noTokenizer =
  'no tokenizer is beside the checkpoint: the output has none (--tokenizer names one)'

/** What lies beside the weights in a folder for transformers: configuration and tokenizer. */
export function hfFiles(
  checkpoint: Checkpoint,
  tensors: readonly Tensor[],
  { tokenizer, keptTokenizer, withoutTokenizerJson = false }: TargetOptions,
): { files: TargetFile[]; notes: string[] } {
  const { config } = checkpoint
  const matrix = tensors.find(({ shape }) => shape.length === 2)
  const files = [
    jsonFile('config.json', configToHf(config, matrix?.dtype ?? 'f32')),
    jsonFile('generation_config.json', generationConfigToHf(config)),
  ]
  if (keptTokenizer !== undefined) {
    files.push(...keptTokenizer.map(({ name, bytes }) => literalFile(name, bytes)))
    return { files, notes: [] }
  }
  if (tokenizer === undefined) return { files, notes: [noTokenizer] }
  const options = { ...configured(config), sources: tokenizer.sources }
  const written = withoutTokenizerJson
    ? modelOnlyFiles(tokenizer.model, options)
    : tokenizerFiles(tokenizer.model, tokenizer.path, options)
  files.push(literalFile('tokenizer.model', tokenizer.bytes))
  for (const [name, text] of Object.entries(written.files)) {
    files.push(literalFile(name, new TextEncoder().encode(text)))
  }
  return { files, notes: [...written.warnings] }
}

function configured(config: LlamaConfig): ConfiguredIds {
  return {
    ids: {
      bos: config.bos_token_id ?? undefined,
      eos: [config.eos_token_id].flat()[0] ?? undefined,
      pad: config.pad_token_id ?? undefined,
    },
    modelMaxLength: config.max_position_embeddings,
  }
}

export function jsonFile(name: string, value: unknown): TargetFile {
  return literalFile(name, new TextEncoder().encode(formatJson(value)))
}

export function literalFile(name: string, bytes: Uint8Array): TargetFile {
  return { name, size: bytes.length, literals: [{ offset: 0, bytes }] }
}
