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
export { countInfinite16, countInfinite32, countNonFinite16, countNonFinite32 } from './finite'
export { rotaryToHalf, rotaryToInterleaved } from './rotary'
export { swap16, swap32, swap64 } from './swap'
export { transpose16, transpose32, transpose64 } from './transpose'

/** The first byte that the caller may use: everything below belongs to the module. */
export function heapBase(): usize {
  return __heap_base
}
