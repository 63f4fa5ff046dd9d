import type { Pulled } from '../hub/pull/pull.js'
import { printable } from '../io/printable.js'
import { formatBytes } from '../io/units.js'
import { formatTable } from './table.js'

/** What came, for people. */
export function describePulled({ path, repository, commit, files, fetched }: Pulled): string {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  return [
    printable(path),
    `${printable(repository)} at ${commit}: ${files.length} files, ${formatBytes(total)}, of which ${formatBytes(fetched)} were fetched`,
    formatTable(
      files.map((file) => [`  ${file.path}`, formatBytes(file.bytes)]),
      [1],
    ),
  ].join('\n')
}
