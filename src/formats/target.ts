import type { Checkpoint } from '../checkpoint/checkpoint.js'
import {
  embeddingName,
  headName,
  layoutIn,
  type Naming,
  nameOf,
  roleOf,
} from '../checkpoint/names.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { type Float, isFloat } from '../types/dtype.js'
import type { TargetOptions } from './format.js'

/**
 * The tensors that a target of `naming` holds, in the order of a forward pass,
 * with their dtype and layout; where they go (`parts`) is for the format to say.
 */
export function outputTensors(
  checkpoint: Checkpoint,
  naming: Naming,
  { dtype }: Pick<TargetOptions, 'dtype'>,
): Tensor[] {
  return [...checkpoint.tensors.values()].map((tensor) => {
    const named = roleOf(tensor.name, 'hf')
    if (named === undefined) throw new Error(`${tensor.name} is in no table`)
    return {
      name: tensor.name,
      storedName: nameOf(named, naming),
      dtype: dtype === 'auto' ? plainTypeOf(tensor) : dtype,
      shape: tensor.shape,
      layout: layoutIn(naming, named.role, checkpoint.config.head_dim),
      parts: [],
    }
  })
}

/** With an output head, for formats that have no other way to say that the embedding serves as one. */
export function withHead(
  checkpoint: Checkpoint,
  naming: Naming,
  tensors: readonly Tensor[],
): Tensor[] {
  const embedding = tensors.find(({ name }) => name === embeddingName)
  const head = roleOf(headName, 'hf')
  if (embedding === undefined || head === undefined || checkpoint.tensors.has(headName)) {
    return [...tensors]
  }
  return [
    ...tensors,
    {
      ...embedding,
      name: headName,
      storedName: nameOf(head, naming),
      layout: layoutIn(naming, head.role, checkpoint.config.head_dim),
    },
  ]
}

/** Only GGUF holds block types; elsewhere such a tensor becomes the smallest type that keeps its steps. */
function plainTypeOf({ dtype }: Tensor): Float {
  return isFloat(dtype) ? dtype : 'f16'
}
