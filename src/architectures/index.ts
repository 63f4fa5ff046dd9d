import type { Architecture, Naming } from './architecture.js'
import { llama } from './llama.js'
import { mistral } from './mistral.js'
import { qwen2 } from './qwen2.js'
import { qwen3 } from './qwen3.js'

/**
 * The architectures that there are. Where a source does not say which it is of, it is taken to be of
 * the first; where a GGUF's name stands for several, for the first of them.
 */
export const architectures = [
  llama,
  mistral,
  qwen2,
  qwen3,
] as const satisfies readonly Architecture[]

export type ArchitectureName = (typeof architectures)[number]['name']

export const defaultArchitecture: ArchitectureName = llama.name

/** What a LLaMA is whose tokens attend to those of a window alone. */
export const windowedArchitecture: ArchitectureName = mistral.name

const byName: ReadonlyMap<string, Architecture> = new Map(
  architectures.map((architecture) => [architecture.name, architecture]),
)

/** The architecture of a configuration. */
export function architectureOf({ model_type }: { model_type: ArchitectureName }): Architecture {
  const found = byName.get(model_type)
  if (found === undefined) throw new Error(`no architecture ${model_type}`)
  return found
}

/** The name that `model_type` of a config.json is, where it is one. */
export function architectureNamed(name: unknown): ArchitectureName | undefined {
  return architectures.find((each) => each.name === name)?.name
}

/** The architecture that a class of transformers is of. */
export function architectureOfClass(name: string): ArchitectureName | undefined {
  return architectures.find(
    (each) => each.class === name || each.otherClasses.some((other) => other === name),
  )?.name
}

/** The architecture that `general.architecture` of a GGUF stands for. */
export function architectureOfGguf(name: string | undefined): ArchitectureName | undefined {
  return architectures.find(({ gguf }) => gguf.name === name)?.name
}

/** Whether a naming has names for an architecture's tensors. */
export function knowsNaming({ rotary }: Architecture, naming: Naming): boolean {
  return rotary[naming] !== undefined
}
