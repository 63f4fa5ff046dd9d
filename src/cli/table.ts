import stringWidth from 'string-width'
import { printableName } from '../io/printable.js'

/** A cell that is longer is cut: names from files may have megabytes. */
const maxCell = 400

/**
 * Rows as aligned columns, as wide as a terminal shows them: a Chinese character takes two.
 * @param right indexes of the columns that are aligned to the right: numbers
 */
export function formatTable(
  cells: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const rows = cells.map((row) => row.map((cell) => printableName(cell, maxCell)))
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, stringWidth(cell))
    })
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => {
          const room = ' '.repeat((widths[i] ?? 0) - stringWidth(cell))
          return right.includes(i) ? room + cell : cell + room
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
