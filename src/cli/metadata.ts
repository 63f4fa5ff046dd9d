import type { MetadataEntry, MetadataValue } from '../checkpoint/metadata.js'
import type { SetResult } from '../convert/apply-edit.js'
import type { Edit } from '../formats/gguf/edit.js'
import { shortest } from '../formats/gguf/rope.js'
import type { Json } from '../io/json.js'
import { printable } from '../io/printable.js'
import type { EditJson, MetadataJson } from './json.js'
import { formatTable } from './table.js'

/** Longer texts (chat templates, descriptions) are cut. */
const maxText = 60

/** A checkpoint's own metadata for people: a line a key, arrays as counts. */
export function describeMetadata(entries: readonly MetadataEntry[]): string {
  return formatTable([
    ['metadata', 'type', 'value'],
    ...entries.map((entry) => [entry.key, entry.type, shownValue(entry)]),
  ])
}

/** The same for programs: numbers that JSON cannot hold as text, arrays as counts. */
export function metadataJson(entries: readonly MetadataEntry[]): MetadataJson {
  return Object.fromEntries(
    entries.map(({ key, type, value }): [string, MetadataJson[string]] => {
      if (typeof value === 'object') return [key, { type, length: value.length }]
      return [key, { type, value: typeof value === 'bigint' ? String(value) : value }]
    }),
  )
}

/** What `gguf set` did, or would do, for people. */
export function describeEdit(path: string, edit: Edit, dryRun: boolean): string {
  const how = {
    none: 'nothing to change',
    'in place': dryRun ? 'would be changed in place' : 'changed in place',
    rewrite: dryRun ? 'would be written anew' : 'written anew',
  }
  const rows = edit.changes.map(({ key, before, after }) => [
    `  ${key}`,
    after.type,
    before === undefined ? '(new)' : shownValue(before),
    '→',
    shownValue(after),
  ])
  return [
    `${printable(path)}: ${how[edit.kind]}`,
    ...(rows.length > 0 ? [formatTable(rows)] : []),
  ].join('\n')
}

export function editJson(
  path: string,
  { edit, restored, warnings }: SetResult,
  dryRun: boolean,
): EditJson {
  const plain = (value: MetadataValue) => ({ type: value.type, value: plainValue(value) })
  return {
    file: path,
    dry_run: dryRun,
    restored,
    action: edit.kind === 'in place' ? 'in_place' : edit.kind,
    changes: edit.changes.map(({ key, before, after }) => ({
      key,
      before: before === undefined ? null : plain(before),
      after: plain(after),
    })),
    warnings,
  }
}

/** A value as JSON can hold it. */
function plainValue({ value }: MetadataValue): Json {
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object') return value
  const elements: ArrayLike<number | bigint | string | boolean> = value
  return Array.from(elements, (item) => (typeof item === 'bigint' ? String(item) : item))
}

function shownValue({ type, value }: MetadataValue): string {
  if (typeof value === 'object') return `${value.length} elements`
  if (typeof value === 'number') return String(type === 'float32' ? shortest(value) : value)
  if (typeof value !== 'string') return String(value)
  const line = printable(value.slice(0, maxText))
  return value.length > maxText ? `${line}… (${value.length} characters)` : line
}
