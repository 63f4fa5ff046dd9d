import { createReadStream } from 'node:fs'

/**
 * The bytes of a file of this machine, a piece at a time.
 * @throws what the system says
 */
export async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  for await (const chunk of createReadStream(path)) {
    // Node's types say nothing of what a stream gives; without an encoding it is bytes.
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a file gave no bytes')
    yield chunk
  }
}
