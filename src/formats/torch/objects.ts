import { inputError } from '../../io/errors.js'
import { type DType, dtypes, typesBy } from '../../types/dtype.js'
import { type AllowList, asciiName, isKind, type PickleValue } from './pickle.js'
import { mergeFsdp, mergeZero } from './shards.js'

/**
 * What the pickle of a torch checkpoint is made of: storages (runs of elements
 * that lie outside the pickle) and tensors (windows on storages).
 */
export type TorchThing =
  | { kind: 'function'; name: TorchFunction }
  | ({ kind: 'type' } & StorageType)
  | ({ kind: 'storage' } & Storage)
  | ({ kind: 'tensor' } & TorchTensor)
  /** What is neither weights nor a name: a dtype, a device, bytes. */
  | { kind: 'data'; name: string }

export type TorchValue = PickleValue<TorchThing>

interface StorageType {
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

type TorchFunction =
  | 'OrderedDict'
  | 'Counter'
  | 'set'
  | 'Size'
  | 'data'
  | 'tensor'
  | 'typed tensor'
  | 'parameter'
  | 'of a type'

/**
 * All that may be called: what torch.load(weights_only=True) takes for plain data. What is
 * rebuilt here is plain data, whatever torch would do.
 */
const functions: ReadonlyMap<string, TorchFunction> = new Map([
  ['collections.OrderedDict', 'OrderedDict'],
  ['collections.Counter', 'Counter'],
  ['builtins.set', 'set'],
  ['builtins.bytearray', 'data'],
  ['builtins.complex', 'data'],
  // By the names of Python 2, as protocol 2 has them.
  ['__builtin__.set', 'set'],
  ['__builtin__.bytearray', 'data'],
  ['__builtin__.complex', 'data'],
  ['_codecs.encode', 'data'],
  ['torch.Size', 'Size'],
  ['torch.device', 'data'],
  // A tensor of a class of its own, which is named among its arguments and refused there.
  ['torch._utils._rebuild_wrapper_subclass', 'data'],
  ['torch._utils._rebuild_tensor', 'tensor'],
  ['torch._utils._rebuild_tensor_v2', 'tensor'],
  // The type is of the tensor, not of the storage: torch's newer types have none of their own.
  ['torch._utils._rebuild_tensor_v3', 'typed tensor'],
  ['torch._utils._rebuild_parameter', 'parameter'],
  // The same with attributes of the parameter, which were spelled by this list too and are not kept.
  ['torch._utils._rebuild_parameter_with_state', 'parameter'],
  ['torch.nn.parameter.Parameter', 'parameter'],
  // A tensor with attributes: the function that makes it, its class, and the function's arguments.
  ['torch._tensor._rebuild_from_type_v2', 'of a type'],
])

/** torch's element types that storages have names for, and its others: read, so that they can be named. */
const dtypeNames = new Set([
  ...['bfloat16', 'float16', 'float32', 'float64', 'bool', 'complex32', 'complex64', 'complex128'],
  ...['int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64'],
  ...['float8_e4m3fn', 'float8_e4m3fnuz', 'float8_e5m2', 'float8_e5m2fnuz', 'float8_e8m0fnu'],
  ...['float4_e2m1fn_x2', 'qint8', 'quint8', 'qint32', 'quint4x2', 'quint2x4'],
])

/** Buffers may be of integers; they are understood so that they can be called by their names. */
const storageTypes: ReadonlyMap<string, StorageType> = new Map(
  (
    [
      ...[...typesBy(({ storage }) => storage)].map(
        ([name, dtype]) => [name, dtype, dtypes[dtype].bytes] as const,
      ),
      ['LongStorage', undefined, 8],
      ['IntStorage', undefined, 4],
      ['ShortStorage', undefined, 2],
      ['CharStorage', undefined, 1],
      ['ByteStorage', undefined, 1],
      ['BoolStorage', undefined, 1],
      ['ComplexFloatStorage', undefined, 8],
      ['ComplexDoubleStorage', undefined, 16],
      ['QInt8Storage', undefined, 1],
      ['QUInt8Storage', undefined, 1],
      ['QInt32Storage', undefined, 4],
      // Of bytes: the tensors on it say what they are of.
      ['storage.UntypedStorage', undefined, 1],
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
      const fn = functions.get(name)
      if (fn !== undefined) return { kind: 'function', name: fn }
      // Old files name the storages of GPUs; the bytes are the same.
      const type = storageTypes.get(name.replace(/^torch\.cuda\.(?=\w+Storage$)/, 'torch.'))
      if (type !== undefined) return { kind: 'type', ...type }
      const isData = name.startsWith('torch.') && dtypeNames.has(name.slice('torch.'.length))
      return isData || name === 'torch.Tensor' ? { kind: 'data', name } : undefined
    },

    refused: (name) => refusalOf(name),

    call(thing, args) {
      if (thing.kind !== 'function') throw malformed(`calls a ${thing.kind}`)
      switch (thing.name) {
        case 'OrderedDict':
          if (args.length > 0) throw malformed('makes an OrderedDict of something')
          return { kind: 'dict', entries: [] }
        case 'Counter': {
          const [counts] = args
          return isKind(counts, 'dict') ? counts : { kind: 'dict', entries: [] }
        }
        case 'set': {
          const [items] = args
          return isKind(items, 'list') ? items : { kind: 'list', items: [] }
        }
        case 'Size': {
          const [sizes] = args
          return isKind(sizes, 'tuple') ? sizes : { kind: 'tuple', items: [] }
        }
        case 'data':
          return { kind: 'thing', thing: { kind: 'data', name: 'data' } }
        case 'tensor':
          return { kind: 'thing', thing: { kind: 'tensor', ...rebuildTensor(args, malformed) } }
        case 'typed tensor':
          return { kind: 'thing', thing: { kind: 'tensor', ...rebuildTyped(args, malformed) } }
        case 'of a type': {
          const [maker, , inner] = args
          if (isKind(maker, 'thing') && isKind(inner, 'tuple') && isMaker(maker.thing)) {
            return allowed.call(maker.thing, inner.items)
          }
          throw malformed('makes a tensor by what makes none')
        }
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

/** The functions that make a tensor of a storage; not the one that would call a second of them. */
function isMaker(thing: TorchThing): boolean {
  return (
    thing.kind === 'function' &&
    (thing.name === 'tensor' || thing.name === 'typed tensor' || thing.name === 'parameter')
  )
}

/** What is saved in pieces, by whom, and what puts it together: known by the classes it names. */
function refusalOf(name: string): { what: string; suggestions: string[] } | undefined {
  if (/^torch\.distributed\.(_?tensor|_shard|_composable|fsdp|device_mesh)\b/.test(name)) {
    return {
      what: `it is a shard of FSDP (a distributed tensor, ${asciiName(name)}): it holds a part of every weight`,
      suggestions: [mergeFsdp],
    }
  }
  if (/^torchao\./.test(name)) {
    return {
      what: `its weights are quantized by torchao (${asciiName(name)})`,
      suggestions: ['Take the original model, in bf16 or f16.'],
    }
  }
  if (/^deepspeed\./.test(name)) {
    return {
      what: `it is a partition of DeepSpeed's ZeRO, or its optimiser's state (${asciiName(name)})`,
      suggestions: [mergeZero],
    }
  }
  if (/^transformers\.training_args|^trl\.|^accelerate\./.test(name)) {
    return {
      what: `it holds the settings of a training run (${asciiName(name)}), not weights; nothing of it was run`,
      suggestions: ['Name the file of the weights beside it.'],
    }
  }
  return undefined
}

type Malformed = (what: string) => Error

/** ('storage', type, key, location, elements), and before torch 1.6 a view or None. */
function parseStorage(id: TorchValue, malformed: Malformed): Storage {
  const items = isKind(id, 'tuple') ? id.items : []
  const [tag, type, key, , elements, view] = items
  if (tag !== 'storage') {
    const what = typeof tag === 'string' ? `a ${asciiName(tag)}` : 'something'
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
  const storage = { key: asciiName(key), type: { name, dtype, bytes }, elements, start: 0 }
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

/** (storage of bytes, offset, shape, strides, requires_grad, hooks, dtype): offset and strides count elements. */
function rebuildTyped(args: TorchValue[], malformed: Malformed): TorchTensor {
  const tensor = rebuildTensor(args, malformed)
  const dtype = args[6]
  const name = isKind(dtype, 'thing') && dtype.thing.kind === 'data' ? dtype.thing.name : undefined
  if (name === undefined) throw malformed('makes a tensor without a type')
  // Nothing is read of it: such types are no weights that are supported.
  const type = { name: name.slice('torch.'.length), dtype: undefined, bytes: 1 }
  return { ...tensor, storage: { ...tensor.storage, type } }
}

function sizesOf(value: TorchValue | undefined): number[] | undefined {
  if (!isKind(value, 'tuple') && !isKind(value, 'list')) return undefined
  const sizes = value.items.filter(isSize)
  return sizes.length === value.items.length ? sizes : undefined
}

function isSize(value: TorchValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
