// What llama.cpp computes with a GGUF of ours, held against logits of transformers.
import { openLlamaEngine } from '../../dist/engines/llama.js'
import { openCheckpoint } from '../../dist/open/open.js'

/**
 * Runs texts in llama.cpp.
 * @returns the rows of logits of each, and how many there are in a row
 */
export async function llamaLogits(path, texts) {
  const { config } = await openCheckpoint(path)
  const engine = await openLlamaEngine(path, config, { device: 'cpu', threads: 2 })
  const rows = []
  for (const ids of texts) rows.push(await engine.logits(ids))
  await engine.dispose()
  return { rows, vocabulary: config.vocab_size }
}

/** Rows agree up to a constant each: llama.cpp's binding gives probabilities. */
export function largestDifference(ours, theirs, vocabulary) {
  if (ours.length !== theirs.length) return Infinity
  let worst = 0
  for (let begin = 0; begin < ours.length; begin += vocabulary) {
    const [a, b] = [ours, theirs].map((all) => {
      const row = all.subarray(begin, begin + vocabulary)
      const mean = row.reduce((sum, value) => sum + value, 0) / vocabulary
      return row.map((value) => value - mean)
    })
    for (let i = 0; i < vocabulary; i++) {
      const difference = Math.abs(a[i] - b[i])
      if (Number.isNaN(difference)) return Infinity
      worst = Math.max(worst, difference)
    }
  }
  return worst
}

/** The likeliest token of a row. */
export function likeliest(logits, row, vocabulary) {
  const values = logits.subarray(row * vocabulary, (row + 1) * vocabulary)
  return values.indexOf(Math.max(...values))
}
