import { createHash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { fromSystemError, inputError } from '../../io/errors.js'
import { standIn } from '../stand-ins.js'

/** Bytes that are read and handed on at a time: few, so that slow lines are seen to move. */
const piece = 64 * 1024

/**
 * What a file system tells of a file that something writes to: its place, size and times. Who sets
 * the time of the content back has changed that of the entry.
 */
export type FileStamp = string

export async function stampOf(handle: FileHandle): Promise<FileStamp> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true })
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}

export function changedFile(path: string, what: string): Error {
  return inputError(what, {
    path,
    suggestions: ['Run the command again when nothing writes to it any more.'],
  })
}

/** Is told of bytes on their way; negative where they have to be sent again. */
export type OnBytes = (bytes: number) => void

/**
 * A file whose SHA-256 is known, as a Blob for the Hub's client. The client hashes
 * whole large files through `stream()`, and takes no hash that is known already; what
 * it gets there is a stand-in, a few bytes by which its hash is recognised later
 * (stand-ins.ts). All else gives the file's own bytes.
 */
export class KnownFile extends Blob {
  readonly path: string
  readonly sha256: string
  override readonly size: number
  readonly #stamp: FileStamp
  readonly #onBytes: OnBytes
  /** Whether it was read as a whole: small files are, to be in the commit itself. */
  inCommit = false
  /** Why it cannot be sent, where that is the file itself: another try would not go better. */
  failure: Error | undefined

  constructor(path: string, size: number, sha256: string, stamp: FileStamp, onBytes: OnBytes) {
    super([])
    this.path = path
    this.sha256 = sha256
    this.size = size
    this.#stamp = stamp
    this.#onBytes = onBytes
  }

  override slice(start = 0, end = this.size): FileSlice {
    return new FileSlice(
      { path: this.path, size: this.size, sha256: this.sha256, stamp: this.#stamp },
      [start, Math.min(end, this.size)],
      this.#onBytes,
      (error) => {
        this.failure = error
      },
    )
  }

  override stream(): ReturnType<Blob['stream']> {
    return new Blob([standIn(this.sha256)]).stream()
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    this.inCommit = true
    return this.slice().arrayBuffer()
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.slice().arrayBuffer())
  }
}

/** A file as it was when it was hashed. */
interface Hashed {
  path: string
  size: number
  sha256: string
  stamp: FileStamp
}

/**
 * A part of a file, read while it is being sent. The file is held against its stamp before the
 * first byte and before the last, and against its hash where the part is all of it: what was written
 * to it meanwhile does not get out.
 */
export class FileSlice extends Blob {
  readonly #file: Hashed
  readonly #start: number
  override readonly size: number
  readonly #onBytes: OnBytes
  readonly #onFailure: (error: Error) => void
  /** Bytes that were told of the last try. */
  #told = 0
  #close = async () => {}
  /** What ended the last try, where it was the file itself. */
  failure: Error | undefined
  /** Called whenever more is taken to be sent; in the end with true. */
  onTaken: (all: boolean) => void = () => {}

  constructor(
    file: Hashed,
    [start, end]: readonly [number, number],
    onBytes: OnBytes,
    onFailure: (error: Error) => void,
  ) {
    super([])
    this.#file = file
    this.#onFailure = onFailure
    this.#start = start
    this.size = end - start
    this.#onBytes = onBytes
  }

  /** Ends the last try. Where it came to nothing its bytes are still to be sent. */
  async end(arrived: boolean): Promise<void> {
    if (!arrived && this.#told > 0) this.#onBytes(-this.#told)
    this.#told = 0
    await this.#close()
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = new Uint8Array(this.size)
    const reading = this.#reading()
    try {
      for (let done = 0; done < bytes.length; ) {
        const piece = await reading.next(bytes.length - done)
        bytes.set(piece, done)
        done += piece.length
      }
    } finally {
      await reading.close()
    }
    return bytes.buffer
  }

  override stream(): ReturnType<Blob['stream']> {
    void this.end(false)
    const reading = this.#reading()
    let left = this.size
    const tell = (bytes: number) => {
      left -= bytes
      this.#told += bytes
      this.#onBytes(bytes)
      this.onTaken(left === 0)
    }
    let ended = false
    const close = async () => {
      ended = true
      await reading.close()
    }
    // Who stops reading in the middle does not always say so.
    this.#close = close
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        async pull(controller) {
          try {
            if (left > 0 && !ended) {
              const bytes = await reading.next(piece)
              if (ended) return
              controller.enqueue(bytes)
              tell(bytes.length)
            } else {
              await close()
              controller.close()
            }
          } catch (error) {
            await close()
            controller.error(error)
          }
        },
        cancel: close,
      },
      { highWaterMark: 0 },
    )
  }

  /** Goes through the part once. */
  #reading() {
    const { path, size, sha256, stamp } = this.#file
    const end = this.#start + this.size
    const hash = this.size === size ? createHash('sha256') : undefined
    let at = this.#start
    let handle: FileHandle | undefined
    let closed = false
    const failed = (error: unknown) => {
      this.failure = error instanceof Error ? error : new Error(String(error))
      this.#onFailure(this.failure)
      return this.failure
    }
    const hold = async (opened: FileHandle) => {
      if ((await stampOf(opened)) === stamp) return
      throw changedFile(path, 'it changed after it was read, before all of it was sent')
    }
    const nothing = new Uint8Array(0)
    return {
      /** The next bytes; none when it was closed meanwhile. */
      async next(most: number): Promise<Uint8Array<ArrayBuffer>> {
        try {
          if (handle === undefined) {
            const opened = await open(path)
            if (closed) {
              // Nobody else would close it.
              await opened.close()
              return nothing
            }
            handle = opened
            await hold(handle)
          }
          const bytes = new Uint8Array(Math.min(most, end - at))
          const { bytesRead } = await handle.read(bytes, 0, bytes.length, at)
          if (bytesRead === 0) throw changedFile(path, 'it became shorter while it was being sent')
          const read = bytes.subarray(0, bytesRead)
          at += bytesRead
          hash?.update(read)
          if (at === end) {
            await hold(handle)
            if (hash !== undefined && hash.digest('hex') !== sha256) {
              throw changedFile(path, 'it is another file than was read, before all of it was sent')
            }
          }
          return read
        } catch (error) {
          // A handle that is gone says nothing of the file, and the next try looks again.
          if (closed) return nothing
          throw failed(fromSystemError(error, path, 'read it'))
        }
      },
      async close(): Promise<void> {
        closed = true
        const opened = handle
        handle = undefined
        await opened?.close().catch(() => {})
      },
    }
  }
}
