import { list } from '../../checkpoint/geometry.js'
import { inputError } from '../../io/errors.js'
import type { Json, JsonObject } from '../../io/json.js'
import type { TorchTensor, TorchThing, TorchValue } from './objects.js'
import { asciiName, isKind, type PickleDict } from './pickle.js'
import { mergeFsdp, mergeZero } from './shards.js'

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
): { tensors: Map<string, TorchTensor>; modelArgs: JsonObject | undefined; notes: string[] } {
  let dict: TorchValue = value
  let modelArgs: JsonObject | undefined
  const notes: string[] = []
  for (let wrapped = wrapperOf(dict); wrapped; wrapped = wrapperOf(dict)) {
    if (notes.length === maxWrappers) {
      throw inputError(`its state dict is within more than ${maxWrappers} dictionaries`, where)
    }
    const others = wrapped.others.length > 0 ? `; left out: ${list(wrapped.others)}` : ''
    notes.push(`the weights are under "${wrapped.key}"${others}`)
    modelArgs ??= argumentsIn(dict)
    dict = wrapped.dict
  }
  const tensors = new Map<string, TorchTensor>()
  const others: string[] = []
  for (const [key, item] of isKind(dict, 'dict') ? dict.entries : []) {
    const name = typeof key === 'string' ? key : String(typeof key)
    if (!isKind(item, 'thing') || item.thing.kind !== 'tensor') {
      others.push(asciiName(name))
    } else if (typeof key !== 'string') {
      throw inputError('a tensor of it has no name', where)
    } else if (tensors.has(name)) {
      throw inputError('it is in the state dict twice', { ...where, tensor: asciiName(name) })
    } else {
      tensors.set(name, item.thing)
    }
  }
  if (tensors.size === 0) {
    throw noStateDict(value, where)
  }
  const empty = [...tensors.values()].every(({ shape }) => shape.includes(0))
  if (empty) {
    throw inputError(
      `its ${tensors.size} tensors are all empty: the weights are in partitions of DeepSpeed's ZeRO 3 or of FSDP`,
      { ...where, suggestions: [mergeZero, mergeFsdp] },
    )
  }
  if (others.length > 0) notes.push(`what is no tensor is left out: ${list(others)}`)
  return { tensors, modelArgs, notes }
}

function noStateDict(value: TorchValue, where: { format: string; path: string }): Error {
  const keys = keysOf(value)
  if (keys.includes('param_groups') && keys.includes('state')) {
    return inputError("it is an optimiser's state, not a model", {
      ...where,
      suggestions: ['Name the file of the weights beside it.'],
    })
  }
  if (keys.includes('optimizer_state_dict') || keys.includes('param_shapes')) {
    return inputError("it is a partition of DeepSpeed's ZeRO: no weight in it has a name", {
      ...where,
      suggestions: [mergeZero],
    })
  }
  return inputError('there is no state dict in it: no tensor has a name', {
    ...where,
    suggestions: ['Save the model’s state_dict(), not the model or an optimiser.'],
  })
}

function keysOf(value: TorchValue): string[] {
  if (!isKind(value, 'dict')) return []
  return value.entries.flatMap(([key]) => (typeof key === 'string' ? [key] : []))
}

/** The arguments of the model's constructor, as llama2.c's training saves them beside the weights. */
function argumentsIn(dict: TorchValue): JsonObject | undefined {
  if (!isKind(dict, 'dict')) return undefined
  const value = dict.entries.find(([key]) => key === 'model_args')?.[1]
  if (!isKind(value, 'dict')) return undefined
  const plain = value.entries.flatMap(([key, item]): [string, Json][] =>
    typeof key === 'string' &&
    (item === null || ['string', 'number', 'boolean'].includes(typeof item))
      ? [[key, plainOf(item)]]
      : [],
  )
  return Object.fromEntries(plain)
}

function plainOf(value: TorchValue): Json {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? value
    : null
}

function wrapperOf(
  value: TorchValue,
): { key: string; dict: PickleDict<TorchThing>; others: string[] } | undefined {
  if (!isKind(value, 'dict')) return undefined
  for (const wrapper of wrappers) {
    const dict = value.entries.find(([key]) => key === wrapper)?.[1]
    if (!isKind(dict, 'dict')) continue
    const others = value.entries.flatMap(([key]) =>
      typeof key === 'string' && key !== wrapper ? [asciiName(key)] : [],
    )
    return { key: wrapper, dict, others }
  }
  return undefined
}
