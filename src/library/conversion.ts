import { type CheckPlan, checkConversion, planCheck } from '../check/conversion.js'
import type { ConvertOptions as Asked, Conversion, ConvertResult } from '../convert/convert.js'
import { checkFreeDisk, prepareConversion, refuseAsRun, runConversion } from '../convert/convert.js'
import { refuseLosses } from '../convert/losses.js'
import { defaultThreads } from '../convert/memory.js'
import { parseSize } from '../io/units.js'
import type { Attendance } from './progress.js'

/** What a conversion is to do; without anything but `to` it is checked, hashed, and refuses what it would lose. */
export interface ConvertOptions extends Omit<Asked, 'dtype' | 'maxMemory' | 'threads'> {
  /** By default `auto`, which keeps the source's types. */
  dtype?: Asked['dtype']
  /** Bytes of weights in memory at most; by default 512 MB. */
  maxMemory?: number
  /** By default one a core. */
  threads?: number
  /** Go on from an interrupted conversion. */
  resume?: boolean
  /** Replace an existing output, discard an unfinished one. */
  force?: boolean
  /**
   * Run the output and hold it against its source before it appears. By default where that can be
   * done; `true` delivers nothing that could not be checked.
   */
  check?: boolean
  /** What failed its check stays in the .partial directory. */
  keepFailed?: boolean
  /** Keep NaN and infinities of the source. */
  allowNonFinite?: boolean
  /** Let values that are too large for the type become infinite. */
  allowOverflow?: boolean
  /** Record the SHA-256 of source and output; by default unless `check` is false. */
  sha256?: boolean
}

/** A conversion whose whole cost is known; nothing has been written. */
export interface ConversionPlan {
  conversion: Conversion
  /** What the check takes, and whether it can be made; absent where none is wanted. */
  check?: CheckPlan
  options: ConvertOptions
}

export const defaultMemory = parseSize('512MB', 'the default')

/** Reads the source's headers, and works out everything that `convert` would do. */
export async function plan(source: string, options: ConvertOptions): Promise<ConversionPlan> {
  const conversion = await prepareConversion(source, {
    ...options,
    dtype: options.dtype ?? 'auto',
    maxMemory: options.maxMemory ?? defaultMemory,
    threads: options.threads ?? defaultThreads(),
  })
  if (options.check === false) return { conversion, options }
  const check = planCheck(conversion, {
    allowNonFinite: (options.allowNonFinite ?? false) || (options.allowOverflow ?? false),
    asked: options.check === true,
  })
  return { conversion, check, options }
}

/** @throws what `convert` would refuse the plan for, as the disk is now; changes nothing */
export async function validatePlan({ conversion, check, options }: ConversionPlan): Promise<void> {
  const { force = false, resume = false } = options
  if (options.check && check?.unchecked) throw check.unchecked
  refuseLosses(conversion)
  await refuseAsRun(conversion, { force, resume })
  checkFreeDisk(conversion)
}

/**
 * Converts a checkpoint, or carries out a plan. The output appears at its path only when it is
 * whole, and has passed its check where one can be made.
 */
export async function convert(
  source: string,
  options: ConvertOptions & Attendance,
): Promise<ConvertResult> {
  return carryOut(await plan(source, options), options)
}

/** Carries out a plan, as `convert` does. */
export async function carryOut(
  { conversion, check, options }: ConversionPlan,
  { signal, onProgress }: Attendance = {},
): Promise<ConvertResult> {
  refuseLosses(conversion)
  const asked = options.check === true
  const unchecked = check?.unchecked
  if (unchecked !== undefined && asked) throw unchecked
  const { threads } = options
  return runConversion(conversion, {
    ...(check === undefined || unchecked !== undefined
      ? {}
      : {
          check: (output: string) =>
            checkConversion(conversion, output, {
              ...(signal === undefined ? {} : { signal }),
              ...(threads === undefined ? {} : { threads }),
              onProgress: (step) => onProgress?.({ phase: 'check', step }),
            }),
        }),
    checkRequired: asked,
    ...(unchecked === undefined ? {} : { unchecked: unchecked.what }),
    keepFailed: options.keepFailed ?? false,
    resume: options.resume ?? false,
    force: options.force ?? false,
    allowNonFinite: options.allowNonFinite ?? false,
    allowOverflow: options.allowOverflow ?? false,
    sha256: options.sha256 ?? options.check !== false,
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
  })
}
