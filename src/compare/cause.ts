import { architectureOf } from '../architectures/index.js'
import { embeddingName, headName } from '../architectures/roles.js'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { ModelConfig } from '../checkpoint/config.js'
import { roleOf } from '../checkpoint/names.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { giveWay } from '../io/interruption.js'
import { tensorOf } from './diff.js'
import { type LoadedTensor, loadTensor, type WeightFault } from './weights.js'

/**
 * What may have become of a tensor, tried one after the other: whether the artifact's is what that
 * mistake makes of the source's, within what the rounding between their types leaves.
 */
export async function causeOf(
  fault: WeightFault,
  artifact: Checkpoint,
  source: Checkpoint,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { name, outliers, worst, zero } = fault
  const limit = Math.max(fault.limit, leastLimit)
  const [value, right] = worst.values
  const place = `at row ${worst.row}, column ${worst.column}`
  if (zero) return 'its values are all zero'
  if (Number.isNaN(value)) {
    return outliers === 1 ? `one value is NaN, ${place}` : `${outliers} values are NaN or far off`
  }
  if (outliers === 1) {
    const bit = flippedBit(value, right)
    const what = bit === undefined ? 'one value is wrong' : `one bit of an exponent is flipped`
    return `${what}: ${value} for ${right} ${place}`
  }
  const { config } = source
  const ours = tensorOf(artifact, name)
  const theirs = tensorOf(source, name)
  if (ours === undefined || theirs === undefined) return undefined
  const actual = loadTensor(ours, config.head_dim)
  const own = loadTensor(theirs, config.head_dim)
  const turned = transposed(own)
  if (turned !== undefined && isNear(actual, turned, limit)) return 'it is left transposed'
  const role = roleOf(architectureOf(config), name, 'hf')?.role
  if (role?.rotary) {
    const [a, b] = role.shape.length === 1 ? [asRows(actual), asRows(own)] : [actual, own]
    const order = rotaryCause(a, b, config, role.shape[0] === 'key', limit)
    if (order !== undefined) return order
  }
  const other = await nearest(actual, theirs, sameShape(name, source, config), source, signal)
  // Norms of neighbouring layers are much alike: only one that explains what is seen is named.
  if (other === undefined || other.distance > Math.min(limit, fault.distance / 4)) return undefined
  return other.name === embeddingName && name === headName
    ? 'it is the embedding: the output head was taken to be tied'
    : `it has the values of ${other.name}`
}

/** Of what was only copied, arithmetic leaves this much. */
const leastLimit = 1e-6

/** Of some tensors of the source, of one's own shape, the one whose values are the nearest. */
async function nearest(
  actual: LoadedTensor,
  own: Tensor,
  names: readonly string[],
  source: Checkpoint,
  signal: AbortSignal | undefined,
): Promise<{ name: string; distance: number } | undefined> {
  let best: { name: string; distance: number } | undefined
  for (const name of names) {
    await giveWay(signal)
    const tensor = tensorOf(source, name)
    if (tensor === undefined || String(tensor.shape) !== String(own.shape)) continue
    const distance = distanceOf(actual, loadTensor(tensor, source.config.head_dim))
    if (best === undefined || distance < best.distance) best = { name, distance }
  }
  return best
}

/** Where values differ by one bit of an f32's exponent, which one; f16's show as the same powers. */
function flippedBit(value: number, right: number): number | undefined {
  if (value === 0 || right === 0) return undefined
  const power = Math.abs(Math.log2(Math.abs(value / right)))
  const bit = Math.round(Math.log2(power))
  return Math.abs(power - 2 ** bit) < 1e-6 * 2 ** bit && bit >= 0 && bit < 8 ? bit : undefined
}

/** Rows in the wrong order within heads, of as many heads as there are or as the queries have. */
function rotaryCause(
  actual: LoadedTensor,
  own: LoadedTensor,
  config: ModelConfig,
  isKey: boolean,
  limit: number,
): string | undefined {
  const { num_attention_heads, num_key_value_heads, head_dim } = config
  const whole = num_key_value_heads * head_dim
  const sizes: [headDim: number, what: string][] = [
    [head_dim, ''],
    ...(isKey && num_key_value_heads !== num_attention_heads
      ? [[whole / num_attention_heads, ', with the number of query heads'] as [number, string]]
      : []),
    ...[2, 4, 1 / 2, 1 / 4].map((factor): [number, string] => [
      head_dim / factor,
      `, with ${factor} times the number of heads`,
    ]),
  ]
  for (const [size, how] of sizes) {
    if (!Number.isInteger(size) || size < 4 || size % 2 !== 0) continue
    for (const order of ['half', 'interleaved'] as const) {
      const moved = permuted(own, size, order)
      if (isNear(actual, moved, limit)) {
        const left =
          order === 'interleaved'
            ? 'its rows are in interleaved rotary order'
            : 'its rows are in half-split rotary order twice over'
        return `the rotary permutation is wrong${how}: ${left}`
      }
      // Done with the wrong heads, and undone with the right ones by whoever reads it; or before.
      const undone = opposite(order)
      const after = permuted(moved, head_dim, undone)
      const before = permuted(permuted(own, head_dim, undone), size, order)
      if (size !== head_dim && (isNear(actual, after, limit) || isNear(actual, before, limit))) {
        return `the rotary permutation is wrong${how}`
      }
    }
  }
  return undefined
}

/** The elements of a bias as what they are turned like: the rows of its matrix. */
function asRows({ rows, columns, values }: LoadedTensor): LoadedTensor {
  return { rows: columns, columns: rows, values }
}

function opposite(order: 'half' | 'interleaved'): 'half' | 'interleaved' {
  return order === 'half' ? 'interleaved' : 'half'
}

/** Rows of each head brought from one rotary order to the other. */
function permuted(
  { rows, columns, values }: LoadedTensor,
  headDim: number,
  to: 'half' | 'interleaved',
): LoadedTensor {
  const result = new Float32Array(values.length)
  const half = headDim / 2
  for (let row = 0; row < rows; row++) {
    const within = row % headDim
    const from =
      to === 'interleaved'
        ? (within % 2) * half + Math.floor(within / 2)
        : (within % half) * 2 + Math.floor(within / half)
    const source = row - within + from
    result.set(values.subarray(source * columns, (source + 1) * columns), row * columns)
  }
  return { rows, columns, values: result }
}

function transposed({ rows, columns, values }: LoadedTensor): LoadedTensor | undefined {
  if (rows !== columns) return undefined
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = values[row * columns + column] ?? 0
    }
  }
  return { rows, columns, values: result }
}

/** Tensors that might have been taken in the place of one: of the same layer, and its neighbours. */
function sameShape(name: string, { tensors }: Checkpoint, config: ModelConfig): string[] {
  if (name === headName) return [embeddingName]
  if (name === embeddingName) return [headName]
  const layer = layerOf(name)
  const near = (other: string) => {
    const its = layerOf(other)
    return its !== undefined && layer !== undefined && Math.abs(its - layer) <= 1
  }
  const within = [...tensors.keys()].filter((other) => other !== name && near(other))
  const role = name.replace(/\.\d+\./, '.')
  const elsewhere = Array.from({ length: config.num_hidden_layers }, (_, i) => i)
    .map((i) => role.replace('layers.', `layers.${i}.`))
    .filter((other) => other !== name && !within.includes(other))
  return [...within, ...elsewhere]
}

export function layerOf(name: string): number | undefined {
  const [, layer] = /\.layers\.(\d+)\./.exec(name) ?? []
  return layer === undefined ? undefined : Number(layer)
}

function isNear(a: LoadedTensor, b: LoadedTensor, limit: number): boolean {
  return distanceOf(a, b) <= limit
}

/** Σ (a − b)² / Σ b²; infinite where the shapes are not the same. */
function distanceOf(a: LoadedTensor, b: LoadedTensor): number {
  if (a.rows !== b.rows || a.columns !== b.columns) return Infinity
  let squares = 0
  let total = 0
  for (let i = 0; i < a.values.length; i++) {
    const y = b.values[i] ?? 0
    const difference = (a.values[i] ?? 0) - y
    squares += difference * difference
    total += y * y
  }
  return total > 0 ? squares / total : Infinity
}
