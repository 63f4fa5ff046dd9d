import type { FormatName } from '../checkpoint/checkpoint.js'
import { easylm } from './easylm.js'
import { flax } from './flax.js'
import type { Format } from './format.js'
import { gguf } from './gguf.js'
import { meta } from './meta.js'
import { onnx } from './onnx.js'
import { pytorch } from './pytorch.js'
import { safetensors } from './safetensors.js'

/** The formats there are, in the order in which a file is tried against them. */
export const formats: readonly Format[] = [safetensors, gguf, easylm, flax, meta, pytorch, onnx]

/** The formats that can be written. */
export const targetFormats: readonly FormatName[] = formats
  .filter((format) => format.describe !== undefined)
  .map(({ name }) => name)

export function formatNamed(name: string): Format | undefined {
  return formats.find((format) => format.name === name)
}

export function formatOfLoader(loader: string): Format | undefined {
  return formats.find((format) => format.loaders?.includes(loader))
}

export const loaders: readonly string[] = formats.flatMap((format) => format.loaders ?? [])
