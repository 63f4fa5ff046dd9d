export {
  castBf16ToF16,
  castBf16ToF32,
  castF16ToBf16,
  castF16ToF32,
  castF32ToBf16,
  castF32ToF16,
  castF64ToBf16,
  castF64ToF16,
  castF64ToF32,
} from './cast'
export {
  countAbove32,
  countInfinite16,
  countInfinite32,
  countNonFinite16,
  countNonFinite32,
} from './finite'
export {
  decodeQ4,
  decodeQ4F16,
  decodeQ8,
  quantizeQ4,
  quantizeQ8,
  scalesQ4,
  scalesQ4F16,
  scalesQ8,
} from './onnx'
export { dequantizeQ2_K, quantizeQ2_K } from './q2k'
export { dequantizeQ3_K, quantizeQ3_K } from './q3k'
export { dequantizeQ4_K, quantizeQ4_K } from './q4k'
export { dequantizeQ5_K, quantizeQ5_K } from './q5k'
export { dequantizeQ6_K, quantizeQ6_K } from './q6k'
export { dequantizeQ8_0, quantizeQ8_0 } from './q8'
export {
  dequantizeQ4_0,
  dequantizeQ4_1,
  dequantizeQ5_0,
  dequantizeQ5_1,
  quantizeQ4_0,
  quantizeQ4_1,
  quantizeQ5_0,
  quantizeQ5_1,
} from './q45'
export { rotaryToHalf, rotaryToInterleaved } from './rotary'
export { swap16, swap32, swap64 } from './swap'
export { transpose16, transpose32, transpose64 } from './transpose'

/** The first byte that the caller may use: everything below belongs to the module. */
export function heapBase(): usize {
  return __heap_base
}
