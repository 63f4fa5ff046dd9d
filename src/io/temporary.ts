import { rmSync } from 'node:fs'

/**
 * Files that are to be gone when the program ends, also where it is ended in the middle: what a
 * second Ctrl-C cuts off cannot clean up any more.
 */
const temporary = new Set<string>()

let watching = false

/** @returns called when the file is removed, or has become what it was to be */
export function removedAtExit(path: string): () => void {
  temporary.add(path)
  if (!watching) process.once('exit', removeAll)
  watching = true
  return () => {
    temporary.delete(path)
  }
}

function removeAll(): void {
  for (const path of temporary) {
    try {
      rmSync(path, { force: true })
    } catch {
      // What cannot be removed is not worth another word: the program is ending for a reason.
    }
  }
}
