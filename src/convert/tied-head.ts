import { embeddingName, headName } from '../architectures/roles.js'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { openTilePairs } from './tile-pairs.js'

/** Bytes of buffers for looking whether two tensors are alike. */
const room = 32 * 1024 * 1024

/**
 * A checkpoint whose configuration ties the head to the embedding and that has a head of its own:
 * where the two differ, transformers 5 runs the head, and transformers 4 the embedding in its
 * place. The head is what was trained, so the configuration has to say that it is not tied.
 * Where they are alike, either reading computes the same, and all is left as it is.
 */
export async function untieDifferentHead(checkpoint: Checkpoint): Promise<Checkpoint> {
  const { config, tensors, notes } = checkpoint
  const head = tensors.get(headName)
  const embedding = tensors.get(embeddingName)
  if (!config.tie_word_embeddings || head === undefined || embedding === undefined) {
    return checkpoint
  }
  if (await areAlike(head, embedding)) return checkpoint
  return {
    ...checkpoint,
    config: { ...config, tie_word_embeddings: false },
    notes: [
      ...notes,
      `config.json has tie_word_embeddings true, and there is an output head ("${head.storedName}") that differs from the embedding: the head is kept, and false is written (transformers 4 would have passed over the head, transformers 5 runs it)`,
    ],
  }
}

async function areAlike(head: Tensor, embedding: Tensor): Promise<boolean> {
  if (String(head.shape) !== String(embedding.shape)) return false
  const pairs = openTilePairs(room)
  try {
    for await (const { a, b, region } of pairs.pieces(head, embedding)) {
      for (const { ours, theirs } of pairs.tiles(a, b, 'f32', region)) {
        if (Buffer.compare(ours, theirs) !== 0) return false
        // A signal must not wait for the last of them.
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    return true
  } finally {
    pairs.close()
  }
}
