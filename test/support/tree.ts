import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from './bytes.js'

/** Names, times, and contents of all that is in a folder: equal before and after is untouched. */
export function contentOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const path = join(folder, name)
      const stats = lstatSync(path)
      if (stats.isSymbolicLink()) return `${name} -> ${readlinkSync(path)}`
      if (!stats.isFile()) return `${name}/`
      return `${name} ${stats.size} ${stats.mtimeMs} ${sha256(readFileSync(path))}`
    })
}
