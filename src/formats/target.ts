import type { Naming } from '../architectures/architecture.js'
import { architectureOf, architectures, knowsNaming } from '../architectures/index.js'
import { embeddingName, headName } from '../architectures/roles.js'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { layoutIn, nameIn, roleOf } from '../checkpoint/names.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import { type Float, isFloat } from '../types/dtype.js'
import type { TargetOptions } from './format.js'

/** Whose names a target's tensors have, and who reads it, as sentences call them. */
export interface Holder {
  naming: Naming
  reader: string
}

/**
 * The tensors that a target holds, in the order of a forward pass, with their
 * dtype and layout; where they go (`parts`) is for the format to say.
 * @throws input error where it has no place for the architecture, or for one of the tensors
 */
export function outputTensors(
  checkpoint: Checkpoint,
  holder: Holder,
  { dtype }: Pick<TargetOptions, 'dtype'>,
): Tensor[] {
  const architecture = architectureOf(checkpoint.config)
  const { naming } = holder
  if (!knowsNaming(architecture, naming)) throw unknownThere(holder, checkpoint)
  return [...checkpoint.tensors.values()].map((tensor) => {
    const named = roleOf(architecture, tensor.name, 'hf')
    const storedName = named && nameIn(named, naming)
    if (named === undefined || storedName === undefined)
      throw noPlaceFor(tensor, holder, checkpoint)
    return {
      name: tensor.name,
      storedName,
      dtype: dtype === 'auto' ? plainTypeOf(tensor) : dtype,
      shape: tensor.shape,
      layout: layoutIn(architecture, naming, named.role, checkpoint.config.head_dim),
      parts: [],
    }
  })
}

function unknownThere({ naming, reader }: Holder, { config, path }: Checkpoint): Error {
  const known = architectures.filter((each) => knowsNaming(each, naming))
  return inputError(
    `it is a ${architectureOf(config).title} model, and ${reader} knows ${known.map(({ title }) => title).join(' and ')} alone`,
    { path, suggestions: [elsewhere(reader)] },
  )
}

/** For a tensor that a format's naming of the architecture has no name for. */
export function noPlaceFor(
  { name }: Pick<Tensor, 'name'>,
  { reader }: Pick<Holder, 'reader'>,
  { config, path }: Checkpoint,
): Error {
  const { title } = architectureOf(config)
  return inputError(`${reader} has no place for it in a ${title} model`, {
    path,
    tensor: name,
    suggestions: [elsewhere(reader)],
  })
}

function elsewhere(reader: string): string {
  const others = ['safetensors', 'PyTorch', 'GGUF'].filter((other) => other !== reader)
  return `Convert it to ${others.join(', ')} or ONNX, which hold it.`
}

/** With an output head, for formats that have no other way to say that the embedding serves as one. */
export function withHead(
  checkpoint: Checkpoint,
  { naming }: Holder,
  tensors: readonly Tensor[],
): Tensor[] {
  const architecture = architectureOf(checkpoint.config)
  const embedding = tensors.find(({ name }) => name === embeddingName)
  const head = roleOf(architecture, headName, 'hf')
  const storedName = head && nameIn(head, naming)
  if (
    embedding === undefined ||
    head === undefined ||
    storedName === undefined ||
    checkpoint.tensors.has(headName)
  ) {
    return [...tensors]
  }
  return [
    ...tensors,
    {
      ...embedding,
      name: headName,
      storedName,
      layout: layoutIn(architecture, naming, head.role, checkpoint.config.head_dim),
    },
  ]
}

/** Only GGUF holds block types; elsewhere such a tensor becomes the smallest type that keeps its steps. */
function plainTypeOf({ dtype }: Tensor): Float {
  return isFloat(dtype) ? dtype : 'f16'
}
