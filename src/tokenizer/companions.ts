import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { readSmallFile } from '../io/source.js'

/** A tokenizer of 256,000 pieces has some 5 MB. */
const maxTokenizer = 64 * 1024 * 1024

/** The tokenizer's files for a folder that transformers loads. */
export async function tokenizerCompanions(
  checkpoint: Checkpoint,
): Promise<{ files: Map<string, Uint8Array>; notes: string[] }> {
  const { model } = checkpoint.tokenizer
  if (model === undefined) {
    return {
      files: new Map(),
      notes: [
        'no tokenizer.model is beside the checkpoint: the output has no tokenizer (--tokenizer names one)',
      ],
    }
  }
  return {
    files: new Map([['tokenizer.model', await readSmallFile(model, maxTokenizer)]]),
    notes: [],
  }
}
