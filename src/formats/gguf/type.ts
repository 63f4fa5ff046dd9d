import { type DType, recordOf, typesBy } from '../../types/dtype.js'

/** ggml's tensor types that this program reads, by the numbers that files have for them. */
export const tensorTypes: ReadonlyMap<number, DType> = typesBy(({ ggml }) => ggml?.id)

export function tensorTypeNumber(dtype: DType): number {
  const number = recordOf(dtype).ggml?.id
  if (number === undefined) throw new Error(`ggml has no ${dtype}`)
  return number
}

/** A type that is shown and run, and neither read nor written. */
export interface OtherType {
  name: string
  /** Elements of a block, and its bytes. */
  block: number
  bytes: number
  /** A type that is read whose limits in a check it is given: the nearest with no more bits. */
  like: DType
}

/** ggml's other types. Source: the blocks of its ggml-common.h. */
export const otherTensorTypes: ReadonlyMap<number, OtherType> = new Map([
  [9, { name: 'q8_1', block: 32, bytes: 36, like: 'q8_0' }],
  [15, { name: 'q8_k', block: 256, bytes: 292, like: 'q8_0' }],
  [16, { name: 'iq2_xxs', block: 256, bytes: 66, like: 'q2_k' }],
  [17, { name: 'iq2_xs', block: 256, bytes: 74, like: 'q2_k' }],
  [18, { name: 'iq3_xxs', block: 256, bytes: 98, like: 'q2_k' }],
  [19, { name: 'iq1_s', block: 256, bytes: 50, like: 'q2_k' }],
  [20, { name: 'iq4_nl', block: 32, bytes: 18, like: 'q4_0' }],
  [21, { name: 'iq3_s', block: 256, bytes: 110, like: 'q3_k' }],
  [22, { name: 'iq2_s', block: 256, bytes: 82, like: 'q2_k' }],
  [23, { name: 'iq4_xs', block: 256, bytes: 136, like: 'q4_0' }],
  [24, { name: 'i8', block: 1, bytes: 1, like: 'f32' }],
  [25, { name: 'i16', block: 1, bytes: 2, like: 'f32' }],
  [26, { name: 'i32', block: 1, bytes: 4, like: 'f32' }],
  [27, { name: 'i64', block: 1, bytes: 8, like: 'f32' }],
  [29, { name: 'iq1_m', block: 256, bytes: 56, like: 'q2_k' }],
  [34, { name: 'tq1_0', block: 256, bytes: 54, like: 'q2_k' }],
  [35, { name: 'tq2_0', block: 256, bytes: 66, like: 'q2_k' }],
  [39, { name: 'mxfp4', block: 32, bytes: 17, like: 'q4_0' }],
  [40, { name: 'nvfp4', block: 64, bytes: 36, like: 'q4_0' }],
  // Of this one the block is not known here.
  [41, { name: 'q1_0', block: 1, bytes: 0, like: 'q2_k' }],
])
