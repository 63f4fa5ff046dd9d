import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { relative, resolve } from 'node:path'

/** What was read of one file in this process: each stretch of it, in the order of the calls. */
export interface Reads {
  opened: number
  stretches: { begin: number; end: number }[]
}

/** What `work` reads of the files in a folder through node:fs/promises, by their names in it. */
export async function readsIn(
  folder: string,
  work: () => Promise<unknown>,
): Promise<Map<string, Reads>> {
  const found = new Map<string, Reads>()
  const { open } = fs
  const counted: typeof open = async (path, ...rest) => {
    const handle = await open(path, ...rest)
    const name = relative(folder, resolve(String(path)))
    if (name.startsWith('..')) return handle
    const reads = found.get(name) ?? { opened: 0, stretches: [] }
    found.set(name, reads)
    reads.opened++
    return new Proxy(handle, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key)
        if (typeof value !== 'function') return value
        if (key !== 'read') return value.bind(target)
        return async (into: Uint8Array, offset: number, length: number, position: number) => {
          const result = await target.read(into, offset, length, position)
          reads.stretches.push({ begin: position, end: position + result.bytesRead })
          return result
        }
      },
    })
  }
  fs.open = counted
  syncBuiltinESMExports()
  try {
    await work()
  } finally {
    fs.open = open
    syncBuiltinESMExports()
  }
  return found
}

/** Bytes before `end` that were read more than once. */
export function readAgain({ stretches }: Reads, end: number): number {
  let again = 0
  let read = 0
  for (const { begin, end: last } of stretches.toSorted((a, b) => a.begin - b.begin)) {
    again += Math.max(0, Math.min(read, last, end) - begin)
    read = Math.max(read, last)
  }
  return again
}
