import type { Architecture, Naming, SizeName, Switch } from '../architectures/architecture.js'
import { inputError, usageError } from '../io/errors.js'
import type { ExactJson } from '../io/exact-json.js'
import { configDefaults, defaultsOf, type ModelConfig } from './config.js'
import { allTensors, canonicalName, nameIn, roleOf } from './names.js'
import { presets } from './presets.js'

/** A tensor's name and its shape in Hugging Face's orientation. */
export interface Shape {
  storedName: string
  shape: readonly number[]
}

/** Something for each size; rows of a head are seen only where heads have norms. */
export type BySize<T> = Record<Exclude<SizeName, 'head'>, T> & { head?: T }

/** The sizes that a checkpoint's tensors have, and which tensor says so. */
export interface MeasuredGeometry {
  sizes: BySize<number>
  layers: number
  evidence: BySize<Shape>
  /** What is switched on, and a tensor that shows it. */
  switches: ReadonlyMap<Switch, Shape | undefined>
}

/**
 * Reads the geometry off the shapes. Every tensor of the table must be there,
 * none else, and all must agree.
 * @param architecture of the model
 * @param shapes by Hugging Face's names, shapes as [out, in]
 * @param naming whose names to tell the user
 * @param claimed what a configuration switches on, where there is one
 * @throws input error that lists what is missing, unknown, or disagrees
 */
export function measureGeometry(
  architecture: Architecture,
  shapes: ReadonlyMap<string, Shape>,
  naming: Naming,
  claimed: Partial<Record<Switch, boolean>>,
  where: { format: string; path: string },
): MeasuredGeometry {
  const layers = countLayers(architecture, shapes, where)
  const switches = switchesOf(architecture, shapes, claimed)
  const missing: string[] = []
  const sizes: Partial<Record<SizeName, number>> = {}
  const evidence: Partial<Record<SizeName, Shape>> = {}
  for (const named of allTensors(architecture, layers, (name) => switches.has(name))) {
    const found = shapes.get(canonicalName(named))
    if (found === undefined) {
      if (named.role.presence !== 'untied') {
        missing.push(nameIn(named, naming) ?? canonicalName(named))
      }
      continue
    }
    if (found.shape.length !== named.role.shape.length) {
      throw inputError(
        `its shape is ${shown(found.shape)}, one of ${named.role.shape.length} dimensions is expected`,
        { ...where, tensor: found.storedName },
      )
    }
    named.role.shape.forEach((field, axis) => {
      const size = found.shape[axis] ?? 0
      const known = sizes[field]
      const first = evidence[field]
      if (size === 0)
        throw inputError(`its shape is ${shown(found.shape)}: it has no elements`, {
          ...where,
          tensor: found.storedName,
        })
      if (known !== undefined && first !== undefined && known !== size) {
        throw inputError(
          `its shape is ${shown(found.shape)}, where ${fieldNames[field]} is ${size}; by "${first.storedName}" ${shown(first.shape)} it is ${known}`,
          {
            ...where,
            tensor: found.storedName,
            suggestions: ['The tensors are not of one model; check where they come from.'],
          },
        )
      }
      sizes[field] = size
      evidence[field] ??= found
    })
  }
  if (missing.length > 0) {
    throw inputError(`${count(missing.length, 'tensor')} missing: ${list(missing)}`, {
      ...where,
      suggestions: ['The checkpoint is incomplete; are all of its files here?'],
    })
  }
  return { sizes: complete(sizes), layers, evidence: complete(evidence), switches }
}

/** Where a configuration, or a part of one, comes from. */
export interface ConfigSource {
  values: Partial<ModelConfig>
  /** The class that a config.json names. */
  architecture?: string
  /** As the user knows it: a path, or a preset's name. */
  from: string
  /** The config.json, where it is one: what is written keeps the spelling of its numbers. */
  document?: { path: string; json: ExactJson }
}

/**
 * Resolves the configuration from what is given and what the shapes say.
 * @param given the user's or the checkpoint's own configuration, where there is one
 * @param heads the number of attention heads, where the user gives it
 * @returns the configuration, and warnings about what had to be assumed
 * @throws input error where configuration and shapes disagree; usage error where the shapes leave
 *   the head count open
 */
export function resolveConfig(
  measured: MeasuredGeometry,
  given: ConfigSource | undefined,
  heads: number | undefined,
  tied: boolean,
  path: string,
): { config: ModelConfig; warnings: string[] } {
  const { sizes, layers } = measured
  const shapes = {
    vocab_size: sizes.vocab,
    hidden_size: sizes.hidden,
    intermediate_size: sizes.intermediate,
    num_hidden_layers: layers,
  }
  if (given) disagreements(given, shapes, measured, path)
  const switches = Object.fromEntries([...measured.switches.keys()].map((name) => [name, true]))

  const warnings: string[] = []
  const fitting = presetsOf(measured)
  const preset = fitting[0]
  const base = given?.values ?? (preset && heads === undefined ? preset.config : {})
  if (!given && preset && heads === undefined) {
    warnings.push(
      `no configuration is given; the shapes are those of ${preset.name}, which is assumed`,
    )
    warnings.push(...differences(preset, fitting))
  } else if (!given) {
    const { max_position_embeddings, rms_norm_eps, rope_theta } = configDefaults
    warnings.push(
      `no configuration is given; assumed are max_position_embeddings ${max_position_embeddings}, rms_norm_eps ${rms_norm_eps} and rope_theta ${rope_theta} (\`config\` says otherwise)`,
    )
  }

  const headCount =
    heads ?? base.num_attention_heads ?? preset?.config.num_attention_heads ?? headsOfNorm(sizes)
  if (headCount === undefined) throw openHeadCount(measured, path)
  if (sizes.query % headCount !== 0) {
    throw inputError(
      `${headCount} attention heads do not divide the ${sizes.query} rows of "${measured.evidence.query.storedName}"`,
      { path, suggestions: ['Check `config` or `heads`.'] },
    )
  }
  const headDim = sizes.query / headCount
  if (base.head_dim !== undefined && heads === undefined && base.head_dim !== headDim) {
    throw inputError(
      `${given?.from ?? path} has head_dim ${base.head_dim} and ${headCount} heads, together ${base.head_dim * headCount}; "${measured.evidence.query.storedName}" has ${sizes.query} rows`,
      { path, suggestions: ['Check `config`: it is not of this checkpoint.'] },
    )
  }
  const { head } = measured.evidence
  if (head !== undefined && sizes.head !== headDim) {
    throw inputError(
      `${headCount} attention heads have ${headDim} of the ${sizes.query} rows of "${measured.evidence.query.storedName}" each; "${head.storedName}" has ${sizes.head}`,
      { path, suggestions: ['Check `config` or `heads`: it is not of this checkpoint.'] },
    )
  }
  if (headDim % 2 !== 0) {
    throw inputError(`head_dim would be ${headDim}: rotary embedding needs an even one`, {
      path,
      suggestions: ['Check `config` or `heads`.'],
    })
  }
  if (sizes.key % headDim !== 0) {
    throw inputError(
      `the ${sizes.key} rows of "${measured.evidence.key.storedName}" are not whole heads of ${headDim}`,
      { path, suggestions: ['Check the number of attention heads: `config` or `heads`.'] },
    )
  }
  const keyHeads = sizes.key / headDim
  const claimed = base.num_key_value_heads
  if (claimed !== undefined && heads === undefined && claimed !== keyHeads) {
    throw inputError(
      `${given?.from ?? path} has num_key_value_heads ${claimed}, which with head_dim ${headDim} makes ${claimed * headDim} rows; "${measured.evidence.key.storedName}" has ${sizes.key}`,
      { path, suggestions: ['Check `config`: it is not of this checkpoint.'] },
    )
  }
  if (headCount % keyHeads !== 0) {
    throw inputError(`${headCount} attention heads cannot share ${keyHeads} key-value heads`, {
      path,
      suggestions: ['Check `config` or `heads`.'],
    })
  }
  // Without a word from a configuration, a stream that lost its last record would pass for tied.
  if (tied && given === undefined) {
    throw inputError('there is no output head', {
      path,
      suggestions: [
        'The checkpoint is incomplete; or, where the embedding serves as the head, say so with `config`: a config.json that has "tie_word_embeddings": true.',
      ],
    })
  }
  const { architecture = '' } = given ?? {}
  if (tied && base.tie_word_embeddings !== true && /Model$/.test(architecture)) {
    throw inputError(`there is no output head: it was saved from ${architecture}, which has none`, {
      path,
      suggestions: [
        `Save it from ${architecture.replace(/Model$/, 'ForCausalLM')}; or, where the embedding serves as the head, say so in config.json: "tie_word_embeddings": true.`,
      ],
    })
  }
  if (tied && base.tie_word_embeddings === false) {
    throw inputError(
      `there is no output head, and ${given?.from ?? path} has tie_word_embeddings false`,
      { path, suggestions: ['The checkpoint is incomplete, or the configuration is not its own.'] },
    )
  }
  if (tied && base.tie_word_embeddings === undefined) {
    warnings.push('there is no output head: the embedding is taken to serve as one (tied)')
  }
  for (const [name, shape] of measured.switches) {
    if (given?.document === undefined || base[name] !== undefined || shape === undefined) continue
    warnings.push(
      `${given.from} does not say ${name}, and "${shape.storedName}" is there: it is taken to be true`,
    )
  }
  const config: ModelConfig = {
    ...defaultsOf(base.model_type),
    ...base,
    ...shapes,
    ...switches,
    num_attention_heads: headCount,
    num_key_value_heads: keyHeads,
    head_dim: headDim,
    tie_word_embeddings: base.tie_word_embeddings ?? tied,
  }
  return { config, warnings }
}

const fieldNames: Record<SizeName, string> = {
  vocab: 'the vocabulary',
  hidden: 'the hidden size',
  intermediate: 'the intermediate size',
  query: 'heads × head_dim',
  key: 'key-value heads × head_dim',
  head: 'head_dim',
}

function countLayers(
  architecture: Architecture,
  shapes: ReadonlyMap<string, Shape>,
  where: { format: string; path: string },
): number {
  let layers = 0
  for (const name of shapes.keys()) {
    const layer = roleOf(architecture, name, 'hf')?.layer
    if (layer !== undefined) layers = Math.max(layers, layer + 1)
  }
  // A layer number far beyond the number of tensors is a broken name, not a deep model.
  if (layers > shapes.size) {
    throw inputError(
      `a tensor is of layer ${layers - 1}, in a checkpoint of ${shapes.size} tensors`,
      where,
    )
  }
  if (layers === 0) {
    throw inputError(`no layer of a ${architecture.title} model is in it`, where)
  }
  return layers
}

/** What is switched on: a configuration says so, or something of it is there. */
function switchesOf(
  architecture: Architecture,
  shapes: ReadonlyMap<string, Shape>,
  claimed: Partial<Record<Switch, boolean>>,
): ReadonlyMap<Switch, Shape | undefined> {
  const seen = new Map<Switch, Shape | undefined>()
  for (const name of architecture.config.switches) if (claimed[name]) seen.set(name, undefined)
  for (const [name, shape] of shapes) {
    const presence = roleOf(architecture, name, 'hf')?.role.presence
    if (presence === undefined || presence === 'always' || presence === 'untied') continue
    if (seen.get(presence) === undefined) seen.set(presence, shape)
  }
  return seen
}

function disagreements(
  given: ConfigSource,
  shapes: Record<'vocab_size' | 'hidden_size' | 'intermediate_size' | 'num_hidden_layers', number>,
  { evidence, switches }: MeasuredGeometry,
  path: string,
): void {
  for (const [name, shape] of switches) {
    if (given.values[name] !== false || shape === undefined) continue
    throw inputError(`${given.from} has ${name} false, and "${shape.storedName}" is there`, {
      path,
      suggestions: ['Give the configuration of this checkpoint with `config`.'],
    })
  }
  const proof = {
    vocab_size: evidence.vocab,
    hidden_size: evidence.hidden,
    intermediate_size: evidence.intermediate,
    num_hidden_layers: undefined,
  }
  for (const field of [
    'hidden_size',
    'intermediate_size',
    'num_hidden_layers',
    'vocab_size',
  ] as const) {
    const claimed = given.values[field]
    if (claimed === undefined || claimed === shapes[field]) continue
    const tensor = proof[field]
    const by = tensor
      ? `by "${tensor.storedName}" ${shown(tensor.shape)} it is`
      : 'the tensors make it'
    throw inputError(`${given.from} has ${field} ${claimed}; ${by} ${shapes[field]}`, {
      path,
      suggestions: ['Give the configuration of this checkpoint with `config`.'],
    })
  }
}

interface Preset {
  name: string
  config: ModelConfig
}

/** The presets with exactly these shapes, whatever their vocabulary. */
function presetsOf({ sizes, layers }: MeasuredGeometry): Preset[] {
  return [...presets]
    .filter(
      ([, config]) =>
        config.hidden_size === sizes.hidden &&
        config.intermediate_size === sizes.intermediate &&
        config.num_hidden_layers === layers &&
        config.num_attention_heads * config.head_dim === sizes.query &&
        config.num_key_value_heads * config.head_dim === sizes.key,
    )
    .map(([name, config]) => ({ name, config }))
}

/** What presets of the same shapes would have otherwise: shapes cannot tell. */
function differences(taken: Preset, fitting: Preset[]): string[] {
  const fields = ['rms_norm_eps', 'rope_theta', 'max_position_embeddings'] as const
  return fitting.flatMap(({ name, config }) => {
    const other = fields
      .filter((field) => config[field] !== taken.config[field])
      .map((field) => `${field} ${config[field]} for ${taken.config[field]}`)
    if (other.length === 0) return []
    return [`${name} has the same shapes, with ${other.join(' and ')} (\`config\` ${name})`]
  })
}

/** The usual rows of a head, by which the possible counts are ordered. */
const usualHeadDims = [128, 64, 100, 96, 80, 256, 48, 40, 32, 20, 16]

function openHeadCount({ sizes }: MeasuredGeometry, path: string): Error {
  const rank = (headDim: number) =>
    (usualHeadDims.indexOf(headDim) + usualHeadDims.length + 1) % (usualHeadDims.length + 1)
  const fitting = headDimsOf(sizes)
    .sort((a, b) => rank(a) - rank(b) || b - a)
    .map((headDim) => `${sizes.query / headDim} (head_dim ${headDim})`)
  return usageError(
    `the shapes leave the number of attention heads open: ${sizes.query} rows of queries and ${sizes.key} of keys would fit ${fitting.length > 0 ? list(fitting, 60) : 'none'}`,
    {
      path,
      suggestions: [
        'Say it with `heads` N, or give the whole configuration: `config` with a config.json or a preset, or a config.json beside the checkpoint.',
      ],
    },
  )
}

/** Where heads have norms, these say how many rows a head has. */
function headsOfNorm({ query, head }: BySize<number>): number | undefined {
  return head === undefined || query % head !== 0 ? undefined : query / head
}

/** All sizes of a head by which the rows of queries and keys are whole heads, evenly shared. */
function headDimsOf({ query, key }: BySize<number>): number[] {
  const found: number[] = []
  for (let headDim = 2; headDim <= key; headDim += 2) {
    if (query % headDim === 0 && key % headDim === 0) found.push(headDim)
  }
  // Query heads in the ratio of key-value heads: whether one divides the other does not depend on headDim.
  return query % key === 0 ? found : []
}

/** The record, once every field has been seen; the table of tensors mentions each. */
function complete<T>(fields: Partial<Record<SizeName, T>>): BySize<T> {
  const { vocab, hidden, intermediate, query, key, head } = fields
  if (!(vocab && hidden && intermediate && query && key)) {
    throw new Error('the table of tensors does not mention every size')
  }
  return { vocab, hidden, intermediate, query, key, ...(head === undefined ? {} : { head }) }
}

export function shown(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`
}

function count(n: number, noun: string): string {
  return n === 1 ? `1 ${noun} is` : `${n} ${noun}s are`
}

/** Names in a sentence: the first few, and how many more. */
export function list(names: readonly string[], most = 8): string {
  const head = names.slice(0, most).join(', ')
  return names.length > most ? `${head} and ${names.length - most} more` : head
}
