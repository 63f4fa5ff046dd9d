import { rotaryOf } from '../checkpoint/rotary.js'
import type { Conversion } from '../convert/convert.js'
import { availableMemory } from '../engines/memory.js'
import { traitsOf } from '../formats/index.js'
import { OpenLlamaError } from '../io/errors.js'
import { formatBytes } from '../io/units.js'
import { worded } from '../io/wording.js'
import type { Runnable } from '../open/runnable.js'
import { type CheckRecord, roundFigures } from '../record/check.js'
import type { Loss } from '../record/provenance.js'
import { hasVocabulary, tokenizerJsonOf } from '../tokenizer/load.js'
import type { CheckOptions } from './check.js'
import { memoryToCheck } from './memory.js'
import { positionsToSee, type Reach } from './reach.js'

/** Enough to see a fault, and little beside the conversion itself. */
const leastPositions = 64
/** More is for `openllama check`. */
const mostPositions = 1024
const tokens = 16

/** Holds a finished output against the source that it was made from. */
export async function checkConversion(
  conversion: Conversion,
  output: string,
  options: Pick<CheckOptions, 'signal' | 'threads' | 'onProgress'>,
): Promise<CheckRecord> {
  // The engines' libraries are large: loaded when there is something to check.
  const { openRunnable, runnableOf } = await import('../open/runnable.js')
  const { checkArtifact } = await import('./check.js')
  const { checkpoint, plan } = conversion
  const artifact = await openRunnable(output)
  const reach = reachOf(conversion, availableMemory())
  const { resolved } = checkpoint
  // What was streamed from elsewhere must be here to be run.
  const source =
    resolved === undefined
      ? runnableOf(checkpoint)
      : await openRunnable(resolved, conversion.options)
  const { record } = await checkArtifact(artifact, {
    ...options,
    against: asSaid(source, artifact, plan.target.losses ?? []),
    converted: true,
    // The CPU is the same everywhere, and so are its figures.
    device: 'cpu',
    positions: reach.positions,
    tokens,
  })
  return roundFigures({ ...record, notes: [...worded(reach.notes), ...record.notes] })
}

/** The source as the output says it, where a loss is allowed: all else must compute the same. */
function asSaid(source: Runnable, artifact: Runnable, losses: readonly Loss[]): Runnable {
  const config = { ...source.checkpoint.config }
  const said = artifact.checkpoint.config
  for (const { field } of losses) {
    if (field === 'rope_scaling' && said.rope_scaling === null) config.rope_scaling = null
    if (field === 'sliding_window' && said.sliding_window === null) config.sliding_window = null
  }
  if (losses.length === 0) return source
  // A graph of its own would compute what is lost.
  return { checkpoint: { ...source.checkpoint, config } }
}

export interface CheckPlan {
  /** Why the output cannot be checked, where it cannot; known before any of the work. */
  unchecked?: OpenLlamaError
  /** Positions that are compared at. */
  positions: number
  /** Bytes that the check takes at most, and those that are free. */
  memory: number
  freeMemory: number
}

export interface CheckWish {
  /** Values that are not finite are kept, or made (--allow-non-finite, --allow-overflow). */
  allowNonFinite: boolean
  /** The user asked for it (--check): a source at the Hub is brought here for it. */
  asked: boolean
}

/** Whether the output of a conversion can be checked, and what that takes. */
export function planCheck(conversion: Conversion, wish: CheckWish): CheckPlan {
  const { checkpoint } = conversion
  const freeMemory = availableMemory()
  const { positions } = reachOf(conversion, freeMemory)
  const memory = memoryAt(conversion, positions)
  const unchecked = reasonNot(conversion, wish) ?? tooMuch(checkpoint, memory, freeMemory)
  return { ...(unchecked ? { unchecked } : {}), positions, memory, freeMemory }
}

/** Positions that show what changes with the length of a text, where that is no great effort. */
function reachOf(conversion: Conversion, freeMemory: number): Reach {
  return positionsToSee(
    [conversion.checkpoint.config],
    { least: leastPositions, most: mostPositions },
    (positions) => memoryAt(conversion, positions),
    freeMemory,
  )
}

function memoryAt({ checkpoint, plan }: Conversion, positions: number): number {
  const output = {
    ...checkpoint,
    format: plan.target.format,
    files: plan.target.files.map(({ name, size }) => ({ path: name, size })),
    tensors: plan.target.tensors,
  }
  return memoryToCheck({ checkpoint: output }, { checkpoint }, positions)
}

/** What makes a check impossible, whatever the machine. */
function reasonNot(
  { checkpoint, plan, tokenizer, quantization }: Conversion,
  { allowNonFinite, asked }: CheckWish,
): OpenLlamaError | undefined {
  const where = { path: checkpoint.path, format: checkpoint.format }
  if (allowNonFinite) {
    return new OpenLlamaError('usage', 'what is not finite is allowed, and cannot be run', where)
  }
  if ([...checkpoint.tensors.values()].some(({ layout }) => layout.bigEndian)) {
    return new OpenLlamaError(
      'input',
      'its bytes are in big-endian order, which no engine runs',
      where,
    )
  }
  if (checkpoint.origin !== undefined && !asked) {
    return new OpenLlamaError(
      'usage',
      'its source is at the Hub, and an engine runs only what is on this machine',
      {
        ...where,
        suggestions: ['With `check` the source is brought into the Hub’s cache for it.'],
      },
    )
  }
  const hasTokenizer =
    tokenizer !== undefined ||
    tokenizerJsonOf(checkpoint.tokenizer.beside) !== undefined ||
    checkpoint.tokenizer.tiktoken !== undefined ||
    hasVocabulary(checkpoint.metadata)
  if (
    traitsOf(plan.target.format).engine === 'llama.cpp' &&
    quantization !== undefined &&
    !hasTokenizer
  ) {
    return new OpenLlamaError(
      'input',
      'the output has no vocabulary, without which llama.cpp does not run it',
      { ...where, suggestions: ['Name a tokenizer with `tokenizer`.'] },
    )
  }
  return withoutGraph(checkpoint)
}

/** A scaling that the graph cannot compute: weights and configuration are copied all the same. */
function withoutGraph({ config, path }: Conversion['checkpoint']): OpenLlamaError | undefined {
  try {
    rotaryOf(config, path)
    return undefined
  } catch (error) {
    if (error instanceof OpenLlamaError) return error
    throw error
  }
}

function tooMuch(
  { path, format }: Conversion['checkpoint'],
  needed: number,
  free: number,
): OpenLlamaError | undefined {
  if (needed <= free) return undefined
  return new OpenLlamaError(
    'resources',
    `it takes ${formatBytes(needed)} of memory, ${formatBytes(free)} are free`,
    {
      path,
      format,
      suggestions: ['Check it elsewhere with `openllama check`, or leave `check` out.'],
    },
  )
}
