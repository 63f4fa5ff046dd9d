import { mkdir, open, readFile, rm, stat, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { pause } from './http.js'

/** Milliseconds between two looks at a lock that another holds. */
const lookAgain = 300

/** Milliseconds after which its holder shows again that it goes on. */
const signOfLife = 5000

/**
 * Milliseconds without such a sign after which a lock is nobody's. In containers a
 * process's number says little: the next run may have the one of the run that was killed.
 */
const longestSilence = 8 * signOfLife

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
  const mine = JSON.stringify({ host: hostname(), pid: process.pid })
  const seen = { at: 0, since: 0 }
  for (;;) {
    try {
      const handle = await open(path, 'wx')
      await handle.writeFile(mine)
      await handle.close()
      break
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      // Two clocks may differ: what counts is whether the lock's time moves on.
      const at = (await stat(path).catch(() => undefined))?.mtimeMs ?? 0
      if (at !== seen.at) Object.assign(seen, { at, since: performance.now() })
      const silent = performance.now() - seen.since > silence
      if (silent || (await isStale(path))) await rm(path, { force: true })
      else await pause(lookAgain, signal)
    }
  }
  const showing = setInterval(() => {
    const now = new Date()
    void utimes(path, now, now).catch(() => {})
  }, signOfLife)
  try {
    return await work()
  } finally {
    clearInterval(showing)
    await rm(path, { force: true })
  }
}

/** Whether the run that made a lock has ended without taking it away. */
async function isStale(path: string): Promise<boolean> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  const [, host, pid] = /^\{"host":"([^"]*)","pid":(\d+)\}$/.exec(text ?? '') ?? []
  // Just made, and not written yet; or just taken away.
  if (pid === undefined) {
    await pause(lookAgain, undefined)
    return text !== undefined && (await readFile(path, 'utf8').catch(() => undefined)) === text
  }
  // Of processes on other machines nothing is known but their signs of life.
  if (host !== hostname()) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
}
