import { architectureOf, defaultArchitecture } from '../architectures/index.js'

/** Numbers that a JavaScript number holds exactly. */
export type NumberType =
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'uint32'
  | 'int32'
  | 'float32'
  | 'float64'

export type BigType = 'uint64' | 'int64'

/** A value with the type under which a file keeps it: GGUF's types, arrays by `[]`. */
export type MetadataValue =
  | { readonly type: NumberType; readonly value: number }
  | { readonly type: BigType; readonly value: bigint }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: `${NumberType}[]`; readonly value: ArrayLike<number> }
  | { readonly type: `${BigType}[]`; readonly value: ArrayLike<bigint> }
  | { readonly type: 'bool[]'; readonly value: readonly boolean[] }
  | { readonly type: 'string[]'; readonly value: readonly string[] }

/** What a file says of its model: a key of dotted names, and a value. */
export type MetadataEntry = { readonly key: string } & MetadataValue

/** Finds values by key; the caller says what kind it can use. */
export interface MetadataLookup {
  get(key: string): MetadataValue | undefined
  /** A whole number of any width. */
  integer(key: string): number | undefined
  number(key: string): number | undefined
  text(key: string): string | undefined
}

export function metadataLookup(entries: readonly MetadataEntry[]): MetadataLookup {
  const byKey = new Map(entries.map((entry) => [entry.key, entry]))
  const number = (key: string) => {
    const value = byKey.get(key)?.value
    if (typeof value === 'number') return value
    return typeof value === 'bigint' ? Number(value) : undefined
  }
  return {
    get: (key) => byKey.get(key),
    number,
    integer(key) {
      const value = number(key)
      return Number.isSafeInteger(value) ? value : undefined
    },
    text(key) {
      const value = byKey.get(key)?.value
      return typeof value === 'string' ? value : undefined
    },
  }
}

/** Tokens of a text that the model was trained on, under the key of its architecture: the first, where it says none. */
export function contextLength(metadata: MetadataLookup): number | undefined {
  const { name } = architectureOf({ model_type: defaultArchitecture }).gguf
  return metadata.integer(`${metadata.text('general.architecture') ?? name}.context_length`)
}
