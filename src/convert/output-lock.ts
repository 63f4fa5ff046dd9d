import { fromSystemError, usageError } from '../io/errors.js'
import { isLock, type Lock, longestSilence, takeLock } from '../io/lock.js'

/**
 * Takes the lock of an output, beside it. Two runs to one path would destroy each other's work,
 * and each of them would tell the user to.
 * @throws usage error that says who has it
 */
export async function lockOutput(out: string): Promise<Lock> {
  const path = `${out}.openllama.lock`
  try {
    const taken = await takeLock(path)
    if (isLock(taken)) return taken
    const { host, pid, silent } = taken
    const seconds = Math.max(0, Math.round(silent / 1000))
    throw usageError(
      `another run is writing it: process ${pid} on ${host}, which showed ${seconds} s ago that it goes on`,
      {
        path: out,
        suggestions: [
          'Wait until it has ended, or choose another `out`; what it has made so far stays untouched.',
          `If it was killed on another machine, its lock ends ${longestSilence / 1000} s after its last sign.`,
        ],
      },
    )
  } catch (error) {
    throw fromSystemError(error, path, 'write there')
  }
}
