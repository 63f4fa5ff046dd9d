import type { DType } from '../checkpoint/dtype.js'

/** ggml's tensor types that this program reads, by the numbers that files have for them. */
export const tensorTypes: ReadonlyMap<number, DType> = new Map([
  [0, 'f32'],
  [1, 'f16'],
  [2, 'q4_0'],
  [3, 'q4_1'],
  [6, 'q5_0'],
  [7, 'q5_1'],
  [8, 'q8_0'],
  [10, 'q2_k'],
  [11, 'q3_k'],
  [12, 'q4_k'],
  [13, 'q5_k'],
  [14, 'q6_k'],
  [28, 'f64'],
  [30, 'bf16'],
])

const numberOfType = new Map([...tensorTypes].map(([number, dtype]) => [dtype, number]))

export function tensorTypeNumber(dtype: DType): number {
  const number = numberOfType.get(dtype)
  if (number === undefined) throw new Error(`ggml has no ${dtype}`)
  return number
}

/** ggml's other types: refused, but by name. */
export const otherTensorTypes: ReadonlyMap<number, string> = new Map([
  [9, 'q8_1'],
  [15, 'q8_k'],
  [16, 'iq2_xxs'],
  [17, 'iq2_xs'],
  [18, 'iq3_xxs'],
  [19, 'iq1_s'],
  [20, 'iq4_nl'],
  [21, 'iq3_s'],
  [22, 'iq2_s'],
  [23, 'iq4_xs'],
  [24, 'i8'],
  [25, 'i16'],
  [26, 'i32'],
  [27, 'i64'],
  [29, 'iq1_m'],
  [34, 'tq1_0'],
  [35, 'tq2_0'],
  [39, 'mxfp4'],
  [40, 'nvfp4'],
  [41, 'q1_0'],
])

/** `general.file_type` of a checkpoint whose matrices are of one float type: llama.cpp's LLAMA_FTYPE. */
export const floatFileTypes = { f32: 0, f16: 1, bf16: 32 } as const
