import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CardOptions, writeCard } from '../../src/card/card.js'
import { readFrontMatter, splitCard } from '../../src/card/front-matter.js'
import type { ConvertOptions } from '../../src/convert/convert.js'
import { convert } from '../support/convert.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

export type ConversionOptions = Partial<ConvertOptions> & Pick<ConvertOptions, 'to'>

const made = new Map<string, Promise<string>>()

/** A conversion of a fixture, in a new directory of the name given. */
export async function converted(
  model: 'tiny-v1' | 'tiny-v2',
  options: ConversionOptions,
  name = 'model',
) {
  const key = JSON.stringify([model, options])
  const known =
    made.get(key) ??
    (async () => {
      const folder = join(tempDir(), 'out')
      await convert(fixture(model, 'easylm', 'streaming_params_bf16'), folder, {
        config: fixture(model, 'config.json'),
        ...options,
      })
      return folder
    })()
  made.set(key, known)
  const copy = join(tempDir(), name)
  cpSync(await known, copy, { recursive: true })
  return copy
}

/** Writes a folder's card and gives it with its front matter, parsed. */
export async function cardOf(folder: string, options: CardOptions = {}) {
  const result = await writeCard(folder, options)
  const text = readFileSync(result.out, 'utf8')
  const keys = readFrontMatter(splitCard(text, '\n').yaml, 'README.md')
  return { ...result, text, keys }
}
