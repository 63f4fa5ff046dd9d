import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseSentencePiece, type SentencePieceModel } from '../../src/tokenizer/sentencepiece.js'

// From build/test/tokenizer, where the compiled tests lie.
const root = new URL('../../../', import.meta.url)

/** A file of test/fixtures/tokenizer, or the model of one of the tiny checkpoints. */
export function fixture(name: string): Uint8Array {
  const tiny = /^(tiny-v\d)\.model$/.exec(name)?.[1]
  const path = tiny ? `${tiny}/easylm/tokenizer.model` : `tokenizer/${name}`
  return new Uint8Array(readFileSync(new URL(`test/fixtures/${path}`, root)))
}

export function fixtureModel(name: string): SentencePieceModel {
  return parseSentencePiece(fixture(`${name}.model`), `${name}.model`)
}

export interface Golden {
  readonly text: string
  readonly ids: number[]
  readonly decoded: string
}

/** What sentencepiece gives for the texts of a fixture. */
export function goldens(name: string): Golden[] {
  return JSON.parse(Buffer.from(fixture(`${name}.tokens.json`)).toString())
}

/**
 * A real file of others, which stands beside the project and not in it: undefined,
 * and said so, where it is absent.
 */
export function realFile(name: string): string | undefined {
  for (const base of ['../shared/real/', '../../shared/real/']) {
    const path = fileURLToPath(new URL(base + name, root))
    if (existsSync(path)) return path
  }
  console.warn(`\n  SKIPPED: ../shared/real/${name} is absent`)
  return undefined
}

/** Each character's code points, for a message that shows what cannot be seen. */
export function visible(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[^\x20-\x7e]/gu,
    (c) => `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
