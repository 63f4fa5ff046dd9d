import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { type StartOptions, startEngine } from '../engines/process.js'
import type { ParityRecord } from '../record/check.js'
import { isFloat } from '../types/dtype.js'
import { causeOf, layerOf } from './cause.js'
import { configDifferences } from './diff.js'
import type { WeightFault } from './weights.js'

/** Where two models part, and why, as far as it can be told. */
export type Departure = NonNullable<ParityRecord['departure']>

/** Fields by which the two configurations make different models of the same weights. */
export function configFaults(artifact: Checkpoint, source: Checkpoint): string[] {
  return configDifferences(artifact.config, source.config)
    .filter(({ computes }) => computes)
    .map(
      ({ field, values: [ours, theirs] }) =>
        `its ${field} is ${JSON.stringify(ours)}, the source’s ${JSON.stringify(theirs)}`,
    )
}

/** A sentence for each tensor that is wrong, or for all of a layer where all are in the same way. */
export async function weightFaults(
  faults: readonly WeightFault[],
  artifact: Checkpoint,
  source: Checkpoint,
  signal?: AbortSignal,
): Promise<string[]> {
  const sentences: string[] = []
  const said = new Set<WeightFault>()
  for (const layer of new Set(faults.map(({ name }) => layerOf(name)))) {
    const zeros = faults.filter(({ name, zero }) => zero && layerOf(name) === layer)
    if (layer === undefined || zeros.length < 2) continue
    sentences.push(`layer ${layer}: the values of ${zeros.length} of its tensors are all zero`)
    for (const fault of zeros) said.add(fault)
  }
  const single = faults.filter((fault) => !said.has(fault))
  for (const fault of single.slice(0, mostCauses)) {
    const { name, distance, worst } = fault
    const [value, right] = worst.values
    const cause =
      (await causeOf(fault, artifact, source, signal)) ??
      `it departs from the source's by ${distance.toPrecision(2)} of its square, most at row ${worst.row}, column ${worst.column}: ${value} for ${right}`
    sentences.push(`${name}: ${cause}`)
  }
  if (single.length > mostCauses) sentences.push(`and ${single.length - mostCauses} more tensors`)
  return sentences
}

/** Looking into a tensor takes a moment, and what is wrong in eight is wrong in all. */
const mostCauses = 8

/**
 * The departure of two models that do not compute the same.
 * @param layer whose output is the first to differ, where it was looked for
 */
export function departureOf(faults: readonly string[], layer: number | null): Departure {
  const [first = null, ...more] = faults
  const named = first === null ? null : (/layers?[. ](\d+)/.exec(first)?.[1] ?? null)
  return {
    layer: layer ?? (named === null ? null : Number(named)),
    cause: first,
    detail:
      more.length > 0
        ? `${faults.length} findings: ${faults.slice(0, 4).join('; ')}`
        : (first ?? 'nothing in the weights or the configuration explains it'),
  }
}

/**
 * The first layer whose output differs, from hidden states. 0 is the first; the embedding's own
 * departure counts as before it, -1; null where both agree up to the last, so that what differs is
 * the norm or the head behind it.
 */
export async function firstDepartingLayer(
  artifact: Checkpoint,
  source: Checkpoint,
  tokens: readonly number[],
  options: Omit<StartOptions, 'engine' | 'hiddenStates'>,
): Promise<number | null> {
  if (![artifact, source].every(canShow)) return null
  const states: Float32Array[][] = []
  for (const checkpoint of [artifact, source]) {
    const engine = await startEngine(
      { checkpoint },
      { ...options, device: 'cpu', engine: 'onnxruntime', hiddenStates: true },
    )
    try {
      states.push((await engine.hiddenStates?.(tokens)) ?? [])
    } finally {
      await engine.dispose()
    }
  }
  const [ours = [], theirs = []] = states
  const differs = theirs.findIndex((state, i) => !isNear(ours[i], state))
  return differs < 0 ? null : differs - 1
}

/** Quantized weights run in llama.cpp, which shows no hidden states. */
function canShow({ tensors }: Checkpoint): boolean {
  return (
    tensors.size > 0 &&
    [...tensors.values()].every(({ dtype, layout }) => isFloat(dtype) && !layout.bigEndian)
  )
}

/** Rounding to bf16 leaves some 1e-5 of a layer's square; the mildest fault that was tried, 1e-3. */
const layerLimit = 2e-4

function isNear(ours: Float32Array | undefined, theirs: Float32Array): boolean {
  if (ours === undefined || ours.length !== theirs.length) return false
  let squares = 0
  let total = 0
  for (let i = 0; i < theirs.length; i++) {
    const difference = (ours[i] ?? 0) - (theirs[i] ?? 0)
    squares += difference * difference
    total += (theirs[i] ?? 0) ** 2
  }
  return squares <= layerLimit * total
}
