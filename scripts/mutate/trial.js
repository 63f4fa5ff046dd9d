// One file of tests in the copy, in a home and a temporary folder of its own, for so long at most.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { project } from './sandbox.js'

const running = new Set()
process.on('exit', () => {
  for (const stop of running) stop()
})
process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))

/** @returns its exit status, or undefined if its time was up, and the seconds that it took */
export function runTest(name, env, seconds) {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const folder = mkdtempSync(join(base, 'openllama-mutate-'))
  mkdirSync(join(folder, 'home'))
  const start = performance.now()
  const child = spawn(process.execPath, [join('build', 'test', name)], {
    cwd: project,
    stdio: 'ignore',
    // A group of its own: what a mutant leaves running ends with it.
    detached: true,
    env: { ...process.env, ...env, TMPDIR: folder, HOME: join(folder, 'home') },
  })
  let timedOut = false
  const stop = () => {
    running.delete(stop)
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {}
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  running.add(stop)
  const timer = setTimeout(() => {
    timedOut = true
    process.kill(-child.pid, 'SIGKILL')
  }, seconds * 1000)
  return new Promise((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer)
      stop()
      const took = (performance.now() - start) / 1000
      resolve({ status: timedOut ? undefined : (code ?? 1), took })
    })
  })
}
