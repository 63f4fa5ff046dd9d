import { architectureOf } from '../../architectures/index.js'
import { bind, type PlannedArray } from '../../checkpoint/bindings.js'
import type { Checkpoint } from '../../checkpoint/checkpoint.js'
import { configDocument } from '../../checkpoint/config.js'
import type { Tensor } from '../../checkpoint/tensor.js'
import { formatExactJson } from '../../io/exact-json.js'
import { formatJson } from '../../io/json.js'
import { resolveTokens } from '../../tokenizer/resolved-tokens.js'
import { modelOnlyFiles, tokenizerFiles } from '../../tokenizer/tokenizer-files.js'
import type { TargetFile, TargetOptions } from '../format.js'
import { outputTensors } from '../target.js'

/** Said where the source has no tokenizer that can be taken along. */
const noTokenizer =
  'no tokenizer is beside the checkpoint: the output has none (`tokenizer` names one)'

/** The arrays that hold a checkpoint by the names that transformers has for them. */
export function boundInHf(checkpoint: Checkpoint, options: TargetOptions): PlannedArray[] {
  const wanted = outputTensors(checkpoint, { naming: 'hf', reader: 'transformers' }, options)
  const { config, path } = checkpoint
  return bind(architectureOf(config), 'hf', wanted, { asked: false, path })
}

/** What lies beside the weights in a folder for transformers: configuration and tokenizer. */
export function hfFiles(
  checkpoint: Checkpoint,
  tensors: readonly Tensor[],
  options: TargetOptions,
): { files: TargetFile[]; notes: string[] } {
  const { config, generation, sentencePiece, json, notes } =
    options.resolved ?? resolveTokens(checkpoint, options)
  const matrix = tensors.find(({ shape }) => shape.length === 2)
  const document = configDocument(config, matrix?.dtype ?? 'f32', checkpoint.document?.json)
  const files = [
    textFile('config.json', formatExactJson(document)),
    textFile('generation_config.json', formatExactJson(generation)),
  ]
  if (json?.files !== undefined) {
    files.push(...json.files.map(({ name, bytes }) => literalFile(name, bytes)))
    return { files, notes }
  }
  const { tokenizer } = options
  if (tokenizer === undefined || sentencePiece === undefined) {
    return { files, notes: [...notes, noTokenizer] }
  }
  const written = options.withoutTokenizerJson
    ? modelOnlyFiles(tokenizer.model, sentencePiece.options)
    : tokenizerFiles(tokenizer.model, tokenizer.path, sentencePiece.options)
  files.push(literalFile('tokenizer.model', tokenizer.bytes))
  for (const [name, text] of Object.entries(written.files)) files.push(textFile(name, text))
  // The tokens' notes have those of its settings among them.
  const { warnings } = sentencePiece.settings
  return {
    files,
    notes: [...notes, ...written.warnings.filter((each) => !warnings.includes(each))],
  }
}

export function jsonFile(name: string, value: unknown): TargetFile {
  return textFile(name, formatJson(value))
}

function textFile(name: string, text: string): TargetFile {
  return literalFile(name, new TextEncoder().encode(text))
}

export function literalFile(name: string, bytes: Uint8Array): TargetFile {
  return { name, size: bytes.length, literals: [{ offset: 0, bytes }] }
}
