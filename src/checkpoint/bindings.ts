import type { Architecture, Binding, Naming, SizeName } from '../architectures/architecture.js'
import { inputError } from '../io/errors.js'
import { dtypes } from '../types/dtype.js'
import type { StoredArray } from './checkpoint.js'
import type { ModelConfig } from './config.js'
import { shown } from './geometry.js'
import { roleOf } from './names.js'
import type { Extent, Part } from './tensor.js'

/**
 * Takes arrays that have the rows of several tensors apart, into arrays of one tensor each whose
 * parts lie in the bytes of the whole.
 * @param values the configuration, which says how many rows each has
 * @returns the arrays, and the names of those that were taken apart
 * @throws input error where the rows are not as many as the configuration makes them
 */
export function unbind(
  architecture: Architecture,
  naming: Naming,
  arrays: readonly StoredArray[],
  values: Partial<ModelConfig>,
  where: { format: string; path: string },
): { arrays: StoredArray[]; bound: string[] } {
  const bindings = architecture.bindings[naming] ?? []
  const bound: string[] = []
  const apart = arrays.flatMap((array) => {
    const found = bindingOf(bindings, array.name)
    if (found === undefined) return [array]
    bound.push(array.name)
    return rowsOf(architecture, naming, array, found, values, where)
  })
  return { arrays: apart, bound }
}

/** The binding that a stored name is of, with the layer in its names. */
function bindingOf(bindings: readonly Binding[], name: string): Binding | undefined {
  for (const { stored, rows } of bindings) {
    const [before = '', after = ''] = stored.split('{i}')
    if (!name.startsWith(before) || !name.endsWith(after)) continue
    const layer = name.slice(before.length, name.length - after.length)
    if (String(Number(layer)) !== layer) continue
    return { stored: name, rows: rows.map((each) => each.replace('{i}', layer)) }
  }
  return undefined
}

function rowsOf(
  architecture: Architecture,
  naming: Naming,
  array: StoredArray,
  { rows: names }: Binding,
  values: Partial<ModelConfig>,
  where: { format: string; path: string },
): StoredArray[] {
  const roles = names.flatMap((name) => roleOf(architecture, name, naming)?.role ?? [])
  const counts = roles.map(({ shape }) => sizeOf(shape[0], values))
  const [all = 0, ...others] = array.shape
  const sum = counts.reduce((total, count) => total + count, 0)
  if (roles.length !== names.length || sum !== all) {
    throw inputError(
      `its shape is ${shown(array.shape)}; ${names.join(', ')} are ${sum} rows by the configuration`,
      { ...where, tensor: array.name, suggestions: ['Give the configuration of this checkpoint.'] },
    )
  }
  let begin = 0
  return names.map((name, i) => {
    const count = counts[i] ?? 0
    const shape = [count, ...others]
    const isVector = others.length === 0
    const parts = array.parts.map((part) => cut(part, array, begin, count, isVector))
    begin += count
    return { ...array, name, shape, parts }
  })
}

/** A size by the configuration; 0 where it does not say. */
function sizeOf(name: SizeName | undefined, values: Partial<ModelConfig>): number {
  const { num_attention_heads: heads = 0, num_key_value_heads: keyHeads = heads } = values
  const { hidden_size: hidden = 0, intermediate_size: intermediate = 0, vocab_size = 0 } = values
  const { head_dim: head = heads > 0 ? hidden / heads : 0 } = values
  const sizes: Record<SizeName, number> = {
    vocab: vocab_size,
    hidden,
    intermediate,
    query: heads * head,
    key: keyHeads * head,
    head,
  }
  return name === undefined ? 0 : sizes[name]
}

/** Some rows of a part that has them all, whole, one after the other; or elements of a vector. */
function cut(
  part: Part,
  { dtype, transposed, name }: StoredArray,
  begin: number,
  count: number,
  isVector: boolean,
): Part {
  if (transposed || part.row !== 0 || part.column !== 0 || part.pitch !== part.columns) {
    throw new Error(`${name} does not lie row after row in one piece`)
  }
  const { block, bytes } = dtypes[dtype]
  const perRow = isVector ? 1 : part.pitch
  const toBytes = (elements: number) => (elements / block) * bytes
  const extents = slice(part.extents, toBytes(begin * perRow), toBytes(count * perRow))
  return isVector
    ? { ...part, columns: count, pitch: count, extents }
    : { ...part, rows: count, extents }
}

/** A run of the bytes that several extents make up. */
function slice(extents: readonly Extent[], at: number, length: number): Extent[] {
  const found: Extent[] = []
  let start = 0
  for (const extent of extents) {
    const from = Math.max(at, start)
    const to = Math.min(at + length, start + extent.length)
    if (from < to) {
      found.push({ ...extent, offset: extent.offset + from - start, length: to - from })
    }
    start += extent.length
  }
  return found
}
