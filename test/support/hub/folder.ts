import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { PushOptions } from '../../../src/hub/push/push.js'
import { sha256 } from '../bytes.js'
import { tempDir } from '../temp.js'

const card = '---\nlicense: apache-2.0\n---\n# A model\n'

/** A folder as a conversion, a check and a card leave it. */
export function modelFolder(
  weights: Record<string, Uint8Array>,
  more: Record<string, string> = {},
  verdict: 'passed' | 'failed' | null = 'passed',
): string {
  const folder = join(tempDir(), 'model')
  const record = {
    target: {
      format: 'safetensors',
      files: Object.entries(weights).map(([name, bytes]) => ({
        name,
        bytes: bytes.length,
        sha256: sha256(bytes),
      })),
    },
    ...(verdict === null ? {} : { check: { verdict } }),
  }
  const texts = { 'README.md': card, 'openllama.json': JSON.stringify(record), ...more }
  for (const [name, content] of Object.entries({ ...weights, ...texts })) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
  }
  return folder
}

/** Bytes that differ from seed to seed, the same on every machine. */
export function noise(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = (seed * 2654435761 + 1) >>> 0
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = state >>> 24
  }
  // As weights have: what has none is a text to the Hub.
  bytes[0] = 0
  return bytes
}

export const plainPush: PushOptions = {
  create: false,
  createPr: false,
  private: false,
  include: [],
  exclude: [],
  unchecked: false,
  dryRun: false,
  env: {},
}
