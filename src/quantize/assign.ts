import { usageError } from '../io/errors.js'
import { dtypes, isBlock, recordOf } from '../types/dtype.js'
import { type GgmlType, ggmlBytes, isGgmlType, parseGgmlType } from '../types/ggml.js'
import {
  type MixModel,
  type MixName,
  mixes,
  mixRoleOf,
  mixType,
  quantizationVersion,
} from './mixes.js'

/** A tensor of the GGUF file to be written. */
export interface PlainTensor {
  /** Its GGUF name. */
  name: string
  /** Rows first, columns last. */
  shape: readonly number[]
  /** The type it has where it is not quantized. */
  type: GgmlType
}

/** Tensors whose name matches get this type, whatever the mix says. */
export interface TypeOverride {
  pattern: RegExp
  type: GgmlType
}

/** What llama-quantize's users know as its options. */
export interface AssignOptions {
  mix: MixName
  /** Gives all tensors the mix's plain type. */
  pure?: boolean
  outputType?: GgmlType
  tokenEmbeddingType?: GgmlType
  /** The first that matches counts. */
  overrides?: readonly TypeOverride[]
  /** Leaves `output.weight` as it is. */
  leaveOutput?: boolean
  /** Whether there is an importance matrix: some mixes then choose otherwise. */
  importance?: boolean
}

/** A tensor whose rows do not fill blocks of the type it should have. */
interface Fallback {
  tensor: string
  wanted: GgmlType
  got: GgmlType
  /** A clause with both numbers. */
  reason: string
}

interface AssignedTensor {
  name: string
  shape: readonly number[]
  type: GgmlType
  bytes: number
}

export interface Assignment {
  /** In the order given. */
  tensors: AssignedTensor[]
  fallbacks: Fallback[]
  /** Bytes of all tensors, without padding. */
  bytes: number
  bitsPerWeight: number
  /** `general.file_type` and `general.quantization_version`. */
  fileType: number
  quantizationVersion: number
}

/**
 * Which tensor gets which type, as llama-quantize chooses. Where it stops because a type has no
 * fallback (rows of no whole 32), the tensor becomes F16, and the fallback is listed.
 */
export function assignTypes(
  tensors: readonly PlainTensor[],
  geometry: MixModel,
  options: AssignOptions,
): Assignment {
  const fallbacks: Fallback[] = []
  const types = new Map<string, GgmlType>()
  const choose = chooser(tensors, geometry, options)
  for (const tensor of inModelOrder(tensors)) {
    if (!isQuantized(tensor, options)) {
      types.set(tensor.name, tensor.type)
      continue
    }
    const wanted = choose(tensor)
    const got = fitting(wanted, columnsOf(tensor))
    types.set(tensor.name, got)
    if (got !== wanted) fallbacks.push(fallback(tensor, wanted, got))
  }
  const assigned = tensors.map(({ name, shape, type }) => {
    const own = types.get(name) ?? type
    return { name, shape, type: own, bytes: ggmlBytes(own, shape) }
  })
  const bytes = assigned.reduce((sum, tensor) => sum + tensor.bytes, 0)
  const weights = assigned.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
  return {
    tensors: assigned,
    fallbacks,
    bytes,
    bitsPerWeight: weights === 0 ? 0 : (8 * bytes) / weights,
    fileType: mixes[options.mix].fileType,
    quantizationVersion,
  }
}

/** `REGEX=TYPE`, split at the first `=`, as `--tensor-type` takes it. Case makes no difference. */
export function parseTypeOverride(text: string): TypeOverride {
  const at = text.indexOf('=')
  if (at <= 0 || at === text.length - 1) {
    throw usageError(`"${text}" is not of the form REGEX=TYPE`, {
      suggestions: ["For example `tensorTypes` 'attn_v=q8_0'."],
    })
  }
  const source = text.slice(0, at)
  try {
    return { pattern: new RegExp(source, 'i'), type: parseGgmlType(text.slice(at + 1)) }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw usageError(`"${source}" is no regular expression: ${error.message}`, { cause: error })
  }
}

/**
 * Holds overrides against the tensors that they are for.
 * @throws usage error for one that changes nothing, with the names nearest to it
 */
export function checkOverrides(
  overrides: readonly TypeOverride[],
  tensors: readonly PlainTensor[],
): void {
  for (const { pattern, type } of overrides) {
    const matched = tensors.filter(({ name }) => pattern.test(name))
    if (matched.some((tensor) => isQuantized(tensor, {}))) continue
    const given = `\`tensorTypes\` "${pattern.source}=${type}"`
    const [first] = matched
    throw usageError(
      first === undefined
        ? `${given} matches no tensor`
        : `${given} matches only tensors that are never quantized, such as ${first.name}`,
      {
        suggestions: [
          `Nearest are ${nearest(pattern.source, tensors).join(', ')}; the pattern is a regular expression on GGUF's names.`,
        ],
      },
    )
  }
}

/** Names of quantized tensors, one of each kind, the likest to a pattern first. */
function nearest(pattern: string, tensors: readonly PlainTensor[]): string[] {
  const words = pattern.toLowerCase().match(/[a-z_]{2,}/g) ?? []
  const kinds = new Map<string, string>()
  for (const tensor of tensors) {
    const kind = tensor.name.replace(/^blk\.\d+\.|\.weight$/g, '')
    if (isQuantized(tensor, {}) && !kinds.has(kind)) kinds.set(kind, tensor.name)
  }
  const distance = (kind: string) => Math.min(...words.map((word) => editDistance(word, kind)))
  return [...kinds]
    .sort(([a], [b]) => distance(a) - distance(b))
    .slice(0, 3)
    .map(([, name]) => name)
}

/** Letters to put in, take out or exchange until one word is the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const exchanged = (row[j] ?? 0) + (letter === b[j] ? 0 : 1)
      next.push(Math.min(exchanged, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

/** Matrices are quantized, but for norms (of which none is a matrix in LLaMA) and biases. */
function isQuantized(
  { name, shape }: PlainTensor,
  { leaveOutput }: Pick<AssignOptions, 'leaveOutput'>,
): boolean {
  if (shape.length < 2 || !name.endsWith('weight') || name.endsWith('_norm.weight')) return false
  return !(leaveOutput && name === 'output.weight')
}

/** Gives each tensor its type; called in the model's order, since layers are counted. */
function chooser(
  tensors: readonly PlainTensor[],
  geometry: MixModel,
  options: AssignOptions,
): (tensor: PlainTensor) => GgmlType {
  const { mix, pure, outputType, tokenEmbeddingType, overrides = [] } = options
  const roles = tensors.map(({ name }) => mixRoleOf(name))
  const tied = !roles.includes('output')
  const values = roles.filter((role) => role === 'attn_v').length
  const seen = { attn_v: 0, ffn_down: 0 }

  return ({ name }) => {
    const role = mixRoleOf(name)
    if (role === 'embedding' && tokenEmbeddingType) return tokenEmbeddingType
    if (role === 'output' && outputType) return outputType
    const override = overrides.find(({ pattern }) => pattern.test(name))
    if (override) return override.type
    if (pure) return mixes[mix].type
    const asOutput = role === 'output' || (role === 'embedding' && tied)
    if (asOutput && outputType) return outputType
    // Only tensors left to the mix are counted: an override moves the following layers up.
    const index = role === 'attn_v' || role === 'ffn_down' ? seen[role]++ : 0
    return mixType(mix, {
      role: asOutput ? 'output' : role,
      index,
      count: role === 'attn_v' ? values : geometry.layers,
      geometry,
      importance: options.importance ?? false,
    })
  }
}

/** Tensors outside the layers first, then layer by layer, in each by name. */
function inModelOrder(tensors: readonly PlainTensor[]): PlainTensor[] {
  const layerOf = ({ name }: PlainTensor) => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1)
  return [...tensors].sort(
    (a, b) => layerOf(a) - layerOf(b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  )
}

function fitting(wanted: GgmlType, columns: number): GgmlType {
  const fits = (type: GgmlType) => columns % dtypes[type].block === 0
  if (fits(wanted)) return wanted
  const { standIn = '' } = recordOf(wanted)
  return isGgmlType(standIn) && fits(standIn) ? standIn : 'f16'
}

function fallback(tensor: PlainTensor, wanted: GgmlType, got: GgmlType): Fallback {
  const columns = columnsOf(tensor)
  const needed = isBlock(got) ? dtypes[wanted].block : 32
  return {
    tensor: tensor.name,
    wanted,
    got,
    reason: `rows of ${columns} are no multiple of ${needed}`,
  }
}

function columnsOf({ shape }: PlainTensor): number {
  return shape.at(-1) ?? 1
}
