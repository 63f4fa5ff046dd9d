import type { Architecture, Switch } from '../architectures/architecture.js'
import {
  type ArchitectureName,
  architectureNamed,
  architectureOf,
  architectureOfClass,
  architectures,
  defaultArchitecture,
} from '../architectures/index.js'
import { inputError } from '../io/errors.js'
import { type ExactJson, isExactObject, spelledAs } from '../io/exact-json.js'
import type { Json, JsonObject } from '../io/json.js'
import { type DType, recordOf } from '../types/dtype.js'
import { ropeFromHf } from './rope-config.js'
import { originalContext, originalField, rotaryOf, scalingType } from './rotary.js'

/** The configuration of a model, by Hugging Face's field names. */
export interface ModelConfig {
  model_type: ArchitectureName
  vocab_size: number
  hidden_size: number
  intermediate_size: number
  num_hidden_layers: number
  num_attention_heads: number
  num_key_value_heads: number
  /** Rows of a head; hidden_size / num_attention_heads where a model says nothing else. */
  head_dim: number
  max_position_embeddings: number
  rms_norm_eps: number
  rope_theta: number
  /** Long-context scaling (`rope_type`, `factor` …), as the model has it. */
  rope_scaling: JsonObject | null
  /** Tokens that a token attends to, itself included (Mistral's first model); null: all before it. */
  sliding_window: number | null
  /** Queries, keys, values and what comes of attention have biases. */
  attention_bias: boolean
  /** The feed-forward network's projections have biases. */
  mlp_bias: boolean
  /** The embedding serves as the output head too. */
  tie_word_embeddings: boolean
  bos_token_id: number | null
  eos_token_id: number | number[] | null
  pad_token_id: number | null
  initializer_range: number
  /** Fields of a config.json that conversion does not depend on, kept as they are. */
  other: JsonObject
}

/** What a source may leave open; shapes, a preset, or these defaults fill it in. */
export const configDefaults = {
  model_type: defaultArchitecture,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  rope_scaling: null,
  sliding_window: null,
  attention_bias: false,
  mlp_bias: false,
  tie_word_embeddings: false,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: null,
  initializer_range: 0.02,
  other: {},
} as const satisfies Partial<ModelConfig>

/** The defaults of an architecture. */
export function defaultsOf(
  model_type: ArchitectureName = defaultArchitecture,
): Pick<ModelConfig, keyof typeof configDefaults> {
  return { ...configDefaults, ...architectureOf({ model_type }).config.defaults, model_type }
}

/**
 * Reads a Hugging Face config.json. Fields it leaves out are left out: shapes
 * and defaults complete it. Transformers 4 has `rope_theta` and `rope_scaling`,
 * transformers 5 has both in `rope_parameters`; either is read.
 * @throws input error for another architecture, by its name, and for values of the wrong kind
 */
export function configFromHf(json: JsonObject, path: string): Partial<ModelConfig> {
  const type = modelTypeOf(json, path)
  const architecture = architectureOf({ model_type: type })
  for (const [field, only] of Object.entries(architecture.config.only)) {
    const value = json[field]
    if (value !== undefined && value !== null && value !== only) {
      throw inputError(`${field} is ${JSON.stringify(value)}, only ${only} is supported`, {
        path,
        suggestions: field.endsWith('_bias') ? [withBiases] : [],
      })
    }
  }
  refuseLayerTypes(architecture, json, path)
  const integer = (field: string) => positive(json, field, path, true)
  return dropUndefined({
    model_type: type,
    vocab_size: integer('vocab_size'),
    hidden_size: integer('hidden_size'),
    intermediate_size: integer('intermediate_size'),
    num_hidden_layers: integer('num_hidden_layers'),
    num_attention_heads: integer('num_attention_heads'),
    num_key_value_heads: integer('num_key_value_heads'),
    head_dim: integer('head_dim'),
    // The second is what the first conversions of LLaMA called it.
    max_position_embeddings: integer('max_position_embeddings') ?? integer('max_sequence_length'),
    rms_norm_eps: positive(json, 'rms_norm_eps', path, false),
    ...ropeFromHf(json, path),
    sliding_window: windowOf(architecture, json, path),
    ...switchesOf(architecture, json, path),
    tie_word_embeddings: boolean(json, 'tie_word_embeddings', path),
    bos_token_id: tokenId(json, 'bos_token_id', path),
    eos_token_id: tokenIds(json, 'eos_token_id', path),
    pad_token_id: tokenId(json, 'pad_token_id', path),
    initializer_range: positive(json, 'initializer_range', path, false),
    other: Object.fromEntries(
      Object.entries(json).filter(
        ([key, value]) =>
          !knownFields.has(key) &&
          !isUsual(architecture, key, value) &&
          !(key === 'sliding_window' && architecture.config.window !== 'never'),
      ),
    ),
  })
}

/**
 * The config.json that transformers 4 and 5 both load: rotary parameters and
 * the dtype by version 4's names, which version 5 reads too.
 */
export function configToHf(config: ModelConfig, dtype: DType): JsonObject {
  const { model_type, head_dim, rope_scaling: _, sliding_window, other, ...rest } = config
  const { attention_bias: __, mlp_bias: ___, ...fields } = rest
  const { class: itsClass, config: rules } = architectureOf(config)
  const { attention_bias, attention_dropout, use_cache, ...its } = {
    ...rules.constants,
    ...Object.fromEntries(rules.switches.map((name) => [name, config[name]])),
    ...rules.usual,
  }
  return dropUndefined({
    architectures: [itsClass],
    attention_bias,
    attention_dropout,
    ...fields,
    head_dim: saysHeadDim(config) ? head_dim : undefined,
    hidden_act: 'silu',
    ...its,
    model_type,
    ...forBothVersions(config),
    torch_dtype: recordOf(dtype).numpy ?? 'float32',
    use_cache,
    ...(rules.window === 'never' ? {} : { sliding_window }),
    ...other,
  })
}

/** A config.json whose numbers are spelled as in the one that it is from. */
export function configDocument(
  config: ModelConfig,
  dtype: DType,
  source: ExactJson | undefined,
): ExactJson {
  const fields = isExactObject(source) ? source : new Map<string, ExactJson>()
  const [scaling, parameters] = ['rope_scaling', 'rope_parameters'].map((field) => {
    const found = fields.get(field)
    return isExactObject(found) ? found : new Map<string, ExactJson>()
  })
  // transformers 5 has other places for the same numbers.
  const ropes = new Map([...(parameters ?? []), ...(scaling ?? [])])
  const places = new Map([...ropes, ...fields, ['rope_scaling', ropes]])
  return spelledAs(configToHf(config, dtype), places, scalingFloats)
}

/** Which transformers wants as floats, and before 4.40 refuses otherwise. */
const scalingFloats = new Set([
  ...['factor', 'low_freq_factor', 'high_freq_factor', 'attention_factor'],
  ...['beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim'],
])

/** generation_config.json: the special tokens, and nothing that would change decoding. */
export function generationConfigToHf(config: ModelConfig): JsonObject {
  const { bos_token_id, eos_token_id, pad_token_id } = config
  return {
    _from_model_config: true,
    ...(bos_token_id === null ? {} : { bos_token_id }),
    ...(eos_token_id === null ? {} : { eos_token_id }),
    ...(pad_token_id === null ? {} : { pad_token_id }),
  }
}

function isUsual({ config }: Architecture, field: string, value: Json): boolean {
  return Object.entries(config.usual).some(([name, its]) => name === field && its === value)
}

/** Fields that this program computes or that belong to a copy of transformers, not to the model. */
const knownFields = new Set([
  ...['_name_or_path', 'architectures', 'attention_bias', 'bos_token_id'],
  ...['dtype', 'eos_token_id', 'head_dim', 'hidden_act', 'hidden_size', 'initializer_range'],
  ...['intermediate_size', 'max_position_embeddings', 'mlp_bias', 'model_type'],
  ...['num_attention_heads', 'num_hidden_layers', 'num_key_value_heads', 'pad_token_id'],
  ...['rms_norm_eps', 'rope_parameters', 'rope_scaling', 'rope_theta'],
  ...['tie_word_embeddings', 'torch_dtype', 'transformers.js_config', 'transformers_version'],
  ...['vocab_size'],
])

const withBiases =
  'Models with biases are not converted yet; transformers runs them, and llama.cpp’s convert_hf_to_gguf.py makes GGUFs of them.'

/** The fields that say whether some tensors are there, where they are said. */
function switchesOf(
  { config }: Architecture,
  json: JsonObject,
  path: string,
): Partial<Record<Switch, boolean>> {
  const found: Partial<Record<Switch, boolean>> = {}
  for (const name of config.switches) {
    const value = boolean(json, name, path)
    if (value !== undefined) found[name] = value
  }
  return found
}

function modelTypeOf(json: JsonObject, path: string): ArchitectureName {
  const named = Array.isArray(json.architectures) ? json.architectures[0] : undefined
  // Whether the files have a head, or the embedding serves as one, the tensors show.
  const ofClass = typeof named === 'string' ? architectureOfClass(named) : undefined
  const type = json.model_type ?? ofClass ?? defaultArchitecture
  const found = architectureNamed(type)
  if (found === undefined) throw unsupported(type, path)
  if (named !== undefined && ofClass === undefined) throw unsupported(named, path)
  if (ofClass !== undefined && !isNear(found, ofClass)) {
    throw inputError(
      `model_type is ${JSON.stringify(type)}, and the class is ${JSON.stringify(named)}`,
      {
        path,
        suggestions: ['They are of different architectures: correct the one that is wrong.'],
      },
    )
  }
  return found
}

/** LLaMA and Mistral, which only a window parts, were often taken for one another. */
function isNear(a: ArchitectureName, b: ArchitectureName): boolean {
  const [one, other] = [a, b].map((name) => architectureOf({ model_type: name }).gguf.name)
  return one === other
}

/** Layers of different windows, which newer configurations list one by one. */
function refuseLayerTypes({ config }: Architecture, json: JsonObject, path: string): void {
  const { layer_types } = json
  if (!Array.isArray(layer_types)) return
  const kind = config.window === 'never' ? 'full_attention' : layer_types[0]
  const other = layer_types.findIndex((each) => each !== kind)
  if (other < 0) return
  throw inputError(
    `layer_types has ${JSON.stringify(layer_types[other])} for layer ${other}: layers that attend to a window, or otherwise than others, are not supported here`,
    { path },
  )
}

function unsupported(architecture: Json, path: string): Error {
  return inputError(`the architecture ${JSON.stringify(architecture)} is not supported`, {
    path,
    suggestions: [
      `Supported are the LLaMA family's: ${architectures.map((each) => each.class).join(', ')}.`,
    ],
  })
}

function windowOf({ config }: Architecture, json: JsonObject, path: string): number | null {
  const { window } = config
  if (window === 'never' || json.sliding_window === null) return null
  return positive(json, 'sliding_window', path, true) ?? window.default
}

/** Whether a configuration of this architecture has a word of `head_dim`. */
export function saysHeadDim(config: ModelConfig): boolean {
  const { head_dim, hidden_size, num_attention_heads } = config
  const { headDim } = architectureOf(config).config
  return headDim === 'always' || head_dim !== hidden_size / num_attention_heads
}

/** The window, where a text of the model's context can be longer than it. */
export function effectiveWindow({
  sliding_window,
  max_position_embeddings,
}: Pick<ModelConfig, 'sliding_window' | 'max_position_embeddings'>): number | null {
  return sliding_window !== null && sliding_window < max_position_embeddings ? sliding_window : null
}

/**
 * Of longrope, transformers 4 reads the original context beside the scaling only, and takes the
 * ratio of the two contexts for the factor; transformers 5 reads either.
 */
function forBothVersions(config: ModelConfig): JsonObject {
  const { rope_scaling } = config
  if (rope_scaling === null || scalingType(rope_scaling) !== 'longrope') return { rope_scaling }
  const original = originalContext(config)
  const { factor } = rope_scaling
  const said = typeof rope_scaling.attention_factor === 'number'
  const ratio = config.max_position_embeddings / original
  return {
    rope_scaling:
      said || typeof factor !== 'number' || factor === ratio
        ? rope_scaling
        : { ...rope_scaling, attention_factor: rotaryOf(config, '').attention },
    [originalField]: original,
  }
}

function positive(
  json: JsonObject,
  field: string,
  path: string,
  integer: boolean,
): number | undefined {
  const value = json[field]
  if (value === undefined || value === null) return undefined
  const right = typeof value === 'number' && value > 0 && (!integer || Number.isSafeInteger(value))
  if (!right) throw wrongKind(field, value, `a positive ${integer ? 'whole ' : ''}number`, path)
  return value
}

function boolean(json: JsonObject, field: string, path: string): boolean | undefined {
  const value = json[field]
  if (value === undefined || typeof value === 'boolean') return value
  throw wrongKind(field, value, 'true or false', path)
}

function tokenId(json: JsonObject, field: string, path: string): number | null | undefined {
  const value = json[field]
  // -1 is how some configurations of OpenLLaMA's time say "none".
  if (value === undefined || value === null) return value
  if (value === -1) return null
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw wrongKind(field, value, 'a token id', path)
}

function tokenIds(
  json: JsonObject,
  field: string,
  path: string,
): ModelConfig['eos_token_id'] | undefined {
  const value = json[field]
  if (!Array.isArray(value)) return tokenId(json, field, path)
  const ids = value
    .map((id) => tokenId({ [field]: id }, field, path))
    .filter((id) => typeof id === 'number')
  return ids.length === 0 ? null : ids
}

function wrongKind(field: string, value: Json, expected: string, path: string): Error {
  return inputError(`${field} is ${JSON.stringify(value)}, ${expected} is expected`, { path })
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** The fields that have a value. */
export function dropUndefined<T extends object>(fields: T): Partial<Defined<T>> {
  const result: Partial<Defined<T>> = {}
  let key: keyof T
  for (key in fields) {
    const value = fields[key]
    if (isDefined(value)) result[key] = value
  }
  return result
}

function isDefined<T>(value: T): value is Exclude<T, undefined> {
  return value !== undefined
}
