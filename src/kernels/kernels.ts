import { readFileSync } from 'node:fs'
import { property } from '../io/json.js'
import {
  type DecodeKernel,
  type DequantizeKernel,
  dtypeNames,
  type QuantizeKernel,
  recordOf,
} from '../types/dtype.js'

/** What assembly/index.ts exports beside the kernels that types name, by their signatures. */
const casts = [
  'castF32ToF16',
  'castF32ToBf16',
  'castF16ToF32',
  'castF16ToBf16',
  'castBf16ToF32',
  'castBf16ToF16',
  'castF64ToF32',
  'castF64ToF16',
  'castF64ToBf16',
] as const
const counts = [
  'countNonFinite16',
  'countNonFinite32',
  'countAbove32',
  'countInfinite16',
  'countInfinite32',
] as const
const rotaries = ['rotaryToHalf', 'rotaryToInterleaved'] as const
const swaps = ['swap16', 'swap32', 'swap64'] as const
const transposes = ['transpose16', 'transpose32', 'transpose64'] as const

/** What assembly/index.ts exports; addresses and counts are u32. */
interface Exports
  extends Record<QuantizeKernel, Quantize>,
    Record<DequantizeKernel, Dequantize>,
    Record<(typeof casts)[number], Cast>,
    Record<DecodeKernel, Decode>,
    Record<(typeof counts)[number], Count>,
    Record<(typeof rotaries)[number], Rotary>,
    Record<(typeof swaps)[number], Swap>,
    Record<(typeof transposes)[number], Transpose> {
  memory: WebAssembly.Memory
  heapBase(): number
}

/**
 * f32 [rows, columns] at `src` to blocks at `dst`, row by row. `columns` must fill whole blocks and
 * the elements be finite. At `weights` stand `columns` f32, each column's importance; 0: there are
 * none. Bytes are those of ggml, with and without importance; those of Q4 and Q8, which make no use
 * of importance, and of their scales are ONNX Runtime's.
 */
type Quantize = (src: number, dst: number, rows: number, columns: number, weights: number) => void
/** `n` elements, whole blocks at `src`, to f32 at `dst`: the values that ggml reads. */
type Dequantize = (src: number, dst: number, n: number) => void

/** `n` levels at `src`, whole blocks, with their scales at `scales`, to f32 at `dst`. */
type Decode = (src: number, scales: number, dst: number, n: number) => void

/** Gives the number of values lost to zero, where the cast can lose any. */
export type Cast = (src: number, dst: number, n: number) => number | undefined
type Count = (src: number, n: number, exponent: number) => number
type Rotary = (src: number, dst: number, rows: number, headDim: number, rowBytes: number) => void
type Swap = (address: number, n: number) => void
type Transpose = (src: number, dst: number, rows: number, columns: number) => void

/** An instance of the kernels with a memory of its own: one for each worker. */
export interface Kernels extends Omit<Exports, 'memory' | 'heapBase'> {
  /** The first address that is the caller's. */
  readonly base: number
  /** A view of `length` bytes at `address`; valid until the memory grows. */
  bytes(address: number, length: number): Uint8Array
  /** Makes room for `bytes` behind `base`, where there is not so much yet. */
  reserve(bytes: number): void
}

const pageBytes = 65536

/** Buffers start at a multiple of the cache line. */
export const alignment = 64

let compiled: WebAssembly.Module | undefined

/**
 * Instantiates the kernels with room for `bytes` beyond their own data.
 */
export function loadKernels(bytes = 0): Kernels {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./kernels.wasm', import.meta.url)))
  const { exports } = new WebAssembly.Instance(compiled, {})
  if (!areKernels(exports)) throw new Error('kernels.wasm does not export the kernels')
  const base = Math.ceil(exports.heapBase() / alignment) * alignment
  const reserve = (wanted: number) => {
    const missing = base + wanted - exports.memory.buffer.byteLength
    if (missing > 0) exports.memory.grow(Math.ceil(missing / pageBytes))
  }
  reserve(bytes)
  return {
    ...exports,
    base,
    bytes: (address, length) => new Uint8Array(exports.memory.buffer, address, length),
    reserve,
  }
}

/** Their names are looked for; their signatures are assembly/index.ts's word. */
function areKernels(exports: object): exports is Exports {
  const ofTypes = dtypeNames.flatMap((dtype) => {
    const { quantize, dequantize, decode } = recordOf(dtype)
    return [quantize, dequantize, decode].filter((name) => name !== undefined)
  })
  const others = [...casts, ...counts, ...rotaries, ...swaps, ...transposes]
  return (
    'memory' in exports &&
    exports.memory instanceof WebAssembly.Memory &&
    ['heapBase', ...ofTypes, ...others].every(
      (name) => typeof property(exports, name) === 'function',
    )
  )
}
