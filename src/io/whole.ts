import type { FileHandle } from 'node:fs/promises'
import { inputError } from './errors.js'

// The system may take or give fewer bytes at a time than it is asked for.

/** Writes all bytes at an offset. */
export async function writeAll(
  handle: FileHandle,
  bytes: Uint8Array,
  offset: number,
): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, offset + done)
    done += bytesWritten
  }
}

/**
 * Fills `into` with the bytes at an offset.
 * @throws input error where the file ends before
 */
export async function readAll(
  handle: FileHandle,
  into: Uint8Array,
  offset: number,
  path: string,
): Promise<void> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, offset + done)
    if (bytesRead === 0) {
      throw inputError(`it became shorter: it ends at byte ${offset + done}`, { path })
    }
    done += bytesRead
  }
}
