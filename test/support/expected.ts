import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'

/** A text's tokens and what transformers computes for them, [tokens, vocabulary]. */
export interface ExpectedLogits {
  ids: number[]
  logits: Float32Array
}

/** The logits.safetensors of a folder: `i.input_ids` and `i.logits`, read without our reader. */
export function expectedLogits(folder: string): ExpectedLogits[] {
  const file = readFileSync(join(folder, 'logits.safetensors'))
  const start = 8 + Number(file.readBigUInt64LE(0))
  const header: Record<string, { data_offsets: [number, number] }> = JSON.parse(
    file.subarray(8, start).toString(),
  )
  const bytes = (name: string) => {
    const [from, to] = header[name]?.data_offsets ?? [0, 0]
    return new Uint8Array(file.subarray(start + from, start + to))
  }
  const texts: ExpectedLogits[] = []
  for (let i = 0; header[`${i}.logits`] !== undefined; i++) {
    const ids = Array.from(new BigInt64Array(bytes(`${i}.input_ids`).buffer), Number)
    texts.push({ ids, logits: new Float32Array(bytes(`${i}.logits`).buffer) })
  }
  assert.ok(texts.length > 0, folder)
  return texts
}

export interface ExpectedAnswer {
  prompt: string
  prompt_ids: number[]
  ids: number[]
  text: string
}

/** The greedy continuations of a folder's generate.json. */
export function expectedAnswers(folder: string): ExpectedAnswer[] {
  return JSON.parse(readFileSync(join(folder, 'generate.json'), 'utf8'))
}

/** The largest difference, or infinity where one is no number. */
export function largestDifference(actual: Float32Array, expected: Float32Array): number {
  assert.is(actual.length, expected.length)
  let largest = 0
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? 0) - (expected[i] ?? 0))
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference
  }
  return largest
}
