import { isBlock } from '../types/dtype.js'
import type { Executed } from './execute.js'
import type { Plan } from './plan.js'

/** Tensors that are named one by one; of more, a sentence says how many there are. */
const mostNamed = 3

/** Sentences about values that the cast changed beyond rounding; openllama.json has each tensor. */
export function valueWarnings(facts: Executed['facts'], plan: Plan): string[] {
  const kinds = new Map<string, { tensor: string; count: number }[]>()
  const add = (tensor: string, count: number, what: string): void => {
    if (count > 0) kinds.set(what, [...(kinds.get(what) ?? []), { tensor, count }])
  }
  for (const [name, { nan, infinite, overflowed, vanished }] of facts) {
    const dtype = plan.target.tensors.get(name)?.dtype
    const inBlocks = dtype !== undefined && isBlock(dtype)
    add(name, nan, 'NaN values were kept')
    add(name, infinite, 'infinite values were kept')
    add(
      name,
      overflowed,
      inBlocks
        ? `blocks of values were too large for ${dtype} and are infinite or zero now`
        : `values were too large for ${dtype} and are infinite now`,
    )
    add(name, vanished, `values were too small for ${dtype} and are zero now`)
  }
  return [...kinds].flatMap(([what, found]) => {
    if (found.length <= mostNamed) {
      return found.map(({ tensor, count }) => `${tensor}: ${count} ${what}`)
    }
    const sum = found.reduce((total, { count }) => total + count, 0)
    const worst = found.reduce((a, b) => (b.count > a.count ? b : a))
    return [
      `${sum} ${what}, in ${found.length} tensors; most of them in ${worst.tensor}: ${worst.count}`,
    ]
  })
}
