// Makes chosen calls to the file system fail, in this thread and in the threads and processes that
// it starts: preloaded with --import. What is armed is in the environment, so that all of them have it.
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve, sep } from 'node:path'

export const kinds = [
  'open',
  'read',
  'write',
  'fsync',
  'rename',
  'unlink',
  'mkdir',
  'truncate',
  'stat',
  'readdir',
  'copy',
  'link',
] as const
export type Kind = (typeof kinds)[number]

/** What is to happen, to paths below `root` alone. */
export interface Injection {
  root: string
  kind: Kind
  /** The call of this kind, from 1, in each thread. */
  nth: number
  /** An error's name, or `short`: fewer bytes than were asked for. */
  error: string
  /** All later calls of the kind fail too, as on a disk that is full. */
  lasting: boolean
  /** A file that is written when it happens, with what it was. */
  log: string
}

const variable = 'OPENLLAMA_TEST_INJECTION'

let armed: Injection | undefined
let counts = new Map<Kind, number>()
let calls: { kind: Kind; path: string }[] = []
/** Calls below this folder are counted. */
let counted: string | undefined

/** Arms the injection in this thread and in all that are started from now on. */
export function arm(injection: Injection): void {
  armed = injection
  counts = new Map()
  process.env[variable] = JSON.stringify(injection)
}

export function disarm(): void {
  armed = undefined
  counted = undefined
  delete process.env[variable]
}

/** Counts calls by their kind, and lets them be. */
export function startCounting(root: string): void {
  disarm()
  counts = new Map()
  calls = []
  counted = root
}

export function callsOf(): ReadonlyMap<Kind, number> {
  return counts
}

/** The calls of this thread below the folder that is counted, in their order. */
export function callsInOrder(): readonly { kind: Kind; path: string }[] {
  return calls
}

const numbers: Record<string, number> = {
  EACCES: 13,
  EBUSY: 16,
  EDQUOT: 122,
  EFBIG: 27,
  EIO: 5,
  EMFILE: 24,
  ENOMEM: 12,
  ENOSPC: 28,
  EROFS: 30,
  ESTALE: 116,
  EXDEV: 18,
}
const unnamed = new Set(['EDQUOT', 'ESTALE'])

function errorOf(name: string, syscall: string, path: string): Error {
  const errno = -(numbers[name] ?? 5)
  const code = unnamed.has(name) ? `Unknown system error ${errno}` : name
  return Object.assign(new Error(`${code}: injected, ${syscall} '${path}'`), {
    errno,
    code,
    syscall,
    path,
  })
}

const original = {
  writeFileSync: fs.writeFileSync,
  existsSync: fs.existsSync,
}

/** What happens to a call: nothing, an error, or fewer bytes. */
function fate(kind: Kind, syscall: string, path: string | undefined): Error | 'short' | undefined {
  const root = armed?.root ?? counted
  if (root === undefined || path === undefined) return undefined
  const whole = resolve(path)
  if (whole !== root && !whole.startsWith(root + sep)) return undefined
  const count = (counts.get(kind) ?? 0) + 1
  counts.set(kind, count)
  if (counted !== undefined) calls.push({ kind, path: whole })
  if (armed === undefined || armed.kind !== kind) return undefined
  const { nth, lasting, error, log } = armed
  if (count < nth || (count > nth && !lasting)) return undefined
  // In one thread alone, unless the disk is full for all.
  if (!lasting && original.existsSync(log)) return undefined
  original.writeFileSync(log, `${error} at ${syscall} ${whole}`)
  return error === 'short' ? 'short' : errorOf(error, syscall, whole)
}

const pathOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : value instanceof URL ? value.pathname : undefined

type Call = (...args: unknown[]) => unknown

/** A function of an object that is wrapped; the wrapper is called with what was given. */
function wrap(owner: object, name: string, make: (call: Call, self: unknown) => Call): void {
  const found: unknown = Reflect.get(owner, name)
  if (typeof found !== 'function') return
  const wrapper = function (this: unknown, ...args: unknown[]): unknown {
    return make((...given) => Reflect.apply(found, this, given), this)(...args)
  }
  Object.assign(wrapper, found)
  Reflect.set(owner, name, wrapper)
}

const byPath: [Kind, string[]][] = [
  ['open', ['open', 'readFile', 'writeFile', 'appendFile', 'opendir']],
  ['rename', ['rename']],
  ['unlink', ['unlink', 'rm', 'rmdir']],
  ['mkdir', ['mkdir']],
  ['truncate', ['truncate']],
  ['stat', ['stat', 'lstat', 'statfs', 'realpath', 'access', 'readlink']],
  ['readdir', ['readdir']],
  ['copy', ['copyFile', 'cp']],
  ['link', ['link', 'symlink', 'utimes', 'chmod']],
]

const paths = new Map<number, string>()
const handlePaths = new WeakMap<object, string>()

for (const [kind, names] of byPath) {
  for (const name of names) {
    const syscall = name === 'rm' ? 'unlink' : name === 'readdir' ? 'scandir' : name
    wrap(fs.promises, name, (call) => async (...args) => {
      const end = fate(kind, syscall, pathOf(args[0]))
      if (end instanceof Error) throw end
      const result = await call(...args)
      const path = pathOf(args[0])
      if (name === 'open' && typeof result === 'object' && result !== null && path !== undefined) {
        handlePaths.set(result, path)
      }
      return result
    })
    wrap(fs, `${name}Sync`, (call) => (...args) => {
      const end = fate(kind, syscall, pathOf(args[0]))
      if (end instanceof Error) throw end
      const result = call(...args)
      const path = pathOf(args[0])
      if (name === 'open' && typeof result === 'number' && path !== undefined) {
        paths.set(result, path)
      }
      return result
    })
  }
}

// Streams open and read with callbacks.
wrap(fs, 'open', (call) => (...args) => {
  const callback = args.at(-1)
  const path = pathOf(args[0])
  const end = fate('open', 'open', path)
  if (typeof callback !== 'function') return call(...args)
  if (end instanceof Error) return process.nextTick(callback, end)
  return call(...args.slice(0, -1), (error: unknown, fd: unknown) => {
    if (typeof fd === 'number' && path !== undefined) paths.set(fd, path)
    callback(error, fd)
  })
})
wrap(fs, 'read', (call) => (...args) => {
  const [fd] = args
  const callback = args.at(-1)
  const end = typeof fd === 'number' ? fate('read', 'read', paths.get(fd)) : undefined
  if (end instanceof Error && typeof callback === 'function') {
    return process.nextTick(callback, end)
  }
  return call(...args)
})

for (const [kind, name] of [
  ['read', 'readSync'],
  ['write', 'writeSync'],
  ['fsync', 'fsyncSync'],
  ['truncate', 'ftruncateSync'],
] as const) {
  wrap(fs, name, (call) => (...args) => {
    const [fd] = args
    const end =
      typeof fd === 'number' ? fate(kind, name.replace('Sync', ''), paths.get(fd)) : undefined
    if (end instanceof Error) throw end
    return call(...(end === 'short' ? shortened(args, 3) : args))
  })
}

/** Asks for half of the bytes; of one, for one. */
function shortened(args: readonly unknown[], at: number): unknown[] {
  const length = args[at]
  return typeof length === 'number' ? args.with(at, Math.max(1, length >> 1)) : [...args]
}

const probe = await fs.promises.open(join(tmpdir()), 'r')
const handles: object = Object.getPrototypeOf(probe)
await probe.close()
for (const [kind, names] of [
  ['read', ['read', 'readFile']],
  ['write', ['write', 'writeFile', 'appendFile']],
  ['fsync', ['sync', 'datasync']],
  ['truncate', ['truncate']],
  ['stat', ['stat']],
] as const) {
  for (const name of names) {
    const syscall = name.includes('sync') ? 'fsync' : name === 'truncate' ? 'ftruncate' : kind
    wrap(handles, name, (call, self) => async (...args) => {
      const path = typeof self === 'object' && self !== null ? handlePaths.get(self) : undefined
      const end = fate(kind, syscall, path)
      if (end instanceof Error) throw end
      return call(...(end === 'short' ? shortened(args, 2) : args))
    })
  }
}
syncBuiltinESMExports()

const inherited = process.env[variable]
if (inherited !== undefined) armed = JSON.parse(inherited)
