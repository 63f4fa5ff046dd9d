import { effectiveWindow, type ModelConfig } from '../checkpoint/config.js'
import { originalContext, rotaryOf } from '../checkpoint/rotary.js'
import { OpenLlamaError } from '../io/errors.js'
import { formatBytes } from '../io/units.js'

/** Positions beyond a length from which something is computed otherwise: enough to see that. */
const margin = 32

/** More than this is not read only to be beyond the context that a model had before its scaling. */
const worthReading = 1024

/** A length of text beyond which a model computes otherwise, and what makes it so. */
interface Turn {
  length: number
  what: string
}

/** The turns of a model, within what it can be given. */
function turnsOf(config: ModelConfig): Turn[] {
  const turns: Turn[] = []
  const window = effectiveWindow(config)
  if (window !== null)
    turns.push({ length: window, what: `its sliding window of ${window} tokens` })
  if (config.rope_scaling === null) return turns
  const original = originalContext(config)
  const { beyond, growing } = rotaryOf(config, '')
  const length = beyond?.length ?? growing?.length ?? original
  const changes = beyond !== undefined || growing !== undefined
  if (length < longestText(config) && (changes || length + margin <= worthReading)) {
    turns.push({ length, what: `its original context of ${length} tokens` })
  }
  return turns
}

/** Tokens that a model is made for: a base that grows with the text goes beyond its context. */
export function longestText(config: ModelConfig): number {
  const { max_position_embeddings, rope_scaling } = config
  if (rope_scaling === null) return max_position_embeddings
  const { growing } = rotaryOf(config, '')
  return Math.max(
    max_position_embeddings,
    Math.floor((growing?.length ?? 0) * (growing?.factor ?? 0)),
  )
}

/** How many positions to compare at, and what they do not reach, in sentences. */
export interface Reach {
  positions: number
  notes: string[]
}

/**
 * Positions that go beyond whatever changes with the length of a text, as far as memory and `most`
 * allow; `least` where there is nothing to see.
 * @param memoryAt bytes that a check at so many positions takes
 * @param allowed bytes
 */
export function positionsToSee(
  configs: readonly ModelConfig[],
  { least, most }: { least: number; most: number },
  memoryAt: (positions: number) => number,
  allowed: number,
): Reach {
  const context = Math.min(...configs.map(longestOr))
  const turns = configs.flatMap(turnsOr).filter(({ length }) => length < context)
  let positions = Math.min(least, context)
  const notes = new Set<string>()
  for (const { length, what } of turns.sort((a, b) => a.length - b.length)) {
    const needed = Math.min(length + margin, context)
    if (needed <= positions) continue
    const memory = memoryAt(needed)
    if (needed <= most && memory <= allowed) {
      positions = needed
      continue
    }
    const why =
      memory > allowed
        ? `${needed} take ${formatBytes(memory)} of memory, ${formatBytes(allowed)} are allowed or free`
        : `openllama check --positions ${needed} does`
    notes.add(`the ${positions} positions that are compared do not reach beyond ${what}: ${why}`)
  }
  return { positions, notes: [...notes] }
}

/** A scaling that is not known is the engine's to refuse. */
function turnsOr(config: ModelConfig): Turn[] {
  return known(() => turnsOf(config)) ?? []
}

function longestOr(config: ModelConfig): number {
  return known(() => longestText(config)) ?? config.max_position_embeddings
}

function known<T>(compute: () => T): T | undefined {
  try {
    return compute()
  } catch (error) {
    if (error instanceof OpenLlamaError) return undefined
    throw error
  }
}
