import { layOutArray, layOutRecord, type Segment } from '../../src/formats/flax/layout.js'
import type { DType } from '../../src/types/dtype.js'

/** What our writer puts before an array's bytes in an EasyLM stream. */
export function recordHead(name: string, dtype: DType, shape: readonly number[]): Uint8Array {
  return headOf(layOutRecord(name, dtype, shape))
}

/** What our writer puts before an array's bytes in a flax tree. */
export function arrayHead(dtype: DType, shape: readonly number[]): Uint8Array {
  return headOf(layOutArray(dtype, shape))
}

/** All that comes before the one run of bytes at the end. */
function headOf(segments: readonly Segment[]): Uint8Array {
  const heads = segments.slice(0, -1)
  return Buffer.concat(
    heads.map((segment) => {
      if ('payload' in segment) throw new Error('the array is in several pieces')
      return segment
    }),
  )
}
