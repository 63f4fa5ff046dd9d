import type { Mutator } from './mutate.js'

/** A parser, as files reach it. */
export interface Target {
  name: string
  /** Small inputs that are read well, or nearly. */
  seeds(): (Uint8Array | string)[] | Promise<(Uint8Array | string)[]>
  mutate: Mutator
  /** Reads an input; whatever is thrown but an error of ours is a finding. */
  run(bytes: Uint8Array): unknown
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
