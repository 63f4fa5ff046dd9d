import { dirname } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { OpenLlamaError } from '../io/errors.js'
import { type FrontMatter, parseFrontMatter } from '../io/front-matter.js'
import { type JsonObject, parseJsonObject } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { join, kindOf, nameOf } from '../io/store.js'

/** What the files beside a checkpoint's weights say of the model, its geometry aside. */
export interface About {
  /** The folder's name. */
  folder: string
  /** The head of the README.md. */
  card: FrontMatter
  /** config.json's `_name_or_path`, often the model's name on the Hub. */
  nameOrPath?: string
  /** generation_config.json. */
  generation: JsonObject
  /** Its text, where there is one. */
  generationText?: string
  /** What could not be read, in sentences. */
  notes: readonly string[]
}

/** Where nothing is known. */
export const nothingKnown: About = { folder: 'model', card: new Map(), generation: {}, notes: [] }

/** Cards and configurations have some kilobytes; cards with pictures in them a few hundred. */
const maxFile = 16 * 1024 * 1024

export async function readAbout({ files, path, folder: home }: Checkpoint): Promise<About> {
  const folder = home ?? dirname(files[0]?.path ?? path)
  const card = await readOptional(join(folder, 'README.md'))
  const config = await readJson(join(folder, 'config.json'))
  const generationPath = join(folder, 'generation_config.json')
  const generation = await readOptional(generationPath)
  const nameOrPath = config._name_or_path
  return {
    folder: nameOf(folder),
    ...readCard(card, join(folder, 'README.md')),
    ...(typeof nameOrPath === 'string' && nameOrPath !== '' ? { nameOrPath } : {}),
    generation: generation === undefined ? {} : parseJsonObject(generation, generationPath),
    ...(generation === undefined ? {} : { generationText: new TextDecoder().decode(generation) }),
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

async function readJson(path: string): Promise<JsonObject> {
  const bytes = await readOptional(path)
  return bytes === undefined ? {} : parseJsonObject(bytes, path)
}

async function readOptional(path: string): Promise<Uint8Array | undefined> {
  return (await kindOf(path)) === 'file' ? readSmallFile(path, maxFile) : undefined
}
