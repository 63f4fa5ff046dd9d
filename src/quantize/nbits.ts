import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { Tensor } from '../checkpoint/tensor.js'
import { dtypes, type LevelType, type ScaleType } from '../types/dtype.js'

/**
 * ONNX's quantized types, by transformers.js's names: how levels and scales are held, and what is
 * computed in. q8 too is MatMulNBits: DequantizeLinear before a MatMul makes a whole matrix of floats
 * unless a runtime fuses the two.
 */
export const nbits = {
  q8: { bits: 8, levels: 'q8', scales: 'q8_scales', compute: 'f32' },
  q4: { bits: 4, levels: 'q4', scales: 'q4_scales', compute: 'f32' },
  q4f16: { bits: 4, levels: 'q4', scales: 'q4_scales_f16', compute: 'f16' },
} as const satisfies Record<
  string,
  { bits: 4 | 8; levels: LevelType; scales: ScaleType; compute: 'f32' | 'f16' }
>

export type NBits = keyof typeof nbits

export const nbitsNames = ['q8', 'q4', 'q4f16'] as const satisfies readonly NBits[]

export function isNBits(name: string): name is NBits {
  return Object.hasOwn(nbits, name)
}

/** A matrix whose rows do not fill blocks stays as it is computed with. */
interface NBitsFallback {
  tensor: string
  wanted: NBits
  got: 'f32' | 'f16'
  /** A clause with both numbers. */
  reason: string
}

export interface NBitsAssignment {
  /** In the order given. */
  tensors: { name: string; shape: readonly number[]; type: NBits | 'f32' | 'f16'; bytes: number }[]
  fallbacks: NBitsFallback[]
  /** Scales included. */
  bitsPerWeight: number
}

/** Which tensors are quantized: all matrices whose rows fill blocks, the embedding among them. */
export function assignNBits(
  { tensors }: Pick<Checkpoint, 'tensors'>,
  name: NBits,
): NBitsAssignment {
  const { levels, scales, compute } = nbits[name]
  const { block } = dtypes[levels]
  const fallbacks: NBitsFallback[] = []
  let elements = 0
  const assigned = [...tensors.values()].map((tensor) => {
    const { shape } = tensor
    const columns = shape[1]
    const count = shape.reduce((product, size) => product * size, 1)
    elements += count
    if (fillsBlocks(tensor, block)) {
      const bytes = (count / block) * (dtypes[levels].bytes + dtypes[scales].bytes)
      return { name: tensor.name, shape, type: name, bytes }
    }
    if (columns !== undefined) {
      const reason = `rows of ${columns} are no multiple of ${block}`
      fallbacks.push({ tensor: tensor.name, wanted: name, got: compute, reason })
    }
    return { name: tensor.name, shape, type: compute, bytes: count * dtypes[compute].bytes }
  })
  const bytes = assigned.reduce((sum, each) => sum + each.bytes, 0)
  return { tensors: assigned, fallbacks, bitsPerWeight: (8 * bytes) / elements }
}

function fillsBlocks({ shape }: Tensor, block: number): boolean {
  return shape.length === 2 && (shape[1] ?? 0) % block === 0
}
