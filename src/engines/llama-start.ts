import type { Llama, LlamaModelOptions } from 'node-llama-cpp'
import { gguf } from '../formats/gguf/gguf.js'
import { inputError, OpenLlamaError } from '../io/errors.js'
import { whatToInstall } from './what-to-install.js'

export type LlamaModel = Awaited<ReturnType<Llama['loadModel']>>

/** llama.cpp, started; `dispose` gives its memory back. */
export interface StartedLlama {
  llama: Llama
  /** @throws input error where llama.cpp refuses the file, with what it says of it */
  load(options: LlamaModelOptions, what: string): Promise<LlamaModel>
  dispose(): Promise<void>
}

/** Where llama.cpp computes: on the CPU, or on what `gpu` names, `auto` being the best there is. */
export type LlamaGpu = false | 'auto' | 'cuda' | 'metal' | 'vulkan'

/**
 * Starts llama.cpp, on the CPU once for the whole process: starting takes most of a second, and it
 * keeps nothing but its libraries.
 * @throws resources error where it does not start here, or not with the GPU that was asked for
 */
export async function startLlama(gpu: LlamaGpu = false): Promise<StartedLlama> {
  if (gpu !== false) return start(gpu)
  onCpu ??= start(false)
  return { ...(await onCpu), dispose: async () => {} }
}

let onCpu: Promise<StartedLlama> | undefined

async function start(gpu: LlamaGpu): Promise<StartedLlama> {
  const said: string[] = []
  const llama = await getLlama(gpu, (message) => said.push(message))
  return {
    llama,
    async load(options, what) {
      said.length = 0
      try {
        return await llama.loadModel(options)
      } catch (cause) {
        const reason = said.map((message) => message.trim()).find((message) => message !== '')
        throw inputError(`llama.cpp cannot load ${what}: ${reason ?? String(cause)}`, {
          format: gguf.name,
          path: options.modelPath,
          cause,
          suggestions: ['Write it anew: convert it `to` gguf.'],
        })
      }
    },
    dispose: () => llama.dispose(),
  }
}

async function getLlama(gpu: LlamaGpu, onError: (message: string) => void): Promise<Llama> {
  try {
    // Loaded when asked for: it comes with libraries of some 30 MB.
    const llamaCpp = await import('node-llama-cpp')
    return await llamaCpp.getLlama({
      gpu,
      // A compiler is none of this program's business.
      build: 'never',
      progressLogs: false,
      logLevel: llamaCpp.LlamaLogLevel.error,
      logger: (_, message) => onError(message),
    })
  } catch (cause) {
    throw new OpenLlamaError(
      'resources',
      gpu === false || gpu === 'auto'
        ? 'llama.cpp does not start on this machine'
        : `llama.cpp does not start with ${gpu} on this machine`,
      {
        cause,
        suggestions: [
          gpu === false || gpu === 'auto'
            ? 'node-llama-cpp brings it for Linux, macOS and Windows on x64 and arm64: is its package for this platform installed?'
            : whatToInstall[gpu],
        ],
      },
    )
  }
}

/** Its ids are numbers with a brand. */
export type LlamaToken = Parameters<LlamaModel['detokenize']>[0][number]

export function asTokens(ids: readonly number[]): LlamaToken[] {
  return ids.filter((id): id is LlamaToken => Number.isInteger(id))
}
