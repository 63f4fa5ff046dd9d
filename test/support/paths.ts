import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The project's root, from wherever the tests were built to. */
export const root = findRoot(dirname(fileURLToPath(import.meta.url)))

/** A file of test/fixtures. */
export function fixture(...parts: string[]): string {
  return join(root, 'test', 'fixtures', ...parts)
}

/** The larger fixtures stand beside the project, where there are any. */
const sharedRoot = join(root, '..', 'shared')

/**
 * A path beside the project, or undefined, with a line that says so, where it is not there.
 * @param purpose what the tests that skip would have shown
 */
export function shared(purpose: string, ...parts: string[]): string | undefined {
  const path = join(sharedRoot, ...parts)
  if (existsSync(path)) return path
  console.log(`skipped, ../shared/${parts.join('/')} is not there: ${purpose}`)
  return undefined
}

function findRoot(from: string): string {
  if (existsSync(join(from, 'tsconfig.json'))) return from
  if (dirname(from) === from) throw new Error('no tsconfig.json above the tests')
  return findRoot(dirname(from))
}
