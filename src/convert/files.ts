import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { fromSystemError, inputError, OpenLlamaError } from '../io/errors.js'
import { noFollow } from '../io/no-follow.js'
import { identityOf } from '../io/tree.js'
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
 * @param outputs what each output is (`identityOf`): another file in its place is not written to
 */
export function openFiles(
  staging: string,
  turn?: Turn,
  outputs?: ReadonlyMap<string, string>,
): Files & { close(): void } {
  const sources = new Map<string, number>()
  const written = new Map<string, number>()
  const output = (name: string): number => {
    const known = written.get(name)
    if (known !== undefined) return known
    if (isAbsolute(name)) throw new Error(`${name} is no name within the output`)
    const path = join(staging, name)
    const fd = openSync(path, constants.O_RDWR | noFollow)
    written.set(name, fd)
    const expected = outputs?.get(name)
    if (expected !== undefined && identityOf(fstatSync(fd, { bigint: true })) !== expected) {
      throw new OpenLlamaError('resources', 'another file took its place while it was written', {
        path,
        suggestions: ['Another run has taken the output over: let one of them end first.'],
      })
    }
    return fd
  }
  return {
    read(path, offset, into) {
      try {
        const fd = sources.get(path) ?? openSync(path, 'r')
        sources.set(path, fd)
        const missing = readAll(fd, offset, into)
        if (missing === 0) return
        throw inputError(
          `${into.length} bytes are expected at byte ${offset}, the file now ends at ${offset + into.length - missing}`,
          {
            path,
            suggestions: ['It became shorter while it was read; is it still being written?'],
          },
        )
      } catch (error) {
        throw fromSystemError(error, path, 'read it')
      }
    },
    write(name, offset, from) {
      try {
        const fd = output(name)
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
        throw fromSystemError(error, join(staging, name), 'write it')
      }
    },
    reread(name, offset, into) {
      try {
        // They have their full size: what is not there reads as zeros, which is no error here.
        const missing = readAll(output(name), offset, into)
        into.fill(0, into.length - missing)
      } catch (error) {
        throw fromSystemError(error, join(staging, name), 'read it')
      }
    },
    close() {
      for (const fd of [...sources.values(), ...written.values()]) closeSync(fd)
      sources.clear()
      written.clear()
    },
  }
}

/** @returns bytes that the file did not have any more */
function readAll(fd: number, offset: number, into: Uint8Array): number {
  let done = 0
  while (done < into.length) {
    const count = readSync(fd, into, done, into.length - done, offset + done)
    if (count === 0) break
    done += count
  }
  return into.length - done
}
