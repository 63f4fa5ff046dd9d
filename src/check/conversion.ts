import type { Conversion } from '../convert/convert.js'
import { availableMemory } from '../engines/memory.js'
import { OpenLlamaError } from '../io/errors.js'
import { formatBytes } from '../io/units.js'
import { tokenizerJsonOf } from '../tokenizer/load.js'
import type { CheckOptions } from './check.js'
import { memoryToCheck } from './memory.js'
import { type CheckRecord, roundFigures } from './record.js'

/** Enough to see a fault, and little beside the conversion itself. */
const positions = 64
const tokens = 16

/** Holds a finished output against the source that it was made from. */
export async function checkConversion(
  { checkpoint, options: conversion }: Conversion,
  output: string,
  options: Pick<CheckOptions, 'signal' | 'threads' | 'onProgress'>,
): Promise<CheckRecord> {
  // The engines' libraries are large: loaded when there is something to check.
  const { openRunnable } = await import('../formats/open-runnable.js')
  const { checkArtifact } = await import('./check.js')
  const artifact = await openRunnable(output)
  const { settled } = checkpoint
  // What was streamed from elsewhere must be here to be run.
  const against = settled === undefined ? { checkpoint } : await openRunnable(settled, conversion)
  const { record } = await checkArtifact(artifact, {
    ...options,
    against,
    converted: true,
    // The CPU is the same everywhere, and so are its figures.
    device: 'cpu',
    positions,
    tokens,
  })
  return roundFigures(record)
}

/** Why a conversion cannot be checked, where it cannot. */
export function whyUnchecked(
  { checkpoint, plan, tokenizer, quantisation }: Conversion,
  { allowNonFinite, asked }: { allowNonFinite: boolean; asked: boolean },
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
        suggestions: ['With --check the source is brought into the Hub’s cache for it.'],
      },
    )
  }
  const hasTokenizer =
    tokenizer !== undefined || tokenizerJsonOf(checkpoint.tokenizer.beside) !== undefined
  if (plan.target.format === 'gguf' && quantisation !== undefined && !hasTokenizer) {
    return new OpenLlamaError(
      'input',
      'the output has no vocabulary, without which llama.cpp does not run it',
      { ...where, suggestions: ['Name a tokenizer with --tokenizer.'] },
    )
  }
  const output = {
    ...checkpoint,
    format: plan.target.format,
    files: outputFiles(plan.target.files),
    tensors: plan.target.tensors,
  }
  const needed = memoryToCheck({ checkpoint: output }, { checkpoint }, positions)
  const free = availableMemory()
  if (needed <= free) return undefined
  return new OpenLlamaError(
    'resources',
    `it takes ${formatBytes(needed)} of memory, ${formatBytes(free)} are free`,
    { ...where, suggestions: ['Check it elsewhere with `openllama check`, or leave --check out.'] },
  )
}

function outputFiles(files: readonly { name: string; size: number }[]) {
  return files.map(({ name, size }) => ({ path: name, size }))
}
