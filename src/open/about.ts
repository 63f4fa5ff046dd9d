import { dirname } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { About } from '../formats/about.js'
import { OpenLlamaError } from '../io/errors.js'
import { isExactObject } from '../io/exact-json.js'
import { openFileCache } from '../io/file-cache.js'
import { parseFrontMatter } from '../io/front-matter.js'
import { parseJsonObject } from '../io/json.js'
import { join, kindOf, nameOf } from '../io/store.js'

/** Cards and configurations have some kilobytes; cards with pictures in them a few hundred. */
const maxFile = 16 * 1024 * 1024

/** What lies beside the weights and says where the model is from. */
export async function readAbout(checkpoint: Checkpoint): Promise<About> {
  const { files, path, folder: home, document, cache = openFileCache() } = checkpoint
  const folder = home ?? dirname(files[0]?.path ?? path)
  const card = await readOptional('README.md')
  const nameOrPath = await nameIn('config.json')
  const generationPath = join(folder, 'generation_config.json')
  const generation = await readOptional('generation_config.json')
  return {
    folder: nameOf(folder),
    ...readCard(card, join(folder, 'README.md')),
    ...(typeof nameOrPath === 'string' && nameOrPath !== '' ? { nameOrPath } : {}),
    generation: generation === undefined ? {} : parseJsonObject(generation, generationPath),
    ...(generation === undefined ? {} : { generationText: new TextDecoder().decode(generation) }),
  }

  async function readOptional(name: string): Promise<Uint8Array | undefined> {
    const beside = join(folder, name)
    return (await kindOf(beside)) === 'file' ? cache.read(beside, maxFile) : undefined
  }

  /** Of the configuration that was taken, or of one that lies there beside a chosen one. */
  async function nameIn(name: string): Promise<unknown> {
    const beside = join(folder, name)
    if (document?.path === beside)
      return isExactObject(document.json) ? document.json.get('_name_or_path') : undefined
    const bytes = await readOptional(name)
    return bytes && parseJsonObject(bytes, beside)._name_or_path
  }
}

/** A card that is no YAML stops no conversion: it says nothing of the weights. */
function readCard(bytes: Uint8Array | undefined, path: string): Pick<About, 'card' | 'notes'> {
  try {
    const text = bytes === undefined ? '' : new TextDecoder().decode(bytes)
    return { card: parseFrontMatter(text, path), notes: [] }
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    const notes = [`nothing is taken from the card's front matter: ${error.message}`]
    return { card: new Map(), notes }
  }
}
