import { windowedArchitecture } from '../../architectures/index.js'
import type { StoredArray } from '../../checkpoint/checkpoint.js'
import { configDefaults, type ModelConfig } from '../../checkpoint/config.js'
import type { ConfigSource } from '../../checkpoint/geometry.js'
import { llama3Defaults } from '../../checkpoint/rotary.js'
import { inputError } from '../../io/errors.js'
import { type JsonObject, readJsonObject } from '../../io/json.js'
import { join, listFolder } from '../../io/store.js'
import type { Loss } from '../../record/provenance.js'
import { lossesOf } from '../losses.js'

/**
 * Meta's params.json: the arguments of the model's constructor. Three of the
 * things that a configuration needs are not in it: the intermediate size, which
 * the constructor computes, the context length, and the special tokens.
 */

/** What Meta's code has for fields that a params.json leaves out. */
const defaults = { norm_eps: 1e-5, rope_theta: 10000 }

/** LLaMA 3's vocabulary without its special tokens, of which the first begins a text. */
const vocabulary3 = 128000

/** Whether a vocabulary is of LLaMA 3's kind, whose code differs from that of 1 and 2. */
export function isThirdGeneration(vocabulary: number): boolean {
  return vocabulary >= vocabulary3
}

/** LLaMA 3.1's scaling of rotary embedding. Only the factors can be said in a params.json. */
const scaling = {
  rope_type: 'llama3',
  ...llama3Defaults,
  original_max_position_embeddings: 8192,
}

/** What the params.json in a folder says, where there is one; the embedding is among `arrays`. */
export async function paramsBeside(
  folder: string,
  arrays: readonly StoredArray[],
): Promise<{ config: ConfigSource; notes: string[] } | undefined> {
  const path = join(folder, 'params.json')
  if (!(await listFolder(folder)).includes('params.json')) return undefined
  const vocabulary = arrays.find(({ name }) => name === 'tok_embeddings.weight')?.shape[0]
  const params = await readJsonObject(path, maxParams)
  return configFromParams(params, path, vocabulary)
}

/** Some hundred bytes. */
const maxParams = 1024 * 1024

/**
 * What a params.json says of the model, and what the releases that have such
 * values were trained with.
 * @param vocabulary rows of the embedding, where `vocab_size` leaves it open (-1)
 * @throws input error for values that are no sizes
 */
export function configFromParams(
  params: JsonObject,
  path: string,
  vocabulary: number | undefined,
): { config: ConfigSource; notes: string[] } {
  const number = (name: string) => positive(params, name, path)
  refuseOtherModels(params, path)
  const mistrals = isMistrals(params)
  const dim = whole(params, 'dim', path)
  const heads = whole(params, 'n_heads', path)
  const layers = whole(params, 'n_layers', path)
  const keyHeads = whole(params, 'n_kv_heads', path) ?? heads
  const epsilon = number('norm_eps') ?? defaults.norm_eps
  const theta = number('rope_theta') ?? (mistrals ? mistralTheta(params) : defaults.rope_theta)
  // -1: the tokenizer's, which the embedding has as many rows as.
  const vocab = params.vocab_size === -1 ? undefined : whole(params, 'vocab_size', path)
  const scaled = params.use_scaled_rope === true
  const third = isThirdGeneration(vocab ?? vocabulary ?? 0)
  const told = whole(params, 'max_seq_len', path) ?? whole(params, 'max_position_embeddings', path)
  const assumed = mistrals
    ? mistralLength
    : contextLength({ scaled, third, theta, epsilon, dim, grouped: keyHeads !== heads })
  const headDim = whole(params, 'head_dim', path)
  const inner = whole(params, 'hidden_dim', path)
  const window = whole(params, 'sliding_window', path)
  const values: Partial<ModelConfig> = {
    ...(dim === undefined ? {} : { hidden_size: dim }),
    ...(layers === undefined ? {} : { num_hidden_layers: layers }),
    ...(heads === undefined ? {} : { num_attention_heads: heads }),
    ...(keyHeads === undefined ? {} : { num_key_value_heads: keyHeads }),
    ...(vocab === undefined ? {} : { vocab_size: vocab }),
    ...(headDim === undefined ? {} : { head_dim: headDim }),
    ...(inner === undefined ? {} : { intermediate_size: inner }),
    ...(mistrals ? { model_type: windowedArchitecture, sliding_window: window ?? null } : {}),
    rms_norm_eps: epsilon,
    rope_theta: theta,
    max_position_embeddings: told ?? assumed,
    rope_scaling: scaled
      ? {
          ...scaling,
          factor: number('rope_scaling_factor') ?? scalingFactor(dim, layers),
          high_freq_factor: number('rope_high_freq_factor') ?? scaling.high_freq_factor,
        }
      : null,
    ...(third ? { bos_token_id: vocabulary3, eos_token_id: vocabulary3 + 1 } : {}),
  }
  const notes = [
    ...(told === undefined
      ? [
          `params.json does not say how long a context may be: max_position_embeddings ${assumed} is assumed (\`config\` says otherwise)`,
        ]
      : []),
    ...(mistrals && params.rope_theta === undefined
      ? [`params.json does not say rope_theta: Mistral's code takes ${theta}`]
      : []),
  ]
  return { config: { values, from: path }, notes }
}

/** Mistral's params.json says the two sizes that Meta's code computes. */
function isMistrals(params: JsonObject): boolean {
  return params.head_dim !== undefined && params.hidden_dim !== undefined
}

/** What Mistral's code takes where a params.json does not say it; its first models had a window, and 10^4. */
function mistralTheta({ sliding_window }: JsonObject): number {
  return sliding_window === undefined || sliding_window === null ? 1e6 : 1e4
}

/** What the 7B releases have. */
const mistralLength = 32768

/** @throws input error for models that need another graph than LLaMA's */
function refuseOtherModels(params: JsonObject, path: string): void {
  const others = {
    moe: 'a mixture of experts',
    vision_encoder: 'a model of images too',
    yarn: 'a model with YaRN',
    llama_4_scaling: 'a model with scaled attention',
    quantization: 'a quantized model',
  }
  for (const [field, what] of Object.entries(others)) {
    if (params[field] === undefined || params[field] === null) continue
    throw inputError(`it is ${what} ("${field}"), which is not read from this layout`, {
      path,
      suggestions: [
        'Take the files with Hugging Face’s names (model-*.safetensors) and their config.json.',
      ],
    })
  }
}

/** What the released models of these values were trained for. */
function contextLength(model: {
  scaled: boolean
  third: boolean
  theta: number
  epsilon: number
  dim: number | undefined
  grouped: boolean
}): number {
  if (model.scaled) return 131072
  if (model.third) return 8192
  // Code Llama.
  if (model.theta === 1e6) return 16384
  // LLaMA 2 has another epsilon than LLaMA 1, but for the 65B model.
  const first65b = model.dim === 8192 && !model.grouped
  return model.epsilon === 1e-5 && !first65b ? 4096 : 2048
}

/** LLaMA 3.2's two small models have a factor of their own, which their params.json does not say. */
function scalingFactor(dim: number | undefined, layers: number | undefined): number {
  const small = (dim === 2048 && layers === 16) || (dim === 3072 && layers === 28)
  return small ? 32 : scaling.factor
}

/**
 * The params.json that Meta's code builds this model from. A field is left out
 * where the code of the first generations does not know it and it says nothing.
 * @returns the fields, what readers assume in the place of others, and what is lost
 */
export function paramsFromConfig(config: ModelConfig): {
  params: JsonObject
  notes: string[]
  losses: Loss[]
} {
  const { hidden_size: dim, num_hidden_layers: layers, rope_scaling } = config
  const rounding = intermediateRule(dim, config.intermediate_size)
  const scaled = rope_scaling === null ? {} : scaledRope(config)
  const losses = lossesOf(config, {
    reader: 'Meta’s code',
    window: false,
    scaling: scaled !== undefined,
    headDim: false,
  })
  if (rounding === undefined) {
    losses.push({
      field: 'intermediate_size',
      what: 'Meta’s code computes the intermediate size, and no multiple_of and ffn_dim_multiplier make this one',
      from: config.intermediate_size,
      to: intermediateOf(dim, { multiple_of: 1 }),
      since: null,
    })
  }
  const params = {
    dim,
    ...rounding,
    n_heads: config.num_attention_heads,
    ...(config.num_key_value_heads === config.num_attention_heads
      ? {}
      : { n_kv_heads: config.num_key_value_heads }),
    n_layers: layers,
    norm_eps: config.rms_norm_eps,
    ...(config.rope_theta === defaults.rope_theta ? {} : { rope_theta: config.rope_theta }),
    ...scaled,
    vocab_size: config.vocab_size,
  }
  return { params, notes: lostOf(config, params), losses }
}

/** What reading the params.json back would take for something else. */
function lostOf(config: ModelConfig, params: JsonObject): string[] {
  const back = { ...configDefaults, ...configFromParams(params, '', undefined).config.values }
  const fields = ['max_position_embeddings', 'bos_token_id', 'eos_token_id'] as const
  return fields
    .filter((field) => JSON.stringify(config[field]) !== JSON.stringify(back[field]))
    .map((field) => {
      const [own, assumed] = [JSON.stringify(config[field]), JSON.stringify(back[field])]
      return `params.json has no word for ${field} ${own}; who reads it back assumes ${assumed}`
    })
}

/** The fields for a scaling that Meta's code has, or undefined. */
function scaledRope({ rope_scaling, hidden_size, num_hidden_layers }: ModelConfig) {
  const { factor, high_freq_factor, ...fixed } = { ...scaling, ...rope_scaling }
  const { factor: _, high_freq_factor: __, ...expected } = scaling
  const known = Object.entries(expected).every(
    ([field, value]) => Object.entries(fixed).find(([name]) => name === field)?.[1] === value,
  )
  if (!known || rope_scaling?.rope_type !== 'llama3') return undefined
  return {
    use_scaled_rope: true,
    ...(factor === scalingFactor(hidden_size, num_hidden_layers)
      ? {}
      : { rope_scaling_factor: factor }),
    ...(high_freq_factor === scaling.high_freq_factor
      ? {}
      : { rope_high_freq_factor: high_freq_factor }),
  }
}

/** What the releases have, tried first. */
const released: readonly IntermediateRule[] = [
  { multiple_of: 256 },
  { multiple_of: 256, ffn_dim_multiplier: 1.5 },
  { multiple_of: 4096, ffn_dim_multiplier: 1.3 },
  { multiple_of: 1024, ffn_dim_multiplier: 1.3 },
  { multiple_of: 4096, ffn_dim_multiplier: 1.2 },
]

interface IntermediateRule {
  multiple_of: number
  ffn_dim_multiplier?: number
}

/**
 * Meta's code computes the intermediate size: 4 dim · 2/3, times a multiplier,
 * rounded up to a multiple.
 */
export function intermediateOf(
  dim: number,
  { multiple_of, ffn_dim_multiplier = 1 }: IntermediateRule,
): number {
  const inner = Math.trunc(ffn_dim_multiplier * Math.trunc((2 * 4 * dim) / 3))
  return multiple_of * Math.ceil(inner / multiple_of)
}

/** The rule that gives an intermediate size: a release's, or the roundest. */
function intermediateRule(dim: number, intermediate: number): IntermediateRule | undefined {
  const powers = [256, 128, 64, 32, 16, 8, 4, 2, 1].map((multiple_of) => ({ multiple_of }))
  const multiple = powers.find(({ multiple_of }) => intermediate % multiple_of === 0)
  const ratio = intermediate / Math.trunc((2 * 4 * dim) / 3)
  // The fewer digits the better.
  const multiplied = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((digits) => {
    const scale = 10 ** digits
    return [Math.floor(ratio * scale), Math.ceil(ratio * scale)].flatMap((figure) =>
      multiple ? [{ ...multiple, ffn_dim_multiplier: figure / scale }] : [],
    )
  })
  return [...released, ...powers, ...multiplied].find(
    (rule) => intermediateOf(dim, rule) === intermediate,
  )
}

function positive(params: JsonObject, name: string, path: string): number | undefined {
  const value = params[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && value > 0) return value
  throw inputError(`${name} is ${JSON.stringify(value)}, a positive number is expected`, { path })
}

function whole(params: JsonObject, name: string, path: string): number | undefined {
  const value = positive(params, name, path)
  if (value === undefined || Number.isSafeInteger(value)) return value
  throw inputError(`${name} is ${value}, a whole number is expected`, { path })
}
