import { memoryToRun } from '../engines/memory.js'
import { engineFor, exactEngineFor, type Opened } from '../engines/open.js'

/**
 * Bytes that a check takes at most: of the two models only one is open at a time, in one engine.
 * @param tokens of the longest run
 */
export function memoryToCheck(
  artifact: Opened,
  against: Opened | undefined,
  tokens: number,
): number {
  const alone = memoryToRun(artifact, tokens, engineFor(artifact))
  if (against === undefined) return alone
  // Logits of one run are kept while another is made, and the artifact may run in both engines.
  const { vocab_size } = artifact.checkpoint.config
  const kept = 2 * 4 * tokens * vocab_size
  const exact = [artifact, against].map((side) => memoryToRun(side, tokens, exactEngineFor(side)))
  return kept + Math.max(alone, ...exact)
}
