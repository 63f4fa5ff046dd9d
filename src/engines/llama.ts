import { availableParallelism } from 'node:os'
import type { ModelConfig } from '../checkpoint/config.js'
import { gguf } from '../formats/gguf/gguf.js'
import { inputError, OpenLlamaError } from '../io/errors.js'
import { physicalCores } from './cores.js'
import { agreedTokens, checkTokens, type Engine, type EngineOptions } from './engine.js'
import {
  asTokens,
  type LlamaGpu,
  type LlamaModel,
  type StartedLlama,
  startLlama,
} from './llama-start.js'
import { whatToInstall } from './what-to-install.js'

type Context = Awaited<ReturnType<LlamaModel['createContext']>>
type Sequence = ReturnType<Context['getSequence']>

/**
 * Runs a GGUF in llama.cpp, its weights mapped or, on a GPU, all of them there.
 * @param path the first part, where the file is split
 */
export async function openLlamaEngine(
  path: string,
  config: ModelConfig,
  options: EngineOptions,
): Promise<Engine> {
  const { started, device, notes } = await startOn(options)
  const model = await loadOn(started, path, device)
  const threads =
    options.threads ??
    physicalCores() ??
    Math.min(started.llama.cpuMathCores, availableParallelism())
  const vocabulary = config.vocab_size
  const ends = new Set([config.eos_token_id].flat())
  let context: Context | undefined
  let sequence: Sequence | undefined

  /** An empty sequence with room for so many tokens. */
  const room = async (tokens: number): Promise<Sequence> => {
    if (context === undefined || context.contextSize <= tokens) {
      await context?.dispose()
      context = await createContext(model, tokens, threads, path)
      sequence = context.getSequence()
    }
    if (sequence === undefined) throw new Error('the context has no sequence')
    await sequence.clearHistory()
    return sequence
  }

  const logits = async (tokens: readonly number[]): Promise<Float32Array> => {
    const checked = asTokens(checkTokens(tokens, vocabulary))
    const at = await room(checked.length)
    const rows = new Float32Array(checked.length * vocabulary)
    // A row's probabilities come as a map of some megabytes: a few of them at a time.
    for (let start = 0; start < checked.length; start += rowsAtOnce) {
      await at.controlledEvaluate(
        checked.slice(start, start + rowsAtOnce).map((token) => [token, { generateNext: all }]),
        {
          onTokenResult: (i, { next }) => {
            const row = (start + i) * vocabulary
            rows.subarray(row, row + vocabulary).set(logOf(next.probabilities, vocabulary, path))
            next.probabilities?.clear()
          },
        },
      )
    }
    return rows
  }

  return {
    name: 'llama.cpp',
    device,
    notes,
    logits,
    async generate(tokens, most, { draft = [], onStep } = {}) {
      const given = asTokens(checkTokens(tokens, vocabulary))
      const made: number[] = []
      const told = draft.slice(0, most)
      if (told.length > 0) {
        const rows = await logits([...given, ...told])
        made.push(...told.slice(0, agreedTokens(rows, vocabulary, given.length, told)))
      }
      const end = made.findIndex((token) => ends.has(token))
      if (end >= 0) return made.slice(0, end + 1)
      const at = await room(given.length + most)
      let next = [...given, ...asTokens(made)]
      while (made.length < most) {
        const start = performance.now()
        const outputs = await at.controlledEvaluate(
          next.map((token, i) => (i < next.length - 1 ? token : [token, { generateNext: greedy }])),
        )
        if (next.length === 1) onStep?.((performance.now() - start) / 1000)
        const token = outputs.at(-1)?.next.token
        if (token === undefined || token === null) break
        made.push(token)
        if (ends.has(token)) break
        next = [token]
      }
      return made
    },
    async dispose() {
      await context?.dispose()
      await model.dispose()
      await started.dispose()
    },
  }
}

/** Options by which nothing is taken from the distribution before it is handed out. */
const all = {
  probabilities: true,
  options: { temperature: 1, topK: 0, topP: 1, minP: 0 },
} as const

const greedy = { token: true, options: { temperature: 0 } } as const

const rowsAtOnce = 32

/** Starts llama.cpp where it was asked to compute, and says what `auto` came to. */
async function startOn({ device }: EngineOptions): Promise<{
  started: StartedLlama
  device: Engine['device']
  notes: string[]
}> {
  if (device === 'webgpu' || device === 'dml') {
    throw new OpenLlamaError('resources', `llama.cpp has no ${device}`, {
      suggestions: ['GGUF runs on cpu, cuda, metal and vulkan.'],
    })
  }
  const gpu: LlamaGpu = device === 'cpu' ? false : device
  const started = await startLlama(gpu)
  const found = started.llama.gpu
  const names = found === false ? [] : await started.llama.getGpuDeviceNames()
  if (found !== false && names.length > 0) {
    return { started, device: found, notes: [`runs on ${found}: ${names.join(', ')}`] }
  }
  if (device === 'cpu' || device === 'auto') {
    if (found === false) return { started, device: 'cpu', notes: [] }
    // A back end without a device: its libraries are there, a GPU is not.
    await started.dispose()
    return { started: await startLlama(false), device: 'cpu', notes: [] }
  }
  await started.dispose()
  throw new OpenLlamaError('resources', `llama.cpp finds no ${device} device here`, {
    suggestions: [whatToInstall[device]],
  })
}

async function loadOn(
  started: StartedLlama,
  path: string,
  device: Engine['device'],
): Promise<LlamaModel> {
  try {
    return await started.load(
      { modelPath: path, gpuLayers: device === 'cpu' ? 0 : 'max' },
      device === 'cpu' ? 'it' : `it onto ${device}`,
    )
  } catch (error) {
    await started.dispose()
    throw error
  }
}

/**
 * Keys and values in f32 and attention as it is written: rounding them to f16, as by default, would
 * move logits by some 0.005, more than a faulty weight may.
 */
async function createContext(
  model: LlamaModel,
  tokens: number,
  threads: number,
  path: string,
): Promise<Context> {
  // One more: a context that is full is shifted, and forgets its first tokens.
  const size = Math.max(tokens + 1, leastContext)
  try {
    return await model.createContext({
      contextSize: size,
      batchSize: Math.min(size, 512),
      // By default it leaves cores to others, which starves small machines.
      threads,
      flashAttention: false,
      experimentalKvCacheKeyType: 'F32',
      experimentalKvCacheValueType: 'F32',
    })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new OpenLlamaError('resources', `llama.cpp has no room for ${size} tokens: ${reason}`, {
      format: gguf.name,
      path,
      cause,
      suggestions: ['Choose fewer `positions` or `tokens`, or the device cpu.'],
    })
  }
}

/** Tokens below which a smaller context saves nothing. */
const leastContext = 256

/** The smallest logarithm of a probability that f32 holds; smaller ones come as 0. */
const leastLog = Math.log(2 ** -149)

function logOf(
  probabilities: ReadonlyMap<number, number> | undefined,
  vocabulary: number,
  path: string,
): Float32Array {
  if (probabilities === undefined || probabilities.size !== vocabulary) {
    throw inputError(
      `llama.cpp gives ${probabilities?.size ?? 'no'} probabilities, the vocabulary has ${vocabulary}`,
      { format: gguf.name, path },
    )
  }
  const row = new Float32Array(vocabulary)
  for (const [token, probability] of probabilities) {
    row[token] = probability === 0 ? leastLog : Math.log(probability)
  }
  return row
}
