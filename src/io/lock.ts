import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { type FileHandle, link, open, readFile, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { isJsonObject, parseJsonIfAny } from './json.js'

/** Milliseconds after which a holder shows again that it goes on. */
const signOfLife = 5000

/**
 * Milliseconds without such a sign after which a lock is nobody's, where nothing better is known:
 * of processes of another machine or container, whose numbers say nothing here.
 */
export const longestSilence = 8 * signOfLife

/** Who holds a lock, as its file says. */
export interface LockHolder {
  host: string
  pid: number
  /** Milliseconds since it last showed that it goes on. */
  silent: number
}

/** What this process's locks say that it has given up, and could not take away. */
const givenUp = new Set<string>()

/** A lock that this process has. */
export interface Lock {
  /** Whether it still is ours: asleep for long, this process may have been taken for dead. */
  isHeld(): Promise<boolean>
  release(): Promise<void>
}

/**
 * Takes the lock whose file is at `path`, in a folder that exists. Node has no flock(2), and a
 * file works between machines too: it appears whole and exclusively, says who made it, and is
 * written again every few seconds. The lock of a process that has ended is nobody's.
 * @param silence milliseconds after which a holder of whom nothing is known counts as ended
 * @returns the lock, or who has it
 * @throws what the system says
 */
export async function takeLock(path: string, silence = longestSilence): Promise<Lock | LockHolder> {
  const mine = JSON.stringify({ ...self(), token: randomBytes(8).toString('hex') })
  for (;;) {
    const handle = await create(path, mine)
    if (handle !== undefined) return hold(path, handle, mine)
    const there = await look(path)
    if (there === undefined) continue
    const holder = parse(there.text)
    // Ours, as others' are not: a link that was made and said to have failed, or one given up.
    const isOurs = there.text === mine || givenUp.has(there.text)
    if (!isOurs && !hasEnded(holder, there.silent > silence)) {
      return { host: holder?.host ?? '', pid: holder?.pid ?? 0, silent: there.silent }
    }
    await takeAway(path, there.text)
  }
}

export function isLock(taken: Lock | LockHolder): taken is Lock {
  return 'release' in taken
}

function hold(path: string, handle: FileHandle, mine: string): Lock {
  const showing = setInterval(() => {
    // Written, and not given a time: of several machines on one disk the disk's clock counts.
    void handle
      .write(mine, 0)
      .then(() => handle.datasync())
      .catch(() => {})
  }, signOfLife)
  showing.unref()
  const isHeld = async () => (await textOf(path)) === mine
  return {
    isHeld,
    async release() {
      clearInterval(showing)
      await handle.close().catch(() => {})
      try {
        if (await isHeld()) await rm(path, { force: true })
      } catch {
        // What was done under it is done. To others it is nobody's when this process has ended, and
        // this process must not wait for itself.
        givenUp.add(mine)
      }
    },
  }
}

/** @returns undefined where the file is there already */
async function create(path: string, content: string): Promise<FileHandle | undefined> {
  const whole = `${path}.${randomBytes(4).toString('hex')}`
  const handle = await open(whole, 'wx')
  try {
    await handle.writeFile(content)
    // A link is made exclusively, of a file that has its content: nobody sees half a lock.
    await link(whole, path)
    return handle
  } catch (error) {
    await handle.close()
    if (hasCode(error, 'EEXIST')) return undefined
    // Some file systems have no hard links, and say so in many ways.
    return await createExclusively(path, content)
  } finally {
    await rm(whole, { force: true }).catch(() => {})
  }
}

async function createExclusively(path: string, content: string): Promise<FileHandle | undefined> {
  let handle: FileHandle
  try {
    handle = await open(path, 'wx')
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return undefined
    throw error
  }
  try {
    await handle.writeFile(content)
    return handle
  } catch (error) {
    // Half a lock says nothing of whose it is, and would be waited for.
    await handle.close().catch(() => {})
    await rm(path, { force: true }).catch(() => {})
    throw error
  }
}

/** What a lock's file says, and for how long it has not been written. */
async function look(path: string): Promise<{ text: string; silent: number } | undefined> {
  try {
    // Opened anew: a disk that is shared answers for files that are being opened.
    const handle = await open(path, 'r')
    try {
      const { mtimeMs } = await handle.stat()
      return { text: await handle.readFile('utf8'), silent: (await clockAt(path)) - mtimeMs }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** The time by the clock of the disk that a path is on. */
async function clockAt(path: string): Promise<number> {
  const probe = `${path}.${randomBytes(4).toString('hex')}`
  const handle = await open(probe, 'wx')
  try {
    await handle.write('.')
    return (await handle.stat()).mtimeMs
  } finally {
    await handle.close()
    await rm(probe, { force: true }).catch(() => {})
  }
}

/** Milliseconds that taking a lock away takes at most; who takes longer was killed. */
const longestTaking = 10_000

/**
 * Takes away the lock of a process that has ended. One at a time does so, and looks again first:
 * what another has made meanwhile stays.
 */
async function takeAway(path: string, text: string): Promise<void> {
  const taking = `${path}.taking`
  try {
    await (await open(taking, 'wx')).close()
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    const there = await look(taking)
    if (there && there.silent > longestTaking) await rm(taking, { force: true })
    await setTimeout(20)
    return
  }
  try {
    if ((await textOf(path)) === text) await rm(path, { force: true })
  } finally {
    await rm(taking, { force: true })
  }
}

interface Identity {
  host: string
  pid: number
  /** Where process numbers mean the same: one boot of one system, one container. */
  machine: string | null
  /** When the process began, by the system's own count: numbers are given out again. */
  started: string | null
}

function self(): Identity {
  return {
    host: hostname(),
    pid: process.pid,
    machine: machineHere(),
    started: startOf(process.pid),
  }
}

function machineHere(): string | null {
  if (process.platform !== 'linux') return hostname()
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return [hostname(), boot, readlinkSync('/proc/self/ns/pid')].join(' ')
  } catch {
    return null
  }
}

function startOf(pid: number): string | null {
  try {
    // The 22nd field; the second, in parentheses, may have blanks in it.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

/** @param silent it has not shown for long that it goes on */
function hasEnded(holder: Identity | undefined, silent: boolean): boolean {
  if (holder === undefined || holder.machine === null || holder.machine !== machineHere()) {
    return silent
  }
  if (!isRunning(holder.pid)) return true
  const started = startOf(holder.pid)
  if (started === null || holder.started === null) return silent
  return started !== holder.started
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // A process of another user may not be asked, and is there.
    return !hasCode(error, 'ESRCH')
  }
}

function parse(text: string): Identity | undefined {
  const value = parseJsonIfAny(text)
  if (!isJsonObject(value)) return undefined
  const { host, pid, machine, started } = value
  if (typeof host !== 'string' || typeof pid !== 'number' || !(pid > 0)) return undefined
  const known = (each: unknown) => (typeof each === 'string' ? each : null)
  return { host, pid, machine: known(machine), started: known(started) }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
