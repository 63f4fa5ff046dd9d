import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { MetadataEntry } from '../checkpoint/metadata.js'

export function vocabularyEntries(
  _checkpoint: Checkpoint,
  _companions: ReadonlyMap<string, Uint8Array>,
): { entries: MetadataEntry[]; notes: string[] } {
  return { entries: [], notes: [] }
}
