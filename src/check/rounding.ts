import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { tensorOf } from '../compare/diff.js'
import { engineFor } from '../engines/open.js'
import type { Runnable } from '../open/runnable.js'
import type { EngineName } from '../record/check.js'
import type { DType } from '../types/dtype.js'
import { coarsestOf, type LimitType, type Rounding, roundingBetween } from './limits.js'

/**
 * The coarsest type of a model's matrices, and whether an engine rounds activations to it.
 * @param engine by default the one that is made for it
 */
export function roundingOf(runnable: Runnable, engine: EngineName = engineFor(runnable)): Rounding {
  const { checkpoint, graph, nbits, opaque } = runnable
  const type = nbits ?? coarsestOf(opaque === undefined ? matrixTypes(checkpoint) : [opaque.like])
  const rounds = engine === 'llama.cpp' || (graph !== undefined && type === 'f16')
  return { type, activations: rounds && type !== 'f32' }
}

function matrixTypes({ tensors }: Checkpoint): DType[] {
  return [...tensors.values()].filter(({ shape }) => shape.length === 2).map(({ dtype }) => dtype)
}

/**
 * The coarsest rounding that lies between two models, tensor by tensor: a source of several types
 * may be rounded in some of them, though its coarsest is the artifact's own.
 * @param converted the artifact was made from the source by this program
 */
export function coarsestRounding(
  artifact: Runnable,
  source: Runnable,
  converted: boolean,
): LimitType {
  // Of a quantized graph, or one that is not understood, no tensors are known.
  if (artifact.checkpoint.tensors.size === 0 || source.checkpoint.tensors.size === 0) {
    return roundingBetween(roundingOf(source).type, roundingOf(artifact).type, converted)
  }
  return coarsestOf(
    [...artifact.checkpoint.tensors.values()].map(({ name, dtype }) => {
      const from = tensorOf(source.checkpoint, name)
      return from === undefined
        ? 'exact'
        : roundingBetween(coarsestOf([from.dtype]), coarsestOf([dtype]), converted)
    }),
  )
}
