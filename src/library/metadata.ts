import type { SetResult } from '../convert/apply-edit.js'
import { setRecordedMetadata } from '../convert/set-metadata.js'
import { parseAssignment } from '../formats/gguf/assign.js'
import type { Attendance } from './progress.js'

export interface SetMetadataOptions {
  /** Find out what would be done, and write nothing. */
  dryRun?: boolean
}

/**
 * Sets metadata of a GGUF file, and keeps its openllama.json true.
 * @param assignments `key=value`, or `key:type=value`
 */
export async function setMetadata(
  file: string,
  assignments: readonly string[],
  { dryRun = false, signal, onProgress }: SetMetadataOptions & Attendance = {},
): Promise<SetResult> {
  return setRecordedMetadata(file, assignments.map(parseAssignment), {
    dryRun,
    ...(signal === undefined ? {} : { signal }),
    onProgress: (done, total) => onProgress?.({ phase: 'convert', done, total }),
  })
}
