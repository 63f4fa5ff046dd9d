import { stat, statfs } from 'node:fs/promises'
import { basename, dirname, extname, resolve } from 'node:path'
import type { Checkpoint, FormatName } from '../checkpoint/checkpoint.js'
import type { FloatType } from '../checkpoint/dtype.js'
import { formatNamed, targetFormats } from '../formats/index.js'
import { type OpenOptions, openCheckpoint } from '../formats/open.js'
import { fromSystemError, OpenLlamaError, usageError } from '../io/errors.js'
import { formatBytes } from '../io/units.js'
import { tokenizerCompanions } from '../tokenizer/companions.js'
import { allotMemory, type Executed, execute, minMemory, type Progress } from './execute.js'
import { type CastSummary, type Plan, planConversion, summarizeCasts } from './plan.js'
import { type Provenance, provenanceOf, writeProvenance } from './provenance.js'
import { checkOutputPath, discard, prepareStaging, publish, type Staging } from './staging.js'

export interface ConvertOptions extends OpenOptions {
  to: string
  /** The output directory; by default named after the source and the format. */
  out?: string
  dtype: FloatType | 'auto'
  /** Bytes of tensors in one file at most. */
  maxShardSize: number
  /** Bytes of buffers at most. */
  maxMemory: number
  threads: number
}

/** A conversion whose whole cost is known; nothing has been written. */
export interface Conversion {
  checkpoint: Checkpoint
  plan: Plan
  staging: Staging
  options: ConvertOptions
  warnings: string[]
  casts: CastSummary[]
  /** Bytes of buffers that will be used at most. */
  memory: number
  /** Bytes free where the output goes. */
  freeDisk: number
}

export interface RunOptions {
  resume: boolean
  force: boolean
  allowNonFinite: boolean
  allowOverflow: boolean
  signal?: AbortSignal
  onProgress?(progress: Progress): void
}

export interface ConvertResult extends Provenance {
  out: string
  warnings: string[]
}

/**
 * Opens the source and works out everything that the conversion will do: what
 * `--dry-run` shows.
 */
export async function prepareConversion(
  source: string,
  options: ConvertOptions,
): Promise<Conversion> {
  const format = formatNamed(options.to)
  if (format?.describe === undefined) {
    throw usageError(`"${options.to}" is no format that can be written`, {
      suggestions: [`There are ${targetFormats.join(', ')}.`],
    })
  }
  if (options.maxMemory < minMemory) {
    throw usageError(
      `--max-memory is ${formatBytes(options.maxMemory)}, at least ${formatBytes(minMemory)} are needed`,
    )
  }
  const checkpoint = await openCheckpoint(source, options)
  const { files: companions, notes } = await tokenizerCompanions(checkpoint)
  const target = format.describe(checkpoint, {
    dtype: options.dtype,
    maxShardSize: options.maxShardSize,
    companions,
  })
  const plan = planConversion(checkpoint, target)
  const out = resolve(options.out ?? defaultOut(source, format.name, options.dtype))
  return {
    checkpoint,
    plan,
    staging: { out, path: `${out}.partial` },
    options,
    warnings: [...checkpoint.notes, ...notes, ...target.notes],
    casts: summarizeCasts(plan),
    memory: allotMemory(plan, options).memory,
    freeDisk: await freeDiskAt(out),
  }
}

/**
 * Carries out a conversion. The output appears at its path when it is whole,
 * synced and hashed; before that, everything is in the staging directory.
 * @throws what the source, the disk, or the values make impossible
 */
export async function runConversion(
  conversion: Conversion,
  run: RunOptions,
): Promise<ConvertResult> {
  const { plan, staging, options } = conversion
  await checkOutputPath(staging.out, run.force)
  const resuming = await prepareStaging(staging, run)
  let begun = resuming
  try {
    if (!resuming) checkFreeDisk(conversion)
    begun = true
    const executed = await execute(plan, staging.path, { ...options, ...run, resuming })
    const provenance = provenanceOf(conversion, run, executed)
    await writeProvenance(staging.path, provenance)
    await publish(staging, run.force)
    const warnings = [...conversion.warnings, ...valueWarnings(executed.facts, plan)]
    return { out: staging.out, ...provenance, warnings }
  } catch (error) {
    // What an input error stopped will not go better next time, and what did not fit was not
    // begun: in neither case is there something to resume.
    const hopeless = error instanceof OpenLlamaError && error.code === 'input'
    if (hopeless || !begun) await discard(staging)
    throw fromSystemError(error, staging.out, 'write it')
  }
}

/** @throws resources error that has both numbers, when the output does not fit */
export function checkFreeDisk({ plan, staging, freeDisk }: Conversion): void {
  if (plan.bytes <= freeDisk) return
  throw new OpenLlamaError(
    'resources',
    `the output takes ${formatBytes(plan.bytes)}, ${formatBytes(freeDisk)} are free`,
    { path: staging.out, suggestions: ['Free some space, or choose another place with --out.'] },
  )
}

/** Sentences about values that the cast changed beyond rounding. */
function valueWarnings(facts: Executed['facts'], plan: Plan): string[] {
  return [...facts].flatMap(([name, { nan, infinite, overflowed, vanished }]) => {
    const dtype = plan.target.tensors.get(name)?.dtype
    return [
      ...(nan + infinite > 0
        ? [`${name}: ${nan} NaN and ${infinite} infinite values were kept`]
        : []),
      ...(overflowed > 0
        ? [`${name}: ${overflowed} values were too large for ${dtype} and are infinite now`]
        : []),
      ...(vanished > 0
        ? [`${name}: ${vanished} values were too small for ${dtype} and are zero now`]
        : []),
    ]
  })
}

/** streaming_params_bf16 → streaming_params_bf16-safetensors-f16, in the working directory. */
function defaultOut(source: string, format: FormatName, dtype: string): string {
  const path = source.replace(/^[a-z_]+::/, '').replace(/[/\\]+$/, '')
  const name = basename(resolve(path))
  const stem = name.replace(/\.index\.json$/, '')
  const bare = stem.slice(0, stem.length - extname(stem).length) || stem
  return [bare, format, ...(dtype === 'auto' ? [] : [dtype])].join('-')
}

/** Bytes free in the nearest directory above `out` that exists. */
async function freeDiskAt(out: string): Promise<number> {
  let folder = dirname(out)
  while (!(await stat(folder).catch(() => undefined)) && folder !== dirname(folder))
    folder = dirname(folder)
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
