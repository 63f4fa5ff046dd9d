import { effectiveWindow, type ModelConfig } from './config.js'
import { rotaryOf } from './rotary.js'

/** What a graph itself says of the model that it computes; what cannot be read of it is left out. */
export interface GraphFacts {
  rms_norm_eps?: number
  num_attention_heads?: number
  num_key_value_heads?: number
  head_dim?: number
  /** Tokens that a token attends to; null where the graph has no window. */
  sliding_window?: number | null
  rotary?: RotaryFacts
}

export interface RotaryFacts {
  /** Sets of frequencies, head_dim / 2 each: the one that there is, or those of short and long texts. */
  frequencies: readonly Float32Array[]
  /** What cosines and sines are multiplied by. */
  attention?: number
  /** A base that grows with the text: the constants that it is made of. */
  growing?: { length: number; factor: number; theta: number }
  /** All of the graph's rotary embedding is told here: it is this program's own. */
  whole: boolean
  /** How close they are to the exporter's own: tables in f16 are coarse. */
  closeness: number
}

/** Fields in which a graph computes otherwise than a configuration says: a sentence each, with both. */
export function graphDisagreements(facts: GraphFacts, config: ModelConfig, from: string): string[] {
  const sentences: string[] = []
  const differ = (field: string, ours: unknown, theirs: unknown) => {
    sentences.push(`${field} is ${String(ours)} in the graph, and ${String(theirs)} by ${from}`)
  }
  const { rms_norm_eps: epsilon } = facts
  if (epsilon !== undefined && Math.fround(epsilon) !== Math.fround(config.rms_norm_eps)) {
    differ('rms_norm_eps', Number(epsilon.toPrecision(7)), config.rms_norm_eps)
  }
  for (const field of ['num_attention_heads', 'num_key_value_heads', 'head_dim'] as const) {
    if (facts[field] !== undefined && facts[field] !== config[field]) {
      differ(field, facts[field], config[field])
    }
  }
  const window = effectiveWindow(config)
  const known = facts.sliding_window
  if (known !== undefined && effectiveWindow({ ...config, sliding_window: known }) !== window) {
    differ('sliding_window', known, window)
  }
  const rotary = facts.rotary && rotaryDisagreement(facts.rotary, config, from)
  return rotary === undefined ? sentences : [...sentences, rotary]
}

function rotaryDisagreement(
  { frequencies, attention, growing, whole, closeness }: RotaryFacts,
  config: ModelConfig,
  from: string,
): string | undefined {
  const meant = rotaryOf(config, from)
  // What grows with the text is no constant of the graph.
  const sets = [meant.frequencies, ...(meant.beyond ? [meant.beyond.frequencies] : [])]
  const near = (a: number, b: number) => Math.abs(a - b) <= closeness * Math.abs(b)
  const said = `${from} (rope_theta ${config.rope_theta}, rope_scaling ${JSON.stringify(config.rope_scaling).slice(0, 200)})`
  const should = meant.growing && { ...meant.growing, theta: config.rope_theta }
  const alike =
    growing?.length === should?.length &&
    near(growing?.factor ?? 0, should?.factor ?? 0) &&
    near(growing?.theta ?? 0, should?.theta ?? 0)
  if (whole && !alike) {
    return `the rotary base of the graph ${growth(growing)}, and by ${said} it ${growth(should)}`
  }
  if (whole && should === undefined && frequencies.length !== sets.length) {
    return `the graph has ${frequencies.length} sets of rotary frequencies, and by ${said} there are ${sets.length}`
  }
  for (const own of frequencies) {
    if (
      sets.some((set) => own.length === set.length && own.every((v, i) => near(v, set[i] ?? 0)))
    ) {
      continue
    }
    const set = sets[0] ?? own
    const theta = config.rope_scaling === null ? thetaOf(own, config.head_dim) : undefined
    if (theta !== undefined && own.length === set.length) {
      return `rope_theta is ${theta} in the graph, and ${config.rope_theta} by ${from}`
    }
    const i = own.findIndex((value, k) => !near(value, set[k] ?? 0))
    return own.length === set.length
      ? `the graph turns pair ${i} of a head by ${own[i]?.toPrecision(6)} a token, and ${said} by ${set[i]?.toPrecision(6)}`
      : `the graph has ${own.length} rotary frequencies, and by ${from} there are ${set.length}`
  }
  return attention !== undefined && !near(attention, meant.attention)
    ? `the graph multiplies rotary embedding by ${attention.toPrecision(6)}, and ${from} says ${meant.attention.toPrecision(6)}`
    : undefined
}

function growth(of: RotaryFacts['growing']): string {
  return of === undefined
    ? 'does not grow with the text'
    : `grows from ${of.theta} by factor ${of.factor} beyond ${of.length} tokens`
}

/** The base that unscaled frequencies are of, to the digits that they tell. */
export function thetaOf(frequencies: Float32Array, headDim: number): number | undefined {
  const last = frequencies.length - 1
  if (last < 1) return undefined
  const theta = Number(((frequencies[last] ?? 1) ** (-headDim / (2 * last))).toPrecision(4))
  const fits = frequencies.every(
    (value, i) => Math.abs(value - theta ** ((-2 * i) / headDim)) <= 2e-3 * value,
  )
  return fits ? theta : undefined
}
