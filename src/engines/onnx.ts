import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { ModelConfig } from '../checkpoint/config.js'
import { list } from '../checkpoint/geometry.js'
import { onnx } from '../formats/onnx/onnx.js'
import { decoderModel } from '../graph/decoder.js'
import { inputError, OpenLlamaError } from '../io/errors.js'
import { formatBytes } from '../io/units.js'
import { version } from '../version.js'
import { physicalCores } from './cores.js'
import { agreedTokens, checkTokens, type Engine, type EngineOptions, likeliest } from './engine.js'
import { type Gathered, locateWeights } from './located.js'
import { InferenceSession, listSupportedBackends, Tensor } from './onnxruntime.js'
import { gpusOf, whatToInstall } from './what-to-install.js'

/**
 * Runs a checkpoint as it lies, in ONNX Runtime: the graph is made in memory, its weights are those
 * in the checkpoint's own files, which the runtime maps. Computes in f32 whatever the weights' type:
 * they are cast as they are used, and dropped again.
 */
export async function openCheckpointEngine(
  checkpoint: Checkpoint,
  options: EngineOptions,
): Promise<Engine> {
  const { config, path, format, tensors } = checkpoint
  const { folder, weights, gathered } = await locateWeights(checkpoint)
  const orders = new Set([...tensors.values()].flatMap(({ layout }) => layout.rotary?.order ?? []))
  const [rotary = 'half'] = orders
  if (orders.size > 1) throw new Error('queries and keys have different rotary orders')
  const model = decoderModel({
    config,
    path,
    weights,
    compute: 'f32',
    rotary,
    ...(options.hiddenStates ? { hiddenStates: true } : {}),
    producer: { name: 'openllama', version: version() },
  })
  const device = deviceFor(options)
  const opened = await createSession({ format, path }, device, (fallback) =>
    InferenceSession.create(model, sessionOptions(device, options, fallback, folder)),
  )
  if (gathered.size > 0) opened.notes.push(gatheredNote(gathered))
  return engineOf(opened, config, tensorsOf(gathered))
}

/** Runs a graph that was exported, with its own weights, computing in its own type. */
export async function openGraphEngine(
  path: string,
  config: ModelConfig,
  options: EngineOptions,
): Promise<Engine> {
  const device = deviceFor(options)
  const opened = await createSession({ format: onnx.name, path }, device, (fallback) =>
    InferenceSession.create(path, sessionOptions(device, options, fallback)),
  )
  const { session } = opened
  for (const name of ['input_ids', 'attention_mask']) {
    if (!session.inputNames.includes(name)) {
      await session.release()
      throw inputError(`the graph has no input ${name}, only ${session.inputNames.join(', ')}`, {
        format: onnx.name,
        path,
        suggestions: ['A decoder with a key-value cache is expected, as optimum exports it.'],
      })
    }
  }
  return engineOf(opened, config, {})
}

type RuntimeDevice = 'cpu' | (typeof gpusOf)['onnxruntime'][number]

/** @throws resources error where the device is not there: nothing else is taken in its place */
function deviceFor({ device }: EngineOptions): RuntimeDevice {
  if (device === 'auto' || device === 'cpu') return 'cpu'
  const there = listSupportedBackends().map(({ name }) => name)
  const gpu = gpusOf.onnxruntime.find((each) => each === device)
  if (gpu !== undefined && there.includes(gpu)) return gpu
  throw new OpenLlamaError('resources', `ONNX Runtime has no ${device} here`, {
    suggestions: [
      gpu === undefined
        ? `It runs on cpu, ${gpusOf.onnxruntime.join(', ')}; ${device} is for GGUF, in llama.cpp.`
        : whatToInstall[device],
    ],
  })
}

/**
 * Weights stay in their files, mapped: constant folding would make f32 copies of f16 and bf16 ones,
 * for good (and beyond `basic` it is not to be switched off), packed ones would be copies too.
 * @param fallback whether the CPU may run what the device has no kernels for
 * @param folder that the weights' locations are relative to, where it is not the graph's own
 */
function sessionOptions(
  device: RuntimeDevice,
  { threads }: EngineOptions,
  fallback: boolean,
  folder?: string,
): InferenceSession.SessionOptions {
  const place = folder === undefined ? {} : { model_external_initializers_file_folder_path: folder }
  const whole = fallback ? {} : { disable_cpu_ep_fallback: '1' }
  return {
    executionProviders: [device],
    // 0: as many as the runtime counts.
    intraOpNumThreads: threads ?? physicalCores() ?? 0,
    logSeverityLevel: 4,
    graphOptimizationLevel: 'basic',
    extra: {
      session: { disable_prepacking: '1', ...whole, ...place },
      optimization: { disable_specified_optimizers: 'ConstantFolding' },
    },
  }
}

interface OpenedSession {
  session: InferenceSession
  device: RuntimeDevice
  notes: string[]
}

/** What the runtime says of a graph or of a device is about them, not a bug. */
async function createSession(
  where: { format: string; path: string },
  device: RuntimeDevice,
  create: (fallback: boolean) => Promise<InferenceSession>,
): Promise<OpenedSession> {
  try {
    if (device === 'cpu') return { session: await create(true), device, notes: [] }
    return await createOn(device, create)
  } catch (cause) {
    const reason = reasonOf(cause)
    if (device === 'cpu') {
      throw inputError(`ONNX Runtime does not load it: ${reason}`, { ...where, cause })
    }
    // The list of back ends has those that the package could load, were their libraries here.
    throw new OpenLlamaError('resources', `ONNX Runtime cannot use ${device} here: ${reason}`, {
      ...where,
      suggestions: [whatToInstall[device]],
      cause,
    })
  }
}

/** What the runtime says, in one line, without where in its sources it was said. */
function reasonOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause)
  const said = message.split(' was false. ').at(-1) ?? message
  return said.trim().replace(/\s+/g, ' ')
}

/** The runtime gives the CPU what a device has no kernels for: that must not go unsaid. */
async function createOn(
  device: RuntimeDevice,
  create: (fallback: boolean) => Promise<InferenceSession>,
): Promise<OpenedSession> {
  try {
    return { session: await create(false), device, notes: [`all of it runs on ${device}`] }
  } catch (cause) {
    const refused = cause instanceof Error && cause.message.includes('fallback to CPU')
    if (!refused) throw cause
    const note = `ONNX Runtime has no ${device} kernels for some of its operations: they run on the CPU`
    return { session: await create(true), device, notes: [note] }
  }
}

/** @param inputs weights that are given to every run */
function engineOf(
  { session, device, notes }: OpenedSession,
  config: ModelConfig,
  inputs: Feeds,
): Engine {
  const vocabulary = config.vocab_size
  const ends = new Set([config.eos_token_id].flat())
  return {
    name: 'onnxruntime',
    device,
    notes,
    async logits(tokens) {
      const { logits } = await step(
        session,
        checkTokens(tokens, vocabulary),
        emptyCache(session),
        inputs,
      )
      return logits
    },
    async generate(tokens, most, { draft = [], onStep } = {}) {
      const given = checkTokens(tokens, vocabulary)
      const made: number[] = []
      const told = draft.slice(0, most)
      if (told.length > 0) {
        const { logits } = await step(session, [...given, ...told], emptyCache(session), inputs)
        made.push(...told.slice(0, agreedTokens(logits, vocabulary, given.length, told)))
      }
      const end = made.findIndex((token) => ends.has(token))
      if (end >= 0) return made.slice(0, end + 1)
      let cache = emptyCache(session)
      let next: readonly number[] = [...given, ...made]
      while (made.length < most) {
        const start = performance.now()
        const { logits, cache: grown } = await step(session, next, cache, inputs)
        if (next.length === 1) onStep?.((performance.now() - start) / 1000)
        const token = likeliest(logits.subarray(-vocabulary))
        made.push(token)
        if (ends.has(token)) break
        cache = grown
        next = [token]
      }
      return made
    },
    ...(session.outputNames.includes('hidden.0')
      ? {
          async hiddenStates(tokens) {
            const outputs = await run(session, tokens, emptyCache(session), inputs)
            const names = session.outputNames.filter((name) => name.startsWith('hidden.'))
            return names.map((name) => floats(outputs[name]))
          },
        }
      : {}),
    dispose: () => session.release(),
  }
}

type Feeds = Record<string, Tensor>

/** The weights that are given to every run; nothing of them is copied. */
function tensorsOf(gathered: ReadonlyMap<string, Gathered>): Feeds {
  const feeds: Feeds = {}
  for (const [name, { dtype, shape, bytes }] of gathered)
    feeds[name] = tensorOf(dtype, bytes.buffer, shape)
  return feeds
}

function tensorOf(dtype: Gathered['dtype'], buffer: ArrayBuffer, shape: readonly number[]): Tensor {
  switch (dtype) {
    case 'f64':
      return new Tensor('float64', new Float64Array(buffer), shape)
    case 'f32':
      return new Tensor('float32', new Float32Array(buffer), shape)
    case 'f16':
      return new Tensor('float16', new Uint16Array(buffer), shape)
  }
}

function gatheredNote(gathered: ReadonlyMap<string, Gathered>): string {
  const bytes = [...gathered.values()].reduce((sum, weight) => sum + weight.bytes.length, 0)
  const what = gathered.size === 1 ? '1 tensor lies' : `${gathered.size} tensors lie`
  return `${what} in pieces and had to be put together in memory (${formatBytes(bytes)}): ${list([...gathered.keys()], 3)}`
}

/** Keys and values of the tokens before, by the graph's names for its inputs. */
interface Cache {
  length: number
  values: ReadonlyMap<string, Tensor>
}

function emptyCache({ inputMetadata }: InferenceSession): Cache {
  const values = new Map<string, Tensor>()
  for (const input of inputMetadata) {
    if (!input.isTensor || !input.name.startsWith('past_key_values.')) continue
    const [, heads, , size] = input.shape
    if (typeof heads !== 'number' || typeof size !== 'number') {
      throw inputError(`the graph's ${input.name} has no fixed heads and head_dim`, {
        format: onnx.name,
      })
    }
    const dims = [1, heads, 0, size]
    const empty =
      input.type === 'float16'
        ? new Tensor('float16', new Uint16Array(0), dims)
        : new Tensor('float32', new Float32Array(0), dims)
    values.set(input.name, empty)
  }
  return { length: 0, values }
}

/** One run over `tokens`, which follow those in the cache. */
async function step(
  session: InferenceSession,
  tokens: readonly number[],
  cache: Cache,
  inputs: Feeds,
): Promise<{ logits: Float32Array; cache: Cache }> {
  const outputs = await run(session, tokens, cache, inputs)
  const values = new Map<string, Tensor>()
  for (const [name, value] of Object.entries(outputs)) {
    if (name.startsWith('present.')) values.set(name.replace('present', 'past_key_values'), value)
  }
  return { logits: floats(outputs.logits), cache: { length: cache.length + tokens.length, values } }
}

function run(
  session: InferenceSession,
  tokens: readonly number[],
  cache: Cache,
  inputs: Feeds,
): Promise<InferenceSession.OnnxValueMapType> {
  const length = cache.length + tokens.length
  const feeds: Feeds = { ...inputs, ...Object.fromEntries(cache.values) }
  feeds.input_ids = whole(tokens)
  feeds.attention_mask = whole(Array.from({ length }, () => 1))
  if (session.inputNames.includes('position_ids')) {
    feeds.position_ids = whole(tokens.map((_, i) => cache.length + i))
  }
  return session.run(feeds)
}

function whole(values: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length])
}

/** Values as f32; graphs that compute in f16 may give out f16. */
function floats(tensor: Tensor | undefined): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data
  if (tensor?.type === 'float16' && ArrayBuffer.isView(tensor.data)) {
    const { buffer, byteOffset, byteLength } = tensor.data
    return Float32Array.from(new Uint16Array(buffer, byteOffset, byteLength / 2), halfValue)
  }
  throw inputError(
    `the graph's logits are ${tensor?.type ?? 'not there'}, float32 or float16 are expected`,
    { format: onnx.name },
  )
}

/** The value of an f16, by its bits. */
function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
