import type { CheckOptions as Asked, CheckResult } from '../check/check.js'
import type { Device } from '../engines/engine.js'
import type { OpenOptions } from '../open/open.js'
import type { Attendance } from './progress.js'

export interface CheckOptions
  extends OpenOptions,
    Pick<Asked, 'threads' | 'prompt' | 'tokens' | 'positions' | 'corpus' | 'limits' | 'maxMemory'> {
  /** The checkpoint that it must compute the same as. */
  against?: string
  /** By default `auto`: a GPU that llama.cpp finds, else the CPU. */
  device?: Device
  /** Where a page with the verdict, the figures, charts and both continuations is written. */
  report?: string
  /** Keep the figures in the openllama.json of the conversion that made the artifact. */
  record?: boolean
  /** Called with what was found before a report or a record of it is written, which can fail. */
  onChecked?(checked: Checked): void
}

export interface Checked extends CheckResult {
  warnings: string[]
}

/** By default: what shows a fault, and is soon made. */
const defaultTokens = 32

/**
 * Runs a checkpoint as it lies, and holds it against another where one is named. That it failed is
 * a finding, `record.verdict`, and no error.
 * @throws what makes the check impossible
 */
export async function check(
  artifact: string,
  options: CheckOptions & Attendance = {},
): Promise<Checked> {
  const {
    config,
    heads,
    tokenizer,
    against,
    report,
    record,
    device,
    onProgress,
    onChecked,
    ...rest
  } = options
  // The engines' libraries are large: loaded when there is something to check.
  const { checkReportPath, reportPage, writeReport } = await import('../check/report.js')
  const { findRecord, keepCheck } = await import('../check/recorded.js')
  const { openRunnable } = await import('../open/runnable.js')
  const { checkArtifact } = await import('../check/check.js')
  if (report !== undefined) await checkReportPath(report)
  const asSaid = {
    ...(config === undefined ? {} : { config }),
    ...(heads === undefined ? {} : { heads }),
    ...(tokenizer === undefined ? {} : { tokenizer }),
  }
  const opened = await openRunnable(artifact, asSaid)
  const source = against === undefined ? undefined : await openRunnable(against, asSaid)
  const place = record ? await findRecord(opened.checkpoint) : undefined
  const result = await checkArtifact(opened, {
    tokens: defaultTokens,
    ...rest,
    ...(source === undefined ? {} : { against: source }),
    device: device ?? 'auto',
    onProgress: (step) => onProgress?.({ phase: 'check', step }),
  })
  const notes = [opened.checkpoint.notes, source?.checkpoint.notes ?? [], result.record.notes]
  const checked = { ...result, warnings: [...new Set(notes.flat())] }
  onChecked?.(checked)
  if (report !== undefined) await writeReport(report, reportPage(artifact, result))
  if (place !== undefined) await keepCheck(place, result.record)
  return checked
}
