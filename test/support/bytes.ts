import { createHash } from 'node:crypto'
import * as assert from 'uvu/assert'

/** Fails at the first byte that differs, with a few around it; a diff of megabytes helps no one. */
export function equalBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  const length = Math.min(actual.length, expected.length)
  for (let i = 0; i < length; i++) {
    if (actual[i] === expected[i]) continue
    const near = (bytes: Uint8Array) => hex(bytes.subarray(Math.max(0, i - 4), i + 8))
    assert.unreachable(
      `${what}: byte ${i} of ${expected.length} differs: ${near(actual)} where ${near(expected)} is expected`,
    )
  }
  assert.is(actual.length, expected.length, `${what}: its length`)
}

/** Fails at the first element that differs. */
export function equalElements(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
): void {
  assert.is(actual.length, expected.length, `${what}: how many`)
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] === expected[i]) continue
    const [a, b] = [actual[i] ?? 0, expected[i] ?? 0]
    assert.unreachable(
      `${what}: element ${i} is ${a} (0x${a.toString(16)}), ${b} (0x${b.toString(16)}) is expected`,
    )
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** The bytes that a typed array lies over. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

/** A generator of whole numbers below 2^32 that gives the same ones every time. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
}
