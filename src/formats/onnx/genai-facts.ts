import type { ModelConfig } from '../../checkpoint/config.js'
import { isJsonObject, type Json, type JsonObject, readJsonObject } from '../../io/json.js'
import { join, kindOf } from '../../io/store.js'

const name = 'genai_config.json'

/** onnxruntime-genai's words for sizes: of the decoder, or of the model. */
const decoderFields = {
  head_size: 'head_dim',
  hidden_size: 'hidden_size',
  num_attention_heads: 'num_attention_heads',
  num_hidden_layers: 'num_hidden_layers',
  num_key_value_heads: 'num_key_value_heads',
} as const

/** Some kilobytes. */
const maxFile = 1024 * 1024

/** Where the genai_config.json of a folder says other sizes than a configuration: a sentence each. */
export async function genaiDisagreements(
  folders: readonly string[],
  config: ModelConfig,
  from: string,
): Promise<string[]> {
  for (const folder of new Set(folders)) {
    const path = join(folder, name)
    if ((await kindOf(path)) !== 'file') continue
    const { model } = await readJsonObject(path, maxFile)
    const decoder = objectOf(objectOf(model).decoder)
    const said = Object.entries(decoderFields).map(
      ([field, own]): [string, Json | undefined, number] => [field, decoder[field], config[own]],
    )
    return [
      ...said,
      ['vocab_size', objectOf(model).vocab_size, config.vocab_size] as const,
    ].flatMap(([field, value, own]) =>
      typeof value === 'number' && value !== own
        ? [`${field} is ${value} in ${name}, and ${own} by ${from}`]
        : [],
    )
  }
  return []
}

function objectOf(value: Json | undefined): JsonObject {
  return isJsonObject(value) ? value : {}
}
