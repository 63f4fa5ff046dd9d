import { Session } from 'node:inspector/promises'

/** Which blocks of the program V8 has seen run. */
export interface Coverage {
  /** The blocks that ran since the last call and are none of those that were seen. */
  fresh(): Promise<Set<string>>
  /** These count as seen from now on. */
  see(blocks: ReadonlySet<string>): void
  /** Blocks seen so far. */
  size(): number
}

/**
 * Counts blocks of this thread's scripts whose address has `part` in it. Counts start anew with
 * every look, so that what a single input runs can be told.
 */
export async function startCoverage(part: string): Promise<Coverage> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  const seen = new Set<string>()
  return {
    async fresh() {
      const { result } = await session.post('Profiler.takePreciseCoverage')
      const found = new Set<string>()
      for (const { scriptId, url, functions } of result) {
        if (!url.includes(part)) continue
        for (const { ranges } of functions) {
          for (const { startOffset, endOffset, count } of ranges) {
            if (count === 0) continue
            // How often a block runs says something too, roughly.
            const key = `${scriptId}:${startOffset}:${endOffset}:${Math.min(3, Math.floor(Math.log2(count) / 4))}`
            if (!seen.has(key)) found.add(key)
          }
        }
      }
      return found
    },
    see(blocks) {
      for (const key of blocks) seen.add(key)
    },
    size: () => seen.size,
  }
}
