import type { FormatName } from '../checkpoint/checkpoint.js'
import { easylm } from './flax/easylm.js'
import { flax } from './flax/flax.js'
import type { Format, Traits } from './format.js'
import { gguf } from './gguf/gguf.js'
import { safetensors } from './hf/safetensors.js'
import { onnx } from './onnx/onnx.js'
import { meta } from './torch/meta.js'
import { pytorch } from './torch/pytorch.js'

/** The formats there are, in the order in which a file is tried against them. */
export const formats: readonly Format[] = [safetensors, gguf, easylm, flax, meta, pytorch, onnx]

/** The formats that can be written. */
export const targetFormats: readonly FormatName[] = formats
  .filter((format) => format.describe !== undefined)
  .map(({ name }) => name)

/** What is to be known of files of a format. */
export function traitsOf(name: FormatName): Traits {
  const format = formatNamed(name)
  if (format === undefined) throw new Error(`no format ${name}`)
  return format.traits
}

export function formatNamed(name: string): Format | undefined {
  return formats.find((format) => format.name === name)
}

export function formatOfLoader(loader: string): Format | undefined {
  return formats.find((format) => format.loaders?.includes(loader))
}

export const loaders: readonly string[] = formats.flatMap((format) => format.loaders ?? [])
