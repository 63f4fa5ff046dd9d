import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isLock, type LockHolder, longestSilence, takeLock } from '../io/lock.js'
import { pause } from './http.js'

/** Milliseconds between two looks at a lock that another holds. */
const lookAgain = 300

/** Looks after which it is said who is waited for. */
const longWait = 10

/**
 * Runs `work` while no other run of this program holds the lock. huggingface_hub
 * locks by flock(2), which Node has not: against it only the rename at the end
 * protects, so that both may fetch the same, and neither spoils the other's.
 * @param onWait told once of whoever has it for more than some seconds
 * @param silence milliseconds after which a holder of whom nothing is known counts as ended
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  onWait: ((holder: LockHolder) => void) | undefined = undefined,
  silence = longestSilence,
): Promise<T> {
  await mkdir(dirname(path), { recursive: true })
  for (let looks = 1; ; looks++) {
    const taken = await takeLock(path, silence)
    if (!isLock(taken)) {
      if (looks === longWait) onWait?.(taken)
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
