import type { Tensor } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import {
  type BlockType,
  type DType,
  dtypes,
  type Float,
  isBlock,
  isFloat,
  type ScaleType,
} from '../types/dtype.js'

/** What the executor does to a tile, one after the other. */
export type Step =
  | { kind: 'swap' }
  | { kind: 'dequantize'; from: BlockType }
  /** Levels and their scales, which lie behind them, to f32. */
  | { kind: 'decode'; scales: ScaleType }
  | { kind: 'cast'; from: DType; to: DType }
  | { kind: 'transpose' }
  | { kind: 'rotary'; to: 'half' | 'interleaved'; headDim: number }
  /** To every element, in f32. */
  | { kind: 'add'; value: number }
  | { kind: 'quantize'; to: Exclude<DType, Float> }

/**
 * The steps that make one tensor's layout and type another's. Values are
 * understood only in this machine's byte order, and blocks only as f32, so
 * those come first; rows are rows, for rotary order and for blocks, only where
 * the matrix is not transposed. Between, casts come while the smaller type
 * saves work.
 * @throws input error for quantized rows that would have to be columns
 */
export function stepsBetween(source: Tensor, target: Tensor): Step[] {
  const moved = movement(source, target)
  const swap: Step[] = source.layout.bigEndian ? [{ kind: 'swap' }] : []
  const added = (target.layout.added ?? 0) - (source.layout.added ?? 0)
  // Levels mean nothing without their own scales: they are made anew with those.
  if (source.dtype === target.dtype && added === 0 && source.scales === undefined) {
    if (!isFloat(source.dtype) && moved.some(({ kind }) => kind === 'transpose')) {
      throw inputError(
        `its blocks of ${source.dtype} lie along the rows and cannot be transposed`,
        {
          path: source.parts[0]?.extents[0]?.path,
          tensor: source.storedName,
          suggestions: ['Choose `dtype` f16, bf16 or f32.'],
        },
      )
    }
    return [...swap, ...moved]
  }
  const dequantize: Step[] = isBlock(source.dtype)
    ? [{ kind: 'dequantize', from: source.dtype }]
    : source.scales
      ? [{ kind: 'decode', scales: source.scales.dtype }]
      : []
  const from: DType = isFloat(source.dtype) ? source.dtype : 'f32'
  const quantize: Step[] = isFloat(target.dtype) ? [] : [{ kind: 'quantize', to: target.dtype }]
  const to: DType = isFloat(target.dtype) ? target.dtype : 'f32'
  if (added !== 0) {
    const add: Step = { kind: 'add', value: added }
    return [
      ...swap,
      ...dequantize,
      ...castTo(from, 'f32'),
      ...moved,
      add,
      ...castTo('f32', to),
      ...quantize,
    ]
  }
  const cast = castTo(from, to)
  const shrinks = dtypes[to].bytes <= dtypes[from].bytes
  const middle = shrinks ? [...cast, ...moved] : [...moved, ...cast]
  return [...swap, ...dequantize, ...middle, ...quantize]
}

function castTo(from: DType, to: DType): Step[] {
  return from === to ? [] : [{ kind: 'cast', from, to }]
}

/** Bytes that an element takes at most between the steps. */
export function widestElement(source: DType, target: DType, steps: readonly Step[]): number {
  const wide: readonly Step['kind'][] = ['quantize', 'dequantize', 'decode', 'add']
  const through: DType[] = steps.some(({ kind }) => wide.includes(kind)) ? ['f32'] : []
  return Math.max(
    ...[source, target, ...through].map((dtype) => dtypes[dtype].bytes / dtypes[dtype].block),
  )
}

function movement(source: Tensor, target: Tensor): Step[] {
  const { rotary } = target.layout
  const permute: Step[] =
    rotary && rotary.order !== source.layout.rotary?.order
      ? [{ kind: 'rotary', to: rotary.order, headDim: rotary.headDim }]
      : []
  const transpose: Step = { kind: 'transpose' }
  // EasyLM and ONNX both have columns where rotary order is of rows: there and back again.
  if (permute.length > 0 && source.layout.transposed && target.layout.transposed) {
    return [transpose, ...permute, transpose]
  }
  const turn: Step[] = source.layout.transposed === target.layout.transposed ? [] : [transpose]
  return source.layout.transposed ? [...turn, ...permute] : [...permute, ...turn]
}
