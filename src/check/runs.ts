import type { Engine } from '../engines/engine.js'
import { engineFor, exactEngineFor } from '../engines/open.js'
import { type StartOptions, startEngine } from '../engines/process.js'
import { OpenLlamaError } from '../io/errors.js'
import type { Runnable } from '../open/runnable.js'
import type { EngineName } from '../record/check.js'
import type { CheckOptions } from './check.js'
import { roundingOf } from './rounding.js'
import { type RunTexts, runModel, type SmokeRun } from './smoke.js'

/** What running both showed. */
export interface Runs {
  /** In the engine that is made for it. */
  artifact: SmokeRun
  source?: SmokeRun
  device: Engine['device']
  /**
   * The artifact's logits over the passage, [positions, vocabulary], with activations in f32, where
   * the engine that is made for it rounds them.
   */
  exact?: Float32Array
}

/**
 * Runs both, one after the other. Decoding token by token is what takes long, so the faster engine
 * goes first, and what it made of the prompt is what the other has only to confirm.
 */
export async function runBoth(
  artifact: Runnable,
  texts: RunTexts,
  options: CheckOptions,
  notes: string[],
): Promise<Runs> {
  const { against, signal, onProgress } = options
  const how = {
    signal,
    ...(options.threads === undefined ? {} : { threads: options.threads }),
  }
  let device: Engine['device'] = 'cpu'
  const begin = (phase: Parameters<NonNullable<typeof onProgress>>[0]): void => {
    if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
    onProgress?.(phase)
  }
  const runArtifact = async (draft?: readonly number[]): Promise<SmokeRun> => {
    begin('running the artifact')
    const engine = await startEngine(artifact, { device: options.device, ...how })
    device = engine.device
    notes.push(...engine.notes)
    return used(engine, (opened) => runModel(opened, texts, draft, signal))
  }
  if (against === undefined) return { artifact: await runArtifact(), device }
  const source = against
  const vocabulary = source.checkpoint.config.vocab_size
  const engine = exactEngineFor(source)
  const runSource = async (draft?: readonly number[]): Promise<SmokeRun> => {
    begin('running the source')
    const opened = await openSource(source, { device: options.device, engine, ...how }, notes)
    notes.push(...opened.notes)
    return used(opened, (each) => runModel(each, { ...texts, vocabulary }, draft, signal))
  }
  const runExact = async (): Promise<{ exact?: Float32Array }> => {
    if (!isRunTwice(artifact, source)) return {}
    begin('running the artifact in f32')
    const opened = await startEngine(artifact, { device: 'cpu', engine: 'onnxruntime', ...how })
    return { exact: await used(opened, ({ logits }) => logits(texts.passage)) }
  }
  if (engineFor(artifact) === 'llama.cpp' || engine !== 'llama.cpp') {
    const first = await runArtifact()
    const second = await runSource(first.made)
    return { artifact: first, source: second, device, ...(await runExact()) }
  }
  const first = await runSource()
  const second = await runArtifact(first.made)
  return { artifact: second, source: first, device, ...(await runExact()) }
}

/**
 * Whether an artifact is held against its source twice: as its file says, in f32, and as the engine
 * that it is made for computes it.
 */
function isRunTwice(artifact: Runnable, source: Runnable): boolean {
  const exact = exactEngineFor(artifact)
  return (
    exact !== engineFor(artifact) &&
    roundingOf(artifact).activations &&
    exactEngineFor(source) === 'onnxruntime'
  )
}

async function used<T>(engine: Engine, use: (engine: Engine) => Promise<T>): Promise<T> {
  try {
    return await use(engine)
  } finally {
    await engine.dispose()
  }
}

/** The device is for the artifact: where the source's engine has not got it, the CPU will do. */
async function openSource(
  source: Runnable,
  options: StartOptions & { engine: EngineName },
  notes: string[],
): Promise<Engine> {
  try {
    return await startEngine(source, options)
  } catch (error) {
    const missing = error instanceof OpenLlamaError && error.code === 'resources'
    if (!missing || options.device === 'cpu' || options.device === 'auto') throw error
    notes.push(`the source runs on the CPU: ${error.message}`)
    return startEngine(source, { ...options, device: 'cpu' })
  }
}
