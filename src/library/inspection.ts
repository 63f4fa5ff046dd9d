import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { gguf, listParts } from '../formats/gguf/gguf.js'
import { type VocabularyFile, vocabularyIn } from '../formats/gguf/kinds.js'
import { type OpaqueGguf, opaqueIn } from '../formats/gguf/opaque.js'
import { readParts } from '../formats/gguf/split.js'
import { agreeing, type OpenOptions, readSource } from '../open/open.js'
import { findSource } from '../open/source.js'
import { summarizeTokenizer, type TokenizerSummary } from '../tokenizer/summary.js'

/** What a source is. */
export type Inspected =
  | {
      kind: 'checkpoint'
      checkpoint: Checkpoint
      /** Absent where none is found, or none can be read, which a warning says. */
      tokenizer?: TokenizerSummary
      /** What was assumed or left out, and contradictions among the tokenizer's files. */
      warnings: string[]
    }
  /** A GGUF whose weights are not read here: its architecture or a type is not known. */
  | { kind: 'opaque'; opaque: OpaqueGguf; warnings: string[] }
  /** A GGUF that is a vocabulary alone. */
  | { kind: 'vocabulary'; vocabulary: VocabularyFile; warnings: string[] }

/**
 * Tells what a source is from its headers: what `openCheckpoint` gives, its tokenizer, and also the
 * GGUFs that no other call takes.
 */
export async function inspect(source: string, options: OpenOptions = {}): Promise<Inspected> {
  const found = await findSource(source)
  const { format, path, cache } = found
  const parts = format === gguf ? await cache.within(() => readParts(path)) : undefined
  const vocabulary = parts && vocabularyIn(parts, source)
  if (vocabulary !== undefined) return { kind: 'vocabulary', vocabulary, warnings: [] }
  const opaque = parts && opaqueIn(parts, source)
  if (opaque !== undefined) return { kind: 'opaque', opaque, warnings: [] }
  const list = parts && (() => listParts(parts, path))
  const checkpoint = agreeing(await readSource(found, options, list))
  const { summary, notes } = await summarizeTokenizer(checkpoint)
  return {
    kind: 'checkpoint',
    checkpoint,
    ...(summary === undefined ? {} : { tokenizer: summary }),
    warnings: [...checkpoint.notes, ...notes],
  }
}
