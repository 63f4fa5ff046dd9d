import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSentencePiece } from '../../src/tokenizer/sentencepiece.js'
import { tokenizerFiles } from '../../src/tokenizer/tokenizer-files.js'
import { fixture } from './paths.js'
import { tempDir } from './temp.js'

/** A tokenizer.json, as far as tests change it. */
export interface TokenizerJson {
  added_tokens: { id: number; content: string; special: boolean }[]
  normalizer: { normalizers: { type: string; prepend?: string; pattern?: { Regex?: string } }[] }
  model: { merges: (string | string[])[]; vocab: { [piece: string]: number } }
}

export function modelPath(name: 'tiny-v1' | 'tiny-v2'): string {
  return fixture(name, 'easylm', 'tokenizer.model')
}

/** The tokenizer.json that we write, changed. */
export function tokenizerJsonOf(
  name: 'tiny-v1' | 'tiny-v2',
  change: (json: TokenizerJson) => void = () => {},
): string {
  const path = modelPath(name)
  const model = parseSentencePiece(new Uint8Array(readFileSync(path)), path)
  const json: TokenizerJson = JSON.parse(tokenizerFiles(model, path).files['tokenizer.json'])
  change(json)
  return JSON.stringify(json)
}

/** A new folder with these files. */
export function folderOf(files: { readonly [name: string]: string | Uint8Array }): string {
  const folder = join(tempDir(), 'tokenizer')
  mkdirSync(folder)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  return folder
}

/** A tokenizer.model, and beside it what was made of it in the wrong way. */
export function wrongFolder(
  name: 'tiny-v1' | 'tiny-v2',
  change: (json: TokenizerJson) => void,
): string {
  return folderOf({
    'tokenizer.model': readFileSync(modelPath(name)),
    'tokenizer.json': tokenizerJsonOf(name, change),
  })
}

/** What goes wrong with tokenizers in the wild. */
export const faults: {
  readonly [what: string]: {
    readonly model: 'tiny-v1' | 'tiny-v2'
    change(json: TokenizerJson): void
  }
} = {
  'one merge is missing': {
    model: 'tiny-v2',
    change(json) {
      json.model.merges.splice(10, 1)
    },
  },
  'no space is put before a text': {
    model: 'tiny-v2',
    change({ normalizer }) {
      normalizer.normalizers = normalizer.normalizers.filter(({ type }) => type !== 'Prepend')
    },
  },
  'spaces are not merged': {
    model: 'tiny-v1',
    change({ normalizer }) {
      normalizer.normalizers = normalizer.normalizers.filter(
        ({ pattern }) => pattern?.Regex === undefined,
      )
    },
  },
}
