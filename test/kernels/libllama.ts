import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import koffi from 'koffi'
import { libGgmlPath } from './libggml.js'

/** llama.cpp's own quantizer: what llama-quantize calls. */
export interface LibLlama {
  /** @throws where llama.cpp refuses */
  quantize(input: string, output: string, options: QuantizeOptions): void
}

interface QuantizeOptions {
  /** llama_ftype, by its number in llama.h. */
  fileType: number
  threads: number
  /** By GGUF's names, each column's importance. */
  importance?: ReadonlyMap<string, Float32Array>
}

/** The llama.cpp that node-llama-cpp brings; a sentence where there is none. */
export function openLibLlama(): LibLlama | string {
  const base = libGgmlPath()
  if (base === undefined) return 'node-llama-cpp has no library for this machine'
  const folder = dirname(base)
  const find = (name: RegExp) => readdirSync(folder).find((each) => name.test(each))
  const [ggmlName, llamaName] = [find(/^(lib)?ggml\.v/), find(/^(lib)?llama\.v/)]
  if (ggmlName === undefined || llamaName === undefined) return `there is no libllama in ${folder}`
  const shared = { global: true }
  koffi.load(base, shared)
  const ggml = koffi.load(join(folder, ggmlName), shared)
  const llama = koffi.load(join(folder, llamaName), shared)
  ggml.func('ggml_backend_load_all_from_path', 'void', ['str'])(folder)

  // It tells of every tensor on stderr.
  const logger = koffi.proto('void llama_log(int level, const char *text, void *data)')
  llama.func('llama_log_set', 'void', [koffi.pointer(logger), 'void *'])(
    koffi.register(() => undefined, koffi.pointer(logger)),
    null,
  )

  const importanceType = koffi.struct({ name: 'str', data: 'const float *', size: 'size_t' })
  // The head of llama_model_quantize_params (llama.h); what follows keeps the library's defaults.
  const paramsType = koffi.struct({
    nthread: 'int32_t',
    ftype: 'int32_t',
    types: koffi.array('int32_t', 2),
    flags: koffi.array('uint8_t', 8),
    imatrix: koffi.pointer(importanceType),
    rest: koffi.array('uint64_t', 12),
  })
  const defaults: () => object = llama.func('llama_model_quantize_default_params', paramsType, [])
  const quantize: (input: string, output: string, params: object) => number = llama.func(
    'llama_model_quantize',
    'uint32_t',
    ['str', 'str', koffi.pointer(paramsType)],
  )
  return {
    quantize(input, output, { fileType, threads, importance }) {
      const entries = [...(importance ?? [])].map(([name, data]) => ({
        name,
        data,
        size: data.length,
      }))
      const code = quantize(input, output, {
        ...defaults(),
        nthread: threads,
        ftype: fileType,
        imatrix: importance ? [...entries, { name: null, data: null, size: 0 }] : null,
      })
      if (code !== 0) throw new Error(`llama_model_quantize ended with ${code}`)
    },
  }
}
