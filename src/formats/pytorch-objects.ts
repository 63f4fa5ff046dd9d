import type { DType } from '../checkpoint/dtype.js'
import { inputError } from '../io/errors.js'
import { type AllowList, isKind, type PickleDict, type PickleValue, printable } from './pickle.js'

/**
 * What the pickle of a torch checkpoint is made of: storages (runs of elements
 * that lie outside the pickle) and tensors (windows on storages).
 */
export type TorchThing =
  | { kind: 'function'; name: TorchFunction }
  | ({ kind: 'type' } & StorageType)
  | ({ kind: 'storage' } & Storage)
  | ({ kind: 'tensor' } & TorchTensor)

export type TorchValue = PickleValue<TorchThing>

export interface StorageType {
  /** torch's: HalfStorage. */
  name: string
  /** Undefined for types that weights are never of. */
  dtype: DType | undefined
  /** Of an element. */
  bytes: number
}

/** A run of elements of one type. */
export interface Storage {
  /** Names the payload. */
  key: string
  type: StorageType
  /** In the payload. */
  elements: number
  /** The element of the payload that the storage begins with: old files have storages within storages. */
  start: number
}

/** A window on a storage; offset and strides count elements. */
export interface TorchTensor {
  storage: Storage
  offset: number
  shape: number[]
  strides: number[]
}

type TorchFunction = 'OrderedDict' | 'tensor' | 'parameter'

/** All that may be called. What is rebuilt here is plain data, whatever torch would do. */
const functions: Record<string, TorchFunction> = {
  'collections.OrderedDict': 'OrderedDict',
  'torch._utils._rebuild_tensor_v2': 'tensor',
  'torch._utils._rebuild_parameter': 'parameter',
  // The same with attributes of the parameter, which were spelled by this list too and are not kept.
  'torch._utils._rebuild_parameter_with_state': 'parameter',
}

/** Buffers may be of integers; they are understood so that they can be called by their names. */
const storageTypes: ReadonlyMap<string, StorageType> = new Map(
  (
    [
      ['DoubleStorage', 'f64', 8],
      ['FloatStorage', 'f32', 4],
      ['HalfStorage', 'f16', 2],
      ['BFloat16Storage', 'bf16', 2],
      ['LongStorage', undefined, 8],
      ['IntStorage', undefined, 4],
      ['ShortStorage', undefined, 2],
      ['CharStorage', undefined, 1],
      ['ByteStorage', undefined, 1],
      ['BoolStorage', undefined, 1],
    ] as const
  ).map(([name, dtype, bytes]) => [`torch.${name}`, { name, dtype, bytes }]),
)

/** torch's name of the storage of elements of this type. */
export function storageTypeOf(dtype: DType): string {
  for (const type of storageTypes.values()) if (type.dtype === dtype) return type.name
  throw new Error(`torch has no storage of ${dtype}`)
}

/** No tensor of a checkpoint has more dimensions. */
const maxDimensions = 8

/**
 * The globals that a checkpoint may name.
 * @returns the list, and the storages that the pickle has referred to by then, by their keys
 */
export function torchGlobals(where: { format: string; path: string }): {
  allowed: AllowList<TorchThing>
  storages: Map<string, Storage>
} {
  const storages = new Map<string, Storage>()
  const malformed = (what: string) => inputError(`its pickle ${what}`, where)
  const allowed: AllowList<TorchThing> = {
    global(name) {
      const fn = Object.hasOwn(functions, name) ? functions[name] : undefined
      if (fn !== undefined) return { kind: 'function', name: fn }
      const type = storageTypes.get(name)
      return type && { kind: 'type', ...type }
    },

    call(thing, args) {
      if (thing.kind !== 'function') throw malformed(`calls a ${thing.kind}`)
      switch (thing.name) {
        case 'OrderedDict':
          if (args.length > 0) throw malformed('makes an OrderedDict of something')
          return { kind: 'dict', entries: [] }
        case 'tensor':
          return { kind: 'thing', thing: { kind: 'tensor', ...rebuildTensor(args, malformed) } }
        case 'parameter': {
          const [tensor] = args
          if (isKind(tensor, 'thing') && tensor.thing.kind === 'tensor') return tensor
          throw malformed('makes a parameter of what is no tensor')
        }
      }
    },

    persistent(id) {
      const storage = parseStorage(id, malformed)
      const known = storages.get(storage.key)
      if (known && (known.type.name !== storage.type.name || known.elements !== storage.elements)) {
        throw malformed(
          `has storage "${storage.key}" as ${known.elements} elements of ${known.type.name} and as ${storage.elements} of ${storage.type.name}`,
        )
      }
      if (known === undefined) storages.set(storage.key, storage)
      return { kind: 'storage', ...storage }
    },
  }
  return { allowed, storages }
}

type Malformed = (what: string) => Error

/** ('storage', type, key, location, elements), and before torch 1.6 a view or None. */
function parseStorage(id: TorchValue, malformed: Malformed): Storage {
  const items = isKind(id, 'tuple') ? id.items : []
  const [tag, type, key, , elements, view] = items
  if (tag !== 'storage') {
    const what = typeof tag === 'string' ? `a ${printable(tag)}` : 'something'
    throw malformed(`refers to ${what} outside of it, not to a storage`)
  }
  if (
    !isKind(type, 'thing') ||
    type.thing.kind !== 'type' ||
    typeof key !== 'string' ||
    !isSize(elements)
  ) {
    throw malformed('refers to a storage without type, key or size')
  }
  const { name, dtype, bytes } = type.thing
  const storage = { key: printable(key), type: { name, dtype, bytes }, elements, start: 0 }
  if (view === undefined || view === null) return storage
  const [, start, length] = isKind(view, 'tuple') ? view.items : []
  if (!isSize(start) || !isSize(length) || start + length > elements) {
    throw malformed(`has a view that is not within storage "${storage.key}"`)
  }
  return { ...storage, start }
}

/** (storage, offset, shape, strides, requires_grad, hooks): the first four say where it is. */
function rebuildTensor(args: TorchValue[], malformed: Malformed): TorchTensor {
  const [storage, offset, shape, strides] = args
  if (!isKind(storage, 'thing') || storage.thing.kind !== 'storage') {
    throw malformed('makes a tensor of what is no storage')
  }
  const dimensions = sizesOf(shape)
  const steps = sizesOf(strides)
  if (
    !isSize(offset) ||
    dimensions === undefined ||
    steps === undefined ||
    dimensions.length !== steps.length
  ) {
    throw malformed('makes a tensor without offset, shape or strides')
  }
  if (dimensions.length > maxDimensions) {
    throw malformed(`makes a tensor of ${dimensions.length} dimensions`)
  }
  const { key, type, elements, start } = storage.thing
  return { storage: { key, type, elements, start }, offset, shape: dimensions, strides: steps }
}

function sizesOf(value: TorchValue | undefined): number[] | undefined {
  if (!isKind(value, 'tuple') && !isKind(value, 'list')) return undefined
  const sizes = value.items.filter(isSize)
  return sizes.length === value.items.length ? sizes : undefined
}

function isSize(value: TorchValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** Keys under which training scripts put the state dict beside all else. */
const wrappers = ['state_dict', 'model_state_dict', 'model', 'module']

/** Scripts nest two or three; a dictionary of a pickle may be within itself. */
const maxWrappers = 8

/**
 * The tensors of a state dict by their names, in its order. A state dict within
 * a larger one is taken out of it, which the notes say.
 * @throws input error where there is none
 */
export function stateDictOf(
  value: TorchValue,
  where: { format: string; path: string },
): { tensors: Map<string, TorchTensor>; notes: string[] } {
  let dict: TorchValue = value
  const notes: string[] = []
  for (let wrapped = wrapperOf(dict); wrapped; wrapped = wrapperOf(dict)) {
    if (notes.length === maxWrappers) {
      throw inputError(`its state dict is within more than ${maxWrappers} dictionaries`, where)
    }
    const others = wrapped.others.length > 0 ? `; left out: ${wrapped.others.join(', ')}` : ''
    notes.push(`the weights are under "${wrapped.key}"${others}`)
    dict = wrapped.dict
  }
  const tensors = new Map<string, TorchTensor>()
  const others: string[] = []
  for (const [key, item] of isKind(dict, 'dict') ? dict.entries : []) {
    const name = typeof key === 'string' ? key : String(typeof key)
    if (!isKind(item, 'thing') || item.thing.kind !== 'tensor') {
      others.push(printable(name))
    } else if (typeof key !== 'string') {
      throw inputError('a tensor of it has no name', where)
    } else if (tensors.has(name)) {
      throw inputError('it is in the state dict twice', { ...where, tensor: name })
    } else {
      tensors.set(name, item.thing)
    }
  }
  if (tensors.size === 0) {
    throw inputError('there is no state dict in it: no tensor has a name', {
      ...where,
      suggestions: ['Save the model’s state_dict(), not the model or an optimiser.'],
    })
  }
  if (others.length > 0) notes.push(`what is no tensor is left out: ${others.join(', ')}`)
  return { tensors, notes }
}

function wrapperOf(
  value: TorchValue,
): { key: string; dict: PickleDict<TorchThing>; others: string[] } | undefined {
  if (!isKind(value, 'dict')) return undefined
  for (const wrapper of wrappers) {
    const dict = value.entries.find(([key]) => key === wrapper)?.[1]
    if (!isKind(dict, 'dict')) continue
    const others = value.entries.flatMap(([key]) =>
      typeof key === 'string' && key !== wrapper ? [printable(key)] : [],
    )
    return { key: wrapper, dict, others }
  }
  return undefined
}
