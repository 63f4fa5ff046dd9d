import type { CardResult } from '../card/card.js'
import { printable } from '../io/printable.js'
import { formatBytes } from '../io/units.js'
import { formatTable } from './table.js'

/** What was written, for people. */
export function describeCard({ out, files, model, sections }: CardResult): string {
  const of = model === null ? 'no known release' : `of ${model}`
  const rows = files.map(({ path, bytes }) => [`  ${path}`, formatBytes(bytes)])
  return [printable(out), `${of}; sections ${sections.join(', ')}`, formatTable(rows, [1])].join(
    '\n',
  )
}
