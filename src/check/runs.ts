import type { Engine, EngineOptions } from '../engines/engine.js'
import { engineFor, openEngine } from '../engines/open.js'
import type { Runnable } from '../formats/open-runnable.js'
import { OpenLlamaError } from '../io/errors.js'
import type { CheckOptions } from './check.js'
import { type Run, type RunTexts, runModel } from './smoke.js'

/** What running both showed. */
export interface Runs {
  artifact: Run
  source?: Run
  device: Engine['device']
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
  const threads = options.threads === undefined ? {} : { threads: options.threads }
  let device: Engine['device'] = 'cpu'
  const runArtifact = async (draft?: readonly number[]): Promise<Run> => {
    if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
    onProgress?.('run the artifact')
    const engine = await openEngine(artifact, { device: options.device, ...threads })
    device = engine.device
    notes.push(...engine.notes)
    return finish(engine, texts, draft)
  }
  if (against === undefined) return { artifact: await runArtifact(), device }
  const source = against
  const vocabulary = source.checkpoint.config.vocab_size
  const runSource = async (draft?: readonly number[]): Promise<Run> => {
    if (signal?.aborted) throw new OpenLlamaError('interrupted', 'interrupted')
    onProgress?.('run the source')
    const engine = await openSource(source, { device: options.device, ...threads }, notes)
    notes.push(...engine.notes)
    return finish(engine, { ...texts, vocabulary }, draft)
  }
  if (engineFor(artifact) === 'llama.cpp' || engineFor(source) !== 'llama.cpp') {
    const first = await runArtifact()
    const second = await runSource(first.made)
    return { artifact: first, source: second, device }
  }
  const first = await runSource()
  const second = await runArtifact(first.made)
  return { artifact: second, source: first, device }
}

async function finish(engine: Engine, texts: RunTexts, draft?: readonly number[]): Promise<Run> {
  try {
    return await runModel(engine, texts, draft)
  } finally {
    await engine.dispose()
  }
}

/** The device is for the artifact: where the source's engine has not got it, the CPU will do. */
async function openSource(
  source: Runnable,
  options: EngineOptions,
  notes: string[],
): Promise<Engine> {
  try {
    return await openEngine(source, options)
  } catch (error) {
    const missing = error instanceof OpenLlamaError && error.code === 'resources'
    if (!missing || options.device === 'cpu' || options.device === 'auto') throw error
    notes.push(`the source runs on the CPU: ${error.message}`)
    return openEngine(source, { ...options, device: 'cpu' })
  }
}
