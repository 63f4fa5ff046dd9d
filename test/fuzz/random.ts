import { seeded } from '../support/bytes.js'

/** A source of chance that gives the same every time. */
export interface Random {
  /** A whole number from 0 to `below` - 1. */
  below(below: number): number
  /** True once in so many times. */
  oneIn(times: number): boolean
  of<T>(items: readonly [T, ...T[]]): T
}

export function randomOf(seed: number): Random {
  const next = seeded(seed)
  const below = (most: number) => (most <= 1 ? 0 : next() % most)
  return {
    below,
    oneIn: (times) => below(times) === 0,
    of: (items) => items[below(items.length)] ?? items[0],
  }
}
