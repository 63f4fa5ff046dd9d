// llama.cpp's own quantizer, out of the library that node-llama-cpp brings, for the benchmark:
//   node --import tsx scripts/llama-quantize.ts IN.gguf OUT.gguf
// writes Q4_K_M with as many threads as there are cores.
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import koffi from 'koffi'
import { libGgmlPath } from '../test/kernels/libggml.js'

const [input, output] = process.argv.slice(2)
if (input === undefined || output === undefined) throw new Error('IN.gguf and OUT.gguf are missing')
const base = libGgmlPath()
if (base === undefined) throw new Error('node-llama-cpp has no library for this machine')

const folder = dirname(base)
const shared = { global: true }
koffi.load(base, shared)
const ggml = koffi.load(find(/^libggml\.v/), shared)
const llama = koffi.load(find(/^libllama\.v/), shared)

// The head of llama_model_quantize_params (llama.h); what follows keeps the library's defaults.
const params = koffi.struct('llama_model_quantize_params', {
  nthread: 'int32_t',
  ftype: 'int32_t',
  rest: koffi.array('uint64_t', 12),
})
const defaults: () => { nthread: number; ftype: number } = llama.func(
  'llama_model_quantize_default_params',
  params,
  [],
)
const quantize: (input: string, output: string, params: object) => number = llama.func(
  'llama_model_quantize',
  'uint32_t',
  ['str', 'str', koffi.pointer(params)],
)
const loadBackends: (folder: string) => void = ggml.func(
  'ggml_backend_load_all_from_path',
  'void',
  ['str'],
)

/** LLAMA_FTYPE_MOSTLY_Q4_K_M */
const q4_k_m = 15

loadBackends(folder)
const threads = availableParallelism()
const code = quantize(input, output, { ...defaults(), nthread: threads, ftype: q4_k_m })
if (code !== 0) throw new Error(`llama_model_quantize ended with ${code}`)

function find(name: RegExp): string {
  const file = readdirSync(folder).find((each) => name.test(each))
  if (file === undefined) throw new Error(`there is no ${name} beside ${base}`)
  return join(folder, file)
}
