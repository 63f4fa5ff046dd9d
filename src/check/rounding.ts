import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { DType } from '../checkpoint/dtype.js'
import type { EngineName } from '../engines/engine.js'
import { engineFor } from '../engines/open.js'
import type { Runnable } from '../formats/open-runnable.js'
import { coarsestOf, type Rounding } from './limits.js'

/**
 * The coarsest type of a model's matrices, and whether an engine rounds activations to it.
 * @param engine by default the one that is made for it
 */
export function roundingOf(runnable: Runnable, engine: EngineName = engineFor(runnable)): Rounding {
  const { checkpoint, graph, nbits } = runnable
  const type = nbits ?? coarsestOf(matrixTypes(checkpoint))
  const rounds = engine === 'llama.cpp' || (graph !== undefined && type === 'f16')
  return { type, activations: rounds && type !== 'f32' }
}

function matrixTypes({ tensors }: Checkpoint): DType[] {
  return [...tensors.values()].filter(({ shape }) => shape.length === 2).map(({ dtype }) => dtype)
}
