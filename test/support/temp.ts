import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Every output is synced, which on a disk is most of what a test would wait for. */
const quick = process.env.TMPDIR === undefined && existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A new directory that is removed when the tests end, however they end. */
export function tempDir(): string {
  return makeIn(quick)
}

/** The same on a disk, for what would take much memory otherwise. */
export function tempDirOnDisk(): string {
  return makeIn(tmpdir())
}

function makeIn(folder: string): string {
  const path = mkdtempSync(join(folder, 'openllama-test-'))
  made.push(path)
  return path
}

const made: string[] = []

process.on('exit', () => {
  for (const path of made) rmSync(path, { recursive: true, force: true })
})
