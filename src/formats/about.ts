import { dirname } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
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
}

/** Where nothing is known. */
export const nothingKnown: About = { folder: 'model', card: new Map(), generation: {} }

/** Cards and configurations have some kilobytes; cards with pictures in them a few hundred. */
const maxFile = 16 * 1024 * 1024

export async function readAbout({ files, path }: Checkpoint): Promise<About> {
  const file = files[0]?.path ?? path
  const folder = dirname(file)
  const card = await readOptional(join(folder, 'README.md'))
  const config = await readJson(join(folder, 'config.json'))
  const generation = await readJson(join(folder, 'generation_config.json'))
  const nameOrPath = config._name_or_path
  return {
    folder: nameOf(folder),
    card: parseFrontMatter(card === undefined ? '' : new TextDecoder().decode(card)),
    ...(typeof nameOrPath === 'string' && nameOrPath !== '' ? { nameOrPath } : {}),
    generation,
  }
}

async function readJson(path: string): Promise<JsonObject> {
  const bytes = await readOptional(path)
  return bytes === undefined ? {} : parseJsonObject(bytes, path)
}

async function readOptional(path: string): Promise<Uint8Array | undefined> {
  return (await kindOf(path)) === 'file' ? readSmallFile(path, maxFile) : undefined
}
