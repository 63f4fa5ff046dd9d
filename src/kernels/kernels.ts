import { readFileSync } from 'node:fs'

/** What assembly/index.ts exports; addresses and counts are u32. */
interface Exports
  extends Record<`quantize${BlockKernel}`, Quantize>,
    Record<`dequantize${BlockKernel}`, Dequantize> {
  memory: WebAssembly.Memory
  heapBase(): number
  castF32ToF16: Cast
  castF32ToBf16: Cast
  castF16ToF32: Cast
  castF16ToBf16: Cast
  castBf16ToF32: Cast
  castBf16ToF16: Cast
  castF64ToF32: Cast
  castF64ToF16: Cast
  castF64ToBf16: Cast
  countNonFinite16: Count
  countNonFinite32: Count
  countAbove32: Count
  countInfinite16: Count
  countInfinite32: Count
  quantizeQ4: Quantize
  quantizeQ8: Quantize
  rotaryToHalf: Rotary
  rotaryToInterleaved: Rotary
  scalesQ4: Quantize
  scalesQ4F16: Quantize
  scalesQ8: Quantize
  swap16: Swap
  swap32: Swap
  swap64: Swap
  transpose16: Transpose
  transpose32: Transpose
  transpose64: Transpose
}

/** The block types of GGUF that can be written and read, by ggml's names. */
export type BlockKernel =
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q2_K'
  | 'Q3_K'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'

/**
 * f32 [rows, columns] at `src` to blocks at `dst`, row by row. `columns` must fill whole blocks and
 * the elements be finite. At `weights` stand `columns` f32, each column's importance; 0: there are
 * none. Bytes are those of ggml, with and without importance; those of Q4 and Q8, which make no use
 * of importance, and of their scales are ONNX Runtime's.
 */
type Quantize = (src: number, dst: number, rows: number, columns: number, weights: number) => void
/** `n` elements, whole blocks at `src`, to f32 at `dst`: the values that ggml reads. */
type Dequantize = (src: number, dst: number, n: number) => void

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
}

const pageBytes = 65536

/** Buffers start at a multiple of the cache line. */
export const alignment = 64

/**
 * Instantiates the kernels with room for `bytes` beyond their own data.
 */
export function loadKernels(bytes: number): Kernels {
  const module = new WebAssembly.Module(readFileSync(new URL('./kernels.wasm', import.meta.url)))
  const { exports } = new WebAssembly.Instance(module, {})
  if (!areKernels(exports)) throw new Error('kernels.wasm does not export the kernels')
  const base = Math.ceil(exports.heapBase() / alignment) * alignment
  const missing = base + bytes - exports.memory.buffer.byteLength
  if (missing > 0) exports.memory.grow(Math.ceil(missing / pageBytes))
  return {
    ...exports,
    base,
    bytes: (address, length) => new Uint8Array(exports.memory.buffer, address, length),
  }
}

function areKernels(exports: object): exports is Exports {
  return 'memory' in exports && 'heapBase' in exports && 'transpose16' in exports
}
