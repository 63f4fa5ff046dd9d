import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { fromSystemError, inputError } from '../io/errors.js'
import type { Files } from './tile.js'
import type { Turn } from './turn.js'

/**
 * Bytes given to one write. In longer ones Linux caches the file in large folios,
 * whose making cost three to five times the system time of the write itself.
 */
const writeChunk = 256 * 1024

/**
 * Files opened once and kept: sources by their own path, outputs within the
 * directory in which the result is being made.
 * @param turn where several threads write
 */
export function openFiles(staging: string, turn?: Turn): Files & { close(): void } {
  const sources = new Map<string, number>()
  const outputs = new Map<string, number>()
  return {
    read(path, offset, into) {
      try {
        const fd = openOnce(sources, path, path, 'r')
        let done = 0
        while (done < into.length) {
          const count = readSync(fd, into, done, into.length - done, offset + done)
          if (count === 0) {
            throw inputError(
              `${into.length} bytes are expected at byte ${offset}, the file now ends at ${offset + done}`,
              {
                path,
                suggestions: ['It became shorter while it was read; is it still being written?'],
              },
            )
          }
          done += count
        }
      } catch (error) {
        throw fromSystemError(error, path, 'read it')
      }
    },
    write(name, offset, from) {
      if (isAbsolute(name)) throw new Error(`${name} is no name within the output`)
      const path = join(staging, name)
      try {
        const fd = openOnce(outputs, name, path, 'r+')
        const writeAll = () => {
          let done = 0
          while (done < from.length) {
            const length = Math.min(writeChunk, from.length - done)
            done += writeSync(fd, from, done, length, offset + done)
          }
        }
        if (turn) turn.take(writeAll)
        else writeAll()
      } catch (error) {
        throw fromSystemError(error, path, 'write it')
      }
    },
    close() {
      for (const fd of [...sources.values(), ...outputs.values()]) closeSync(fd)
      sources.clear()
      outputs.clear()
    },
  }
}

function openOnce(open: Map<string, number>, key: string, path: string, flags: string): number {
  const known = open.get(key)
  if (known !== undefined) return known
  const fd = openSync(path, flags)
  open.set(key, fd)
  return fd
}
