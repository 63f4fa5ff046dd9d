import { mkdir, rmdir } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { list } from '../checkpoint/geometry.js'
import { fromSystemError, OpenLlamaError, usageError } from '../io/errors.js'
import type { Lock } from '../io/lock.js'
import { formatBytes } from '../io/units.js'
import { type CheckRecord, exceededMetrics } from '../record/check.js'
import type { Provenance } from '../record/provenance.js'
import { recordBeside, writeRecord } from '../record/record.js'
import type { Conversion } from './convert.js'
import { execute, type Progress } from './execute.js'
import { type Existing, examineExisting, type ProofOptions } from './existing.js'
import { refuseLosses } from './losses.js'
import { lockOutput } from './output-lock.js'
import { refuseOverlap } from './overlap.js'
import { provenanceOf } from './provenance.js'
import { publish, recover, replacedBy } from './publish.js'
import { holdSource } from './source-state.js'
import { discard, examineStaging, makeStaging, type Staging, type Unfinished } from './staging.js'
import { valueWarnings } from './value-warnings.js'
import { ContentError } from './verifier.js'

export interface RunOptions {
  resume: boolean
  force: boolean
  allowNonFinite: boolean
  allowOverflow: boolean
  /** Record the SHA-256 of source and output. */
  sha256: boolean
  /** Says whether the finished output, at the path it is given, still computes what its source does. */
  check?(output: string): Promise<CheckRecord>
  /** An output that could not be checked is not delivered (--check); else that is a warning. */
  checkRequired?: boolean
  /** Why the output is not checked, where it was to be: a sentence for the result. */
  unchecked?: string
  /** What failed its check stays in the staging directory, to be looked at. */
  keepFailed?: boolean
  signal?: AbortSignal
  onProgress?(progress: Progress): void
}

export interface ConvertResult extends Provenance {
  out: string
  warnings: string[]
}

/**
 * Carries out a conversion. The output appears at its path when it is whole,
 * synced and hashed; before that, everything is in the staging directory. All
 * that can stop it is looked at before anything changes on disk, under a lock
 * that keeps other runs from the same output.
 * @throws what the source, the disk, or the values make impossible
 */
export async function runConversion(
  conversion: Conversion,
  run: RunOptions,
): Promise<ConvertResult> {
  refuseLosses(conversion)
  const { out, path } = conversion.staging
  await holdApart(conversion)
  const made = await makeFolderOf(out)
  let begun = false
  try {
    const lock = await lockOutput(out)
    try {
      return await runLocked(conversion, run, lock, () => {
        begun = true
      })
    } finally {
      await lock.release()
    }
  } catch (error) {
    // What was refused leaves no folders behind.
    if (!begun && made !== undefined) await removeEmpty(dirname(out), made)
    throw fromSystemError(error, path, 'write it')
  }
}

/**
 * Ends as a run of it would that is refused for what is at its paths; a dry run, which takes no
 * lock, changes nothing, and reads no weights.
 */
export async function refuseAsRun(
  conversion: Conversion,
  run: Pick<RunOptions, 'force' | 'resume'>,
): Promise<void> {
  await holdApart(conversion)
  await examine(conversion.staging, run, { quick: true })
}

/** Output and source are not in one another. */
function holdApart({ checkpoint, staging, options }: Conversion): Promise<void> {
  const { out, single } = staging
  const others = [options.config, options.tokenizer, options.mix?.imatrix]
  const belonging = [replacedBy(out), ...(single ? [recordBeside(out)] : [])]
  return refuseOverlap(
    checkpoint,
    others.filter((each) => each !== undefined),
    staging,
    belonging,
  )
}

/** What is at the paths of a run, and how it goes on from that. */
async function examine(
  staging: Staging,
  run: Pick<RunOptions, 'force' | 'resume'>,
  proof: ProofOptions,
): Promise<{
  unfinished: Unfinished | undefined
  existing: Existing | undefined
  resuming: boolean
  force: boolean
}> {
  const unfinished = await examineStaging(staging)
  // Of one that came to no more than a folder there is nothing to go on from.
  const resuming = run.resume && unfinished?.earlier !== undefined
  // Who goes on from a run that could replace what is there need not say so again.
  const force = run.force || (resuming && (unfinished?.earlier?.head.force ?? false))
  const existing = await examineExisting(staging, force, proof)
  if (unfinished !== undefined && !run.resume && !run.force) {
    throw usageError('an unfinished conversion is there', {
      path: staging.path,
      suggestions: ['Go on from it with `resume`, or discard it with `force`.'],
    })
  }
  return { unfinished, existing, resuming, force }
}

async function runLocked(
  conversion: Conversion,
  run: RunOptions,
  lock: Lock,
  onBegin: () => void,
): Promise<ConvertResult> {
  const { checkpoint, sourceState, plan, staging, options } = conversion
  const recovered = await recover(staging)
  const { unfinished, existing, resuming, force } = await examine(
    staging,
    run,
    run.signal ? { signal: run.signal } : {},
  )
  if (!resuming) checkFreeDisk(conversion)
  const files = plan.target.files.map(({ name }) => name)
  let begun = false
  let whole = false
  let changed = false
  const hold = () =>
    holdSource(checkpoint.files, sourceState).catch((error: unknown) => {
      changed = true
      throw error
    })
  try {
    if (!resuming) {
      onBegin()
      if (unfinished) await discard(staging, unfinished.earlier?.head.files ?? [])
      await makeStaging(staging)
      begun = true
    }
    const executed = await execute(plan, staging.path, {
      ...options,
      ...run,
      force,
      resuming,
      onBegin: () => {
        begun = true
        onBegin()
      },
    })
    await hold()
    const output = staging.single ? join(staging.path, basename(staging.out)) : staging.path
    whole = true
    const { check, unchecked = run.unchecked } = await checked(output, staging, run)
    // A check that fails since its source has changed is no fault of the output.
    await hold()
    const provenance = {
      ...provenanceOf(conversion, run, executed),
      ...(check === undefined ? {} : { check }),
    }
    await writeRecord(staging.path, provenance)
    if (check?.verdict === 'failed') throw failedCheck(check, staging, run.keepFailed ?? false)
    const faults = await publish(staging, { files: executed.outputs, existing, lock })
    const warnings = [
      ...provenance.notes,
      ...valueWarnings(executed.facts, plan),
      ...recovered,
      ...carriedNotes(existing),
      ...faults,
      ...(unchecked === undefined ? [] : [`it is not checked: ${unchecked}`]),
    ]
    return { out: staging.out, ...provenance, warnings }
  } catch (error) {
    // What an input error stopped will not go better next time, and what was made of damaged
    // bytes is damaged: there is nothing to resume.
    const failed = error instanceof OpenLlamaError && error.code === 'check'
    const hopeless =
      changed ||
      (!whole &&
        (error instanceof ContentError ||
          (error instanceof OpenLlamaError && error.code === 'input')))
    // What another run has taken over is no longer ours to remove.
    const remove = begun && (hopeless || (failed && !run.keepFailed)) && (await lock.isHeld())
    if (remove) await discard(staging, files)
    throw fromSystemError(error, staging.out, 'write it')
  }
}

/** @returns the first folder that had to be made for a path */
async function makeFolderOf(path: string): Promise<string | undefined> {
  try {
    return await mkdir(dirname(path), { recursive: true })
  } catch (error) {
    // Making all folders of a path fails so where a file is among them.
    const isFile = error instanceof Error && 'code' in error && error.code === 'EEXIST'
    const cause = isFile ? Object.assign(new Error(error.message), { code: 'ENOTDIR' }) : error
    throw fromSystemError(cause, path, 'write there')
  }
}

async function removeEmpty(folder: string, made: string): Promise<void> {
  for (let at = folder; at.length >= made.length; at = dirname(at)) {
    try {
      await rmdir(at)
    } catch {
      return
    }
  }
}

function carriedNotes(existing: Existing | undefined): string[] {
  const carried = existing?.carried ?? []
  if (carried.length === 0) return []
  return [
    `kept of what was replaced: ${list(carried)}; \`openllama card\` brings the card up to date`,
  ]
}

/**
 * Checks a finished output. That a check cannot be made is no fault of the output's: it is delivered
 * with a warning, or where the check is required kept in the staging directory. So is an output that
 * itself cannot be read or run, which would be of no use where it goes.
 */
async function checked(
  output: string,
  { path }: Staging,
  { check, checkRequired = false }: RunOptions,
): Promise<{ check?: CheckRecord; unchecked?: string }> {
  if (check === undefined) return {}
  try {
    return { check: await check(output) }
  } catch (error) {
    if (!(error instanceof OpenLlamaError) || error.code === 'interrupted') throw error
    const unusable = error.code === 'input' && isWithin(error.path, output)
    if (!checkRequired && !unusable) return { unchecked: error.what }
    throw new OpenLlamaError(
      error.code,
      `the output is whole, but it could not be checked: ${error.what}`,
      {
        path,
        suggestions: [
          ...error.suggestions,
          'It is kept there: the same command with `resume` `check: false` delivers it.',
        ],
        cause: error,
      },
    )
  }
}

function isWithin(path: string | undefined, folder: string): boolean {
  return path !== undefined && (path === folder || path.startsWith(folder + sep))
}

/** Nothing is at the output's path; the reasons, as far as they are known. */
function failedCheck(
  { smoke, parity }: CheckRecord,
  { path }: Staging,
  kept: boolean,
): OpenLlamaError {
  const exceeded = (parity ? exceededMetrics(parity) : []).map(
    ({ name, value, limit }) => `${name} is ${value}, the limit ${limit}`,
  )
  const reasons = [...(parity?.faults ?? []), ...smoke.faults, ...exceeded]
  return new OpenLlamaError(
    'check',
    `the output does not compute what its source does: ${list(reasons, 3)}`,
    {
      path,
      suggestions: [
        kept
          ? 'It is kept there, with the figures in openllama.json.'
          : 'Nothing was written; with `keepFailed` it is kept, to be looked at.',
        'Limits are described in docs/check.md; `check: false` converts without them.',
      ],
    },
  )
}

/** @throws resources error that has both numbers, when the output does not fit */
export function checkFreeDisk({ plan, staging, freeDisk }: Conversion): void {
  if (plan.bytes <= freeDisk) return
  throw new OpenLlamaError(
    'resources',
    `the output takes ${formatBytes(plan.bytes)}, ${formatBytes(freeDisk)} are free`,
    { path: staging.out, suggestions: ['Free some space, or choose another place with `out`.'] },
  )
}
