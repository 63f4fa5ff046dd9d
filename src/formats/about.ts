import type { FrontMatter } from '../io/front-matter.js'
import type { JsonObject } from '../io/json.js'

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
