import { keepStarts, readSmallFile, type Starts } from './source.js'

/**
 * What was read of a source's small files, and of the first bytes of its others: whoever asks for
 * them next has them from here, so that each is read once.
 */
export interface FileCache {
  /**
   * A whole small file.
   * @param limit the size in bytes above which it is not believed to be one
   */
  read(path: string, limit: number): Promise<Uint8Array>
  /** Files that `work` opens have their first bytes from here, or leave them here. */
  within<T>(work: () => Promise<T>): Promise<T>
}

export function openFileCache(): FileCache {
  const starts: Starts = new Map()
  const whole = new Map<string, Uint8Array>()
  return {
    async read(path, limit) {
      const known = whole.get(path)
      if (known !== undefined && known.length <= limit) return known
      const bytes = await keepStarts(starts, () => readSmallFile(path, limit))
      whole.set(path, bytes)
      return bytes
    },
    within: (work) => keepStarts(starts, work),
  }
}
