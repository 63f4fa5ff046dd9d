import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A new directory that is removed when the tests end, however they end. */
export function tempDir(): string {
  const path = mkdtempSync(join(tmpdir(), 'openllama-test-'))
  made.push(path)
  return path
}

const made: string[] = []

process.on('exit', () => {
  for (const path of made) rmSync(path, { recursive: true, force: true })
})
