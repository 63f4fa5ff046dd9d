import { plainFrequencies } from '../../checkpoint/rotary.js'
import type { JsonObject } from '../../io/json.js'
import { llama3Factors, shortest } from './rope.js'

/** Heads, base and context that factors belong to. */
interface Base {
  rope_theta: number
  head_dim: number
  max_position_embeddings: number
}

interface Constants {
  low: number
  high: number
  context: number
}

/**
 * The constants of LLaMA 3's scaling that factors were made with. Of the three besides the factor only
 * ratios can be told: low, high and context times the same number give the same factors. Those of the
 * releases are tried first, and the low one is taken for a small whole number.
 * @returns undefined where no constants give these factors
 */
export function llama3OfFactors(factors: Float32Array, base: Base): JsonObject | undefined {
  const factor = shortest(factors.reduce((most, value) => Math.max(most, value), 1))
  if (factor === 1 || factors.every((value) => value === factors[0])) return undefined
  // Turns that each pair makes a token.
  const turns = plainFrequencies(base.rope_theta, base.head_dim).map(
    (frequency) => frequency / (2 * Math.PI),
  )
  for (const { low, high, context } of candidates(factors, factor, turns)) {
    const scaling = {
      rope_type: 'llama3',
      factor,
      low_freq_factor: low,
      high_freq_factor: high,
      original_max_position_embeddings: context,
    }
    const made = llama3Factors({ ...base, rope_scaling: scaling, other: {} }, scaling)
    if (made.every((value, i) => Math.abs(value - (factors[i] ?? 0)) <= 2e-6 * value)) {
      return scaling
    }
  }
  return undefined
}

/** Roundest first. */
function* candidates(
  factors: Float32Array,
  factor: number,
  turns: Float32Array,
): Generator<Constants> {
  yield { low: 1, high: 4, context: 8192 }
  const between = Array.from(factors, (value, i) => ({ value, turns: turns[i] ?? 0 }))
    .filter(({ value }) => value > 1 && value < factor)
    // How much of the frequency is kept: a straight line over the turns, 0 at low and 1 at high.
    .map(({ value, turns }) => ({ turns, kept: (1 / value - 1 / factor) / (1 - 1 / factor) }))
  const [first] = between
  const last = between.at(-1)
  if (first === undefined || last === undefined) {
    yield* steps(factors, turns)
    return
  }
  if (first === last) {
    // One point is on many lines: that of the usual ratio, or of a steeper or flatter one.
    for (const ratio of [4, 2, 3, 8, 1.5, 16, 32, 1.25, 64]) {
      yield* scaled(1, ratio, (1 + first.kept * (ratio - 1)) / first.turns)
    }
    return
  }
  const slope = (first.kept - last.kept) / (first.turns - last.turns)
  const offset = first.kept - slope * first.turns
  if (offset >= 0) return
  const ratio = 1 - 1 / offset
  yield* scaled(1, ratio, slope * (ratio - 1))
}

/** Nothing is between: the line is steep, and anywhere from the last pair that is kept to the next. */
function* steps(factors: Float32Array, turns: Float32Array): Generator<Constants> {
  const next = factors.findIndex((value) => value !== 1)
  const [kept = 0, slowed = 0] = [turns[next - 1], turns[next]]
  if (next < 1 || slowed === 0) return
  const apart = kept / slowed
  yield { low: 1, high: apart ** 0.5, context: apart ** 0.75 / kept }
  yield* scaled(1, 4, 4.001 / kept)
}

/** The same constants by whole numbers as far as they are some: a context is one. */
function* scaled(low: number, high: number, context: number): Generator<Constants> {
  const multiples = Array.from({ length: 64 }, (_, i) => i + 1)
  for (const digits of [2, 4, 6]) {
    for (const by of multiples) {
      const whole = Math.round(context * by)
      if (Math.abs(whole - context * by) > 10 ** -digits * 10 * whole) continue
      const exact = Number((high * by).toPrecision(digits))
      yield { low: low * by, high: exact, context: whole }
    }
  }
  yield { low, high, context }
}
