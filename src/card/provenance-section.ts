import { formatBytes } from '../io/units.js'
import { code, plain, table } from './markdown.js'
import type { CardRecord } from './records.js'
import type { Subject } from './subject.js'

/** What the files were made from, and how; empty where no record says it. */
export function provenanceSection({ records }: Subject): string {
  if (records.length === 0) return ''
  return [
    '## Provenance',
    'The same source and options give the same bytes again.',
    ...records.map((record) => one(record, records.length > 1)),
  ].join('\n\n')
}

function one({ tool, source, target, options, casts }: CardRecord, withName: boolean): string {
  const [first] = target.files
  const head = withName && first !== undefined ? [`### ${code(first.name)}`] : []
  const steps = casts.map(({ from, to, tensors }) =>
    from === to ? `${from} kept (${tensors} tensors)` : `${from} to ${to} (${tensors} tensors)`,
  )
  const file = (role: string) => (each: { name: string; bytes: number; sha256: string }) => [
    role,
    code(each.name),
    formatBytes(each.bytes),
    each.sha256 === '' ? '' : code(each.sha256),
  ]
  const facts = [
    `Converted from ${plain(source.format)} to ${plain(target.format)} with ${plain(tool)}: ${plain(steps.join('; '))}.`,
    options.length === 0 ? '' : ` Options: ${options.map(code).join(', ')}.`,
  ]
  return [
    ...head,
    facts.join(''),
    table(
      ['', 'File', 'Size', 'SHA-256'],
      [...source.files.map(file('from')), ...target.files.map(file('to'))],
      [2],
    ),
  ].join('\n\n')
}
