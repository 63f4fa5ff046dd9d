import type { CheckPlan } from '../check/conversion.js'
import { configToHf } from '../checkpoint/config.js'
import { list, shown } from '../checkpoint/geometry.js'
import { tensorBytes } from '../checkpoint/tensor.js'
import type { Conversion, ConvertResult } from '../convert/convert.js'
import { allotMemory, programMemory } from '../convert/memory.js'
import type { Quantization } from '../convert/mix.js'
import { weightBytes } from '../convert/plan.js'
import { describeLoss } from '../formats/losses.js'
import { printable } from '../io/printable.js'
import { formatBytes, formatCount } from '../io/units.js'
import type { CheckRecord } from '../record/check.js'
import type { CastSummary } from '../record/provenance.js'
import type { PlanJson } from './json.js'
import { formatTable } from './table.js'

/**
 * What `--dry-run` shows: types, files, and last, where it is still to be seen, what it comes to:
 * sizes, casts, memory, disk, and whether the output will be checked.
 * @param check undefined where none is wanted
 * @param all every tensor with its type, and not only how many there are of each
 */
export function describePlan(
  conversion: Conversion,
  check: CheckPlan | undefined,
  all = false,
): string {
  const { checkpoint, plan, staging, casts, memory, freeDisk } = conversion
  const facts = [
    ['source', `${checkpoint.path} (${checkpoint.format}, ${formatBytes(weightBytes(plan).read)})`],
    ['output', staging.out],
    ['weights', casts.map(describeCast).join('; ')],
    ['disk', `${formatBytes(plan.bytes)} needed, ${formatBytes(freeDisk)} free`],
    [
      'memory',
      `${formatBytes(memory)} for weights at most, some ${formatBytes(programMemory(allotMemory(plan, conversion.options).workers))} for the program`,
    ],
    ['check', describeCheckPlan(check)],
    ...(plan.target.losses ?? []).map((loss) => ['lost', describeLoss(loss)]),
  ]
  const files = plan.target.files.map(({ name, size }) => [`  ${name}`, formatBytes(size)])
  const { quantization } = conversion
  return [
    ...(all ? [`tensors\n${formatTable(tensorRows(conversion), [3])}`] : []),
    ...(quantization ? [describeTypes(quantization)] : []),
    `files\n${formatTable(files, [1])}`,
    formatTable(facts),
  ].join('\n')
}

/** Every tensor's name in the output, its shape, type, and bytes. */
function tensorRows({ plan }: Conversion): string[][] {
  return plan.moves.map(({ target }) => [
    `  ${target.storedName}`,
    shown(target.shape),
    target.dtype,
    formatBytes(tensorBytes(target)),
  ])
}

/** With both numbers: what a check would take, and what is free. */
function describeCheckPlan(check: CheckPlan | undefined): string {
  if (check === undefined) return 'none (--no-check)'
  const { unchecked, positions, memory, freeMemory } = check
  const cost = `${formatBytes(memory)} of memory needed, ${formatBytes(freeMemory)} free`
  if (unchecked === undefined)
    return `the output will be checked at ${positions} positions; ${cost}`
  const reason = unchecked.code === 'resources' ? cost : `${unchecked.what}; ${cost}`
  return `the output cannot be checked: ${reason}`
}

/** How many tensors have each type, which could not have the one that was wanted, and what they come to. */
function describeTypes({ tensors, fallbacks, bitsPerWeight }: Quantization): string {
  const rows = [...grouped(tensors, ({ type }) => type)].map(([type, of]) => [
    `  ${type}`,
    `${of.length} ${of.length === 1 ? 'tensor' : 'tensors'}`,
    formatBytes(of.reduce((sum, { bytes }) => sum + bytes, 0)),
  ])
  const fallen = [
    ...grouped(fallbacks, ({ wanted, got, reason }) => `${got} for ${wanted}: ${reason}`),
  ].map(
    ([what, of]) =>
      `  ${what}: ${list(
        of.map(({ tensor }) => tensor),
        mostNames,
      )}`,
  )
  const heading = `types, ${bitsPerWeight.toFixed(2)} bits per weight`
  return [heading, formatTable(rows, [1, 2]), ...fallen].join('\n')
}

/** Tensors that are named where all have the same said of them. */
const mostNames = 4

function grouped<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}

/** The plan for programs. */
export function planJson(
  { checkpoint, plan, staging, casts, quantization, memory, freeDisk, warnings }: Conversion,
  check: CheckPlan | undefined,
): PlanJson {
  const matrix = plan.moves.find(({ target }) => target.shape.length === 2)
  return {
    source: {
      format: checkpoint.format,
      files: checkpoint.files.map(({ path, size }) => ({ path, bytes: size })),
    },
    out: staging.out,
    format: plan.target.format,
    files: plan.target.files.map(({ name, size }) => ({ name, bytes: size })),
    bytes: plan.bytes,
    casts,
    ...(quantization
      ? {
          quantization: {
            bits_per_weight: quantization.bitsPerWeight,
            fallbacks: quantization.fallbacks,
            tensors: quantization.tensors,
          },
        }
      : {}),
    memory,
    free_disk: freeDisk,
    losses: plan.target.losses ?? [],
    check:
      check === undefined
        ? null
        : {
            possible: check.unchecked === undefined,
            reason: check.unchecked?.what ?? null,
            positions: check.positions,
            memory: check.memory,
            free_memory: check.freeMemory,
          },
    config: configToHf(checkpoint.config, matrix?.target.dtype ?? 'f32'),
    tensors: plan.moves.map(({ source, target, steps }) => ({
      name: target.storedName,
      from: source.storedName,
      shape: target.shape,
      dtype: target.dtype,
      steps: steps.map(({ kind }) => kind),
    })),
    warnings,
  }
}

/** What was done, for people. */
export function describeResult(result: ConvertResult): string {
  const bytes = result.target.files.reduce((sum, file) => sum + file.bytes, 0)
  const files = result.target.files.map(({ name, bytes }) => [`  ${name}`, formatBytes(bytes)])
  return [
    printable(result.out),
    `${result.tensors} tensors, ${formatCount(result.parameters)} parameters, ${formatBytes(bytes)}; ${result.casts.map(describeCast).join('; ')}`,
    formatTable(files, [1]),
    ...(result.check ? [describeRecord(result.check)] : []),
  ].join('\n')
}

/** One line of what the check found. */
function describeRecord({ smoke, parity }: CheckRecord): string {
  const mean = parity?.metrics.find(({ name }) => name === 'kld_mean')
  const common = parity ? `, ${parity.greedy.common} of ${parity.greedy.of} greedy tokens` : ''
  const kld =
    mean === undefined ? '' : `: KL divergence ${mean.value} at ${parity?.positions} positions`
  return `checked${kld}${common}; ${JSON.stringify(smoke.continuation)}`
}

function describeCast({ from, to, tensors }: CastSummary): string {
  const what = from === to ? `${from} kept` : `${from} → ${to}`
  return `${what} (${tensors} tensors)`
}
