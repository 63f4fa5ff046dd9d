import { posix } from 'node:path'
import { inputError } from '../../src/io/errors.js'
import { memorySource } from '../../src/io/source.js'
import { registerStore, type Store } from '../../src/io/store.js'

/** Files that are nowhere but in memory, at `mem://NAME`. */
export type Files = Readonly<Record<string, Uint8Array | string>>

let files: ReadonlyMap<string, Uint8Array> = new Map()

/** Puts files in the place of those before; the program reads them as it would those of a Hub. */
export function place(folder: Files): void {
  files = new Map(
    Object.entries(folder).map(([name, content]) => [
      `mem://m/${name}`,
      typeof content === 'string' ? new TextEncoder().encode(content) : content,
    ]),
  )
}

const store: Store = {
  resolve: async (path) => path,
  async look(path) {
    const bytes = files.get(path)
    if (bytes !== undefined) return { kind: 'file', size: bytes.length }
    return path === 'mem://m' ? { kind: 'folder', size: 0 } : undefined
  },
  list: async () => [...files.keys()].map((path) => posix.basename(path)),
  async open(path) {
    const bytes = files.get(path)
    if (bytes === undefined) throw inputError('it is not there', { path })
    const source = memorySource(path, bytes)
    return {
      ...source,
      sha256: undefined,
      async readInto(offset, into) {
        into.set(await source.read(offset, into.length))
      },
    }
  },
  bring: async (path) => path,
  origin: () => ({ repository: 'of/tests', commit: '0'.repeat(40) }),
}

registerStore('mem', async () => store)
