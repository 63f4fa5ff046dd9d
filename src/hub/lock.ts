import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isLock, longestSilence, takeLock } from '../io/lock.js'
import { pause } from './http.js'

/** Milliseconds between two looks at a lock that another holds. */
const lookAgain = 300

/**
 * Runs `work` while no other run of this program holds the lock. huggingface_hub
 * locks by flock(2), which Node has not: against it only the rename at the end
 * protects, so that both may fetch the same, and neither spoils the other's.
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  silence = longestSilence,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true })
  for (;;) {
    const taken = await takeLock(path, silence)
    if (!isLock(taken)) {
      await pause(lookAgain, signal)
      continue
    }
    try {
      return await work()
    } finally {
      await taken.release()
    }
  }
}
