import {
  type MetadataEntry,
  type MetadataValue,
  metadataLookup,
} from '../../checkpoint/metadata.js'
import { inputError, usageError } from '../../io/errors.js'
import { entryOf, type KeyAssignment } from './assign.js'
import type { GgufHeader } from './header.js'
import { refuseUnreadable } from './keys.js'
import { entryBytes, headBytes, joinBytes } from './layout.js'

/** Keys that say how the file is laid out: not for users to set. */
export function isLayoutKey(key: string): boolean {
  return /^(general\.(alignment|architecture)|split\..*)$/.test(key)
}

export interface KeyChange {
  key: string
  before: MetadataValue | undefined
  after: MetadataValue
}

/** What a change of metadata does to a file. */
export type Edit = { changes: KeyChange[] } & (
  | { kind: 'none' }
  /** The header keeps its size: `bytes` take the place of those at `offset`. */
  | { kind: 'in place'; offset: number; bytes: Uint8Array }
  /** The weights move: a new file of `header` and what follows byte `dataBegin` of the old one. */
  | { kind: 'rewrite'; header: Uint8Array; dataBegin: number }
)

/**
 * Works out how a file's header changes. Entries that are not set keep their
 * bytes; the header may grow and shrink within the padding before the weights.
 * @param head the file's bytes up to where the weights begin
 * @throws usage error for keys that cannot be set
 */
export function planEdit(
  header: GgufHeader,
  head: Uint8Array,
  assignments: readonly KeyAssignment[],
  path: string,
): Edit {
  if (!header.littleEndian) {
    throw inputError('it is big-endian: its metadata can be read, not set', {
      format: 'gguf',
      path,
    })
  }
  const set = new Map<string, MetadataEntry>()
  for (const assignment of assignments) {
    const { key } = assignment
    if (isLayoutKey(key)) {
      throw usageError(`${key} says how the file is laid out and cannot be set`, { path })
    }
    if (set.has(key)) throw usageError(`${key} is set twice`)
    set.set(
      key,
      entryOf(
        assignment,
        header.entries.find((entry) => entry.key === key),
      ),
    )
  }
  const before = metadataLookup(header.entries)
  const after = metadataLookup([...header.entries, ...set.values()])
  for (const entry of set.values()) refuseUnreadable(entry, before, after, path)
  const known = new Set(header.entries.map(({ key }) => key))
  const added = [...set.values()].filter(({ key }) => !known.has(key))
  const pieces = [
    headBytes(
      header.version,
      header.tensors.length + header.opaque.length,
      header.entries.length + added.length,
    ),
    ...header.entries.flatMap(({ key, begin, end }) => {
      const entry = set.get(key)
      return entry === undefined ? [head.subarray(begin, end)] : entryBytes(entry)
    }),
    ...added.flatMap(entryBytes),
    head.subarray(header.infosBegin, header.end),
  ]
  const bytes = joinBytes(pieces, header.alignment)
  const changes = [...set.values()].map(({ key, ...after }) => ({
    key,
    before: header.entries.find((entry) => entry.key === key),
    after,
  }))
  if (bytes.length !== header.dataBegin) {
    return { kind: 'rewrite', changes, header: bytes, dataBegin: header.dataBegin }
  }
  const [begin, end] = difference(head, bytes)
  if (begin === end) return { kind: 'none', changes }
  return { kind: 'in place', changes, offset: begin, bytes: bytes.slice(begin, end) }
}

/** The range in which two runs of equal length differ. */
function difference(a: Uint8Array, b: Uint8Array): [begin: number, end: number] {
  let begin = 0
  while (begin < b.length && a[begin] === b[begin]) begin++
  let end = b.length
  while (end > begin && a[end - 1] === b[end - 1]) end--
  return [begin, end]
}
