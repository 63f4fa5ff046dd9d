import { type FileHandle, open } from 'node:fs/promises'
import { inputError } from '../io/errors.js'
import { standIn } from './stand-ins.js'

/** Bytes that are read and handed on at a time: few, so that slow lines are seen to move. */
const piece = 64 * 1024

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
  readonly #onBytes: OnBytes
  /** Whether it was read as a whole: small files are, to be in the commit itself. */
  inCommit = false

  constructor(path: string, size: number, sha256: string, onBytes: OnBytes) {
    super([])
    this.path = path
    this.sha256 = sha256
    this.size = size
    this.#onBytes = onBytes
  }

  override slice(start = 0, end = this.size): FileSlice {
    return new FileSlice(this.path, start, Math.min(end, this.size), this.#onBytes)
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

/** A part of a file, read while it is being sent. */
export class FileSlice extends Blob {
  readonly #path: string
  readonly #start: number
  override readonly size: number
  readonly #onBytes: OnBytes
  /** Bytes that were told of the last try. */
  #told = 0
  #close = async () => {}
  /** Called whenever more is taken to be sent; in the end with true. */
  onTaken: (all: boolean) => void = () => {}

  constructor(path: string, start: number, end: number, onBytes: OnBytes) {
    super([])
    this.#path = path
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
    const handle = await open(this.#path)
    try {
      let done = 0
      while (done < bytes.length) {
        const { bytesRead } = await handle.read(
          bytes,
          done,
          bytes.length - done,
          this.#start + done,
        )
        if (bytesRead === 0) throw shortened(this.#path)
        done += bytesRead
      }
    } finally {
      await handle.close()
    }
    return bytes.buffer
  }

  override stream(): ReturnType<Blob['stream']> {
    const [path, end] = [this.#path, this.#start + this.size]
    void this.end(false)
    let at = this.#start
    const tell = (bytes: number) => {
      this.#told += bytes
      this.#onBytes(bytes)
      this.onTaken(at === end)
    }
    let handle: FileHandle | undefined
    let ended = false
    const close = async () => {
      ended = true
      const opened = handle
      handle = undefined
      await opened?.close().catch(() => {})
    }
    // Who stops reading in the middle does not always say so.
    this.#close = close
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        async pull(controller) {
          try {
            if (at < end && !ended) {
              const bytes = new Uint8Array(Math.min(piece, end - at))
              handle ??= await open(path)
              const { bytesRead } = await handle.read(bytes, 0, bytes.length, at)
              if (bytesRead === 0) throw shortened(path)
              if (ended) return await close()
              at += bytesRead
              controller.enqueue(bytes.subarray(0, bytesRead))
              tell(bytesRead)
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
}

function shortened(path: string): Error {
  return inputError('it became shorter while it was being sent', {
    path,
    suggestions: ['Run the command again when nothing writes to it any more.'],
  })
}
