// llama.cpp's own quantizer, out of the library that node-llama-cpp brings, for the benchmark:
//   node --import tsx scripts/llama-quantize.ts IN.gguf OUT.gguf
// writes Q4_K_M with as many threads as there are cores.
import { availableParallelism } from 'node:os'
import { openLibLlama } from '../test/kernels/libllama.js'

const [input, output] = process.argv.slice(2)
if (input === undefined || output === undefined) throw new Error('IN.gguf and OUT.gguf are missing')
const llama = openLibLlama()
if (typeof llama === 'string') throw new Error(llama)

/** LLAMA_FTYPE_MOSTLY_Q4_K_M */
const fileType = 15
llama.quantize(input, output, { fileType, threads: availableParallelism() })
