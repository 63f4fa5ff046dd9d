import type {
  Architecture,
  Binding,
  Naming,
  SizeName,
  StackBinding,
} from '../architectures/architecture.js'
import { inputError } from '../io/errors.js'
import { type DType, dtypes } from '../types/dtype.js'
import type { StoredArray } from './checkpoint.js'
import type { ModelConfig } from './config.js'
import { shown } from './geometry.js'
import { numbersIn, roleOf, withNumbers } from './names.js'
import { type Extent, type Part, type Tensor, tensorBytes, wholePart } from './tensor.js'

/**
 * Takes arrays that several tensors are in apart, into arrays of one tensor each whose parts lie in
 * the bytes of the whole.
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
    const { pattern, numbers } = numbersIn(array.name)
    const binding = bindings.find(({ op, stored }) => op !== 'add' && stored === pattern)
    if (binding === undefined || binding.op === 'add') return [array]
    bound.push(array.name)
    if (binding.op === 'stack') return stackOf(array, binding, numbers, where)
    const names = binding.tensors.map((name) => withNumbers(name, numbers))
    return rowsOf(architecture, naming, array, names, values, where)
  })
  return { arrays: apart, bound }
}

/** An array that is to be written: one tensor, or those that a binding makes one of. */
export interface PlannedArray {
  /** As the file calls it. */
  name: string
  dtype: DType
  /** Row-major. */
  shape: readonly number[]
  bytes: number
  /** In the order in which their rows lie in it. */
  tensors: readonly Tensor[]
}

/**
 * The arrays of a file that are to hold these tensors, in a naming that keeps no kernels. One that
 * several tensors make stands where the last of them stood.
 * @param asked whether bindings that are written where it is asked for are
 * @throws input error where tensors of one array have different types, and where there
 * are none of those that are asked for
 */
export function bind(
  architecture: Architecture,
  naming: Naming,
  tensors: readonly Tensor[],
  { asked, path }: { asked: boolean; path: string },
): PlannedArray[] {
  const bindings = (architecture.bindings[naming] ?? []).filter(
    (binding) =>
      binding.op === 'stack' || (binding.op === 'rows' && (asked || binding.written === 'always')),
  )
  const wholes = new Map<string, Tensor[]>()
  const wholeOf = ({ storedName }: Tensor): { name: string; binding: Binding } | undefined => {
    const { pattern, numbers } = numbersIn(storedName)
    const binding = bindings.find((each) => membersOf(each).includes(pattern))
    return binding && { binding, name: withNumbers(binding.stored, numbers) }
  }
  for (const tensor of tensors) {
    const name = wholeOf(tensor)?.name
    if (name !== undefined) wholes.set(name, [...(wholes.get(name) ?? []), tensor])
  }
  const arrays = tensors.flatMap((tensor) => {
    const { name, binding } = wholeOf(tensor) ?? {}
    const all = name === undefined ? undefined : wholes.get(name)
    if (name === undefined || binding === undefined || all === undefined) return [alone(tensor)]
    // Where one of them is not there, as some biases may be, the others stay apart.
    if (binding.op === 'rows' && all.length < binding.tensors.length) return [alone(tensor)]
    if (all.at(-1) !== tensor) return []
    return [together(name, binding, inOrder(all, binding), path)]
  })
  if (asked && arrays.length === tensors.length) {
    throw inputError(`no array has several tensors in files of a ${architecture.title} model`, {
      path,
    })
  }
  return arrays
}

/** The tensors of an array that begins there in a file, with their places. */
export function placeIn({ tensors }: PlannedArray, begin: Omit<Extent, 'length'>): Tensor[] {
  let { offset } = begin
  return tensors.map((tensor) => {
    const extent = { ...begin, offset, length: tensorBytes(tensor) }
    offset += extent.length
    return { ...tensor, parts: [wholePart(tensor.shape, [extent])] }
  })
}

function membersOf(binding: Binding): readonly string[] {
  if (binding.op === 'rows') return binding.tensors
  return binding.op === 'stack' ? [binding.tensor] : []
}

function inOrder(tensors: readonly Tensor[], binding: Binding): Tensor[] {
  const members = membersOf(binding)
  const placeOf = ({ storedName }: Tensor): number => {
    const { pattern, numbers } = numbersIn(storedName)
    return binding.op === 'stack' ? (numbers[1] ?? 0) : members.indexOf(pattern)
  }
  return tensors.toSorted((a, b) => placeOf(a) - placeOf(b))
}

function alone(tensor: Tensor): PlannedArray {
  const { storedName: name, dtype, shape } = tensor
  return { name, dtype, shape, bytes: tensorBytes(tensor), tensors: [tensor] }
}

function together(
  name: string,
  binding: Binding,
  tensors: readonly Tensor[],
  path: string,
): PlannedArray {
  const [first] = tensors
  if (first === undefined) throw new Error(`${name} has no tensors`)
  const other = tensors.find(({ dtype }) => dtype !== first.dtype)
  if (other !== undefined) {
    throw inputError(
      `it is of ${other.dtype} and ${first.name} of ${first.dtype}, and ${name} holds both`,
      { path, tensor: other.name, suggestions: ['Give all weights one type.'] },
    )
  }
  const [rows = 0, ...columns] = first.shape
  const all = tensors.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0)
  return {
    name,
    dtype: first.dtype,
    shape: binding.op === 'stack' ? [tensors.length, rows, ...columns] : [all, ...columns],
    bytes: tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
    tensors,
  }
}

/** The matrices of a stack, one after the other. */
function stackOf(
  array: StoredArray,
  { tensor }: StackBinding,
  numbers: readonly number[],
  where: { format: string; path: string },
): StoredArray[] {
  const [count = 0, rows = 0, ...others] = array.shape
  if (others.length !== 1) {
    throw inputError(`its shape is ${shown(array.shape)}, a stack of matrices is expected`, {
      ...where,
      tensor: array.name,
    })
  }
  return Array.from({ length: count }, (_, expert) => ({
    ...array,
    name: withNumbers(tensor, [...numbers.slice(0, 1), expert]),
    shape: [rows, ...others],
    parts: array.parts.map((part) => cut(part, array, expert * rows, rows, false)),
  }))
}

function rowsOf(
  architecture: Architecture,
  naming: Naming,
  array: StoredArray,
  names: readonly string[],
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
