import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { configToHf, generationConfigToHf } from '../checkpoint/config.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { formatJson } from '../io/json.js'
import type { TargetFile, TargetOptions } from './format.js'

/** What lies beside the weights in a folder for transformers: configuration and tokenizer. */
export function hfFiles(
  checkpoint: Checkpoint,
  tensors: readonly Tensor[],
  { companions }: TargetOptions,
): TargetFile[] {
  const matrix = tensors.find(({ shape }) => shape.length === 2)
  return [
    jsonFile('config.json', configToHf(checkpoint.config, matrix?.dtype ?? 'f32')),
    jsonFile('generation_config.json', generationConfigToHf(checkpoint.config)),
    ...[...companions].map(([name, bytes]) => literalFile(name, bytes)),
  ]
}

export function jsonFile(name: string, value: unknown): TargetFile {
  return literalFile(name, new TextEncoder().encode(formatJson(value)))
}

export function literalFile(name: string, bytes: Uint8Array): TargetFile {
  return { name, size: bytes.length, literals: [{ offset: 0, bytes }] }
}
