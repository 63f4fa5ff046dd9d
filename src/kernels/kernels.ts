import { readFileSync } from 'node:fs'

/** What assembly/index.ts exports; addresses and counts are u32. */
interface Exports {
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
  countInfinite16: Count
  countInfinite32: Count
  rotaryToHalf: Rotary
  rotaryToInterleaved: Rotary
  swap16: Swap
  swap32: Swap
  swap64: Swap
  transpose16: Transpose
  transpose32: Transpose
  transpose64: Transpose
}

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
