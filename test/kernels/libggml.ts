import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import koffi from 'koffi'
import { type BlockType, dtypes } from '../../src/types/dtype.js'

/** ggml's own quantization, as llama-quantize calls it. */
export interface LibGgml {
  quantize(
    type: BlockType,
    src: Float32Array,
    columns: number,
    weights: Float32Array | undefined,
  ): Uint8Array
  dequantize(type: BlockType, src: Uint8Array, n: number): Float32Array
}

/** Where npm puts the libraries of node-llama-cpp: beside it. */
const modules = fileURLToPath(
  new URL('../../@node-llama-cpp', import.meta.resolve('node-llama-cpp')),
)

/**
 * The portable libggml that node-llama-cpp brings along; a sentence where there is none. On ARM its
 * compiler contracts multiplications and additions, which gives other bits: x86-64 is the reference.
 */
export function openLibGgml(): LibGgml | string {
  if (process.arch !== 'x64') return `libggml's bytes on ${process.arch} are not the reference's`
  const path = libGgmlPath()
  if (path === undefined) return `node-llama-cpp has no libggml for ${process.platform} here`
  const library = koffi.load(path)
  const chunk: (
    type: number,
    src: Float32Array,
    dst: Uint8Array,
    start: number,
    rows: number,
    columns: number,
    weights: Float32Array | null,
  ) => number = library.func('ggml_quantize_chunk', 'size_t', [
    'int',
    'const void *',
    'void *',
    'int64_t',
    'int64_t',
    'int64_t',
    'const void *',
  ])
  return {
    quantize(type, src, columns, weights) {
      const {
        ggml: { id },
        block,
        bytes,
      } = dtypes[type]
      const dst = new Uint8Array((src.length / block) * bytes)
      chunk(id, src, dst, 0, src.length / columns, columns, weights ?? null)
      return dst
    },
    dequantize(type, src, n) {
      const dst = new Float32Array(n)
      const name = type.replace('k', 'K')
      const run: (src: Uint8Array, dst: Float32Array, n: number) => void = library.func(
        `dequantize_row_${name}`,
        'void',
        ['const void *', 'void *', 'int64_t'],
      )
      run(src, dst, n)
      return dst
    },
  }
}

/** Of the portable build, whose libllama lies beside it; undefined where there is none. */
export function libGgmlPath(): string | undefined {
  const systems: Partial<Record<NodeJS.Platform, { prefix: string; file: string }>> = {
    linux: { prefix: 'linux-x64', file: 'libggml-base.so' },
    darwin: { prefix: 'mac-x64', file: 'libggml-base.dylib' },
    win32: { prefix: 'win-x64', file: 'ggml-base.dll' },
  }
  const system = systems[process.platform]
  if (system === undefined || !existsSync(modules)) return undefined
  return readdirSync(modules)
    .filter((name) => name.startsWith(system.prefix))
    .sort()
    .map((name) => join(modules, name, 'bins', name, system.file))
    .find((path) => existsSync(path))
}
