import type { MetadataEntry, MetadataValue } from '../checkpoint/metadata.js'
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
export function metadataJson(entries: readonly MetadataEntry[]): object {
  return Object.fromEntries(
    entries.map(({ key, type, value }) => {
      if (typeof value === 'object') return [key, { type, length: value.length }]
      return [key, { type, value: typeof value === 'bigint' ? String(value) : value }]
    }),
  )
}

function shownValue({ value }: MetadataValue): string {
  if (typeof value === 'object') return `${value.length} elements`
  if (typeof value !== 'string') return String(value)
  const line = value.replaceAll('\n', '⏎')
  return line.length > maxText ? `${line.slice(0, maxText)}… (${value.length} characters)` : line
}
