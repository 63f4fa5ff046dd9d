import { formatBytes } from '../../io/units.js'
import { code, link, plain, table } from '../markdown.js'
import type { CardRecord, RecordedFile } from '../records.js'
import { type Subject, shownFormat } from '../subject.js'

/** What the files were made from, and how; empty where no record says it. */
export function provenanceSection({ records }: Subject): string {
  if (records.length === 0) return ''
  return [
    '## Provenance',
    'Converting the same source with the same options gives the same bytes again.',
    ...records.map((record) => one(record, records.length > 1)),
  ].join('\n\n')
}

function one({ tool, source, target, options, casts }: CardRecord, withName: boolean): string {
  const [first] = target.files
  const head = withName && first !== undefined ? [`### ${code(first.name)}`] : []
  const steps = casts.map(({ from, to, tensors }) =>
    from === to ? `${from} kept (${tensors} tensors)` : `${from} to ${to} (${tensors} tensors)`,
  )
  const { repository, commit } = source
  const origin =
    repository === undefined
      ? ''
      : ` The source is ${link(plain(repository), `https://huggingface.co/${repository}`)}${commit === undefined ? '' : ` at commit ${code(commit)}`}.`
  // Without a check a conversion need not have hashed anything.
  const withHashes = [...source.files, ...target.files].some(({ sha256 }) => sha256 !== '')
  const row = (role: string) => (each: RecordedFile) => [
    role,
    code(each.name),
    // Beside hashes the column is narrow.
    formatBytes(each.bytes).replace(' ', '\u00a0'),
    ...(withHashes ? [each.sha256 === '' ? '' : code(each.sha256)] : []),
  ]
  return [
    ...head,
    [
      `Converted from ${shownFormat(source.format)} to ${shownFormat(target.format)} with ${plain(tool)}: ${plain(steps.join('; '))}.`,
      options.length === 0 ? '' : ` Options: ${options.map(code).join(', ')}.`,
      origin,
    ].join(''),
    table(
      ['', 'File', 'Size', ...(withHashes ? ['SHA-256'] : [])],
      [...source.files.map(row('source')), ...target.files.map(row('output'))],
      [2],
    ),
  ].join('\n\n')
}
