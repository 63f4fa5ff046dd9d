import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'

/** The bytes of one file: in memory, or in a local file, which may be sparse and huge. */
export interface Content {
  size: number
  sha256: string
  read(start: number, end: number): Promise<Uint8Array>
}

export function memoryContent(bytes: Uint8Array): Content {
  return {
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    read: async (start, end) => bytes.subarray(start, end),
  }
}

/** @param sha256 what to say that it is, where reading all of it would take too long */
export async function fileContent(path: string, sha256?: string): Promise<Content> {
  return {
    size: (await stat(path)).size,
    sha256: sha256 ?? (await hashOf(path)),
    async read(start, end) {
      const handle = await open(path, 'r')
      try {
        const bytes = new Uint8Array(end - start)
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, start)
        return bytes.subarray(0, bytesRead)
      } finally {
        await handle.close()
      }
    },
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

/** The name that git gives to bytes. */
export function gitOid(bytes: Uint8Array): string {
  return createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
}

/** What git keeps in the place of a large file. */
export function lfsPointer({ sha256, size }: { sha256: string; size: number }): Uint8Array {
  return new TextEncoder().encode(
    `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`,
  )
}
