import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { traitsOf } from '../formats/index.js'
import { inputError, type OpenLlamaError } from '../io/errors.js'
import type { EngineName } from '../record/check.js'
import { hasVocabulary } from '../tokenizer/load.js'
import { isFloat } from '../types/dtype.js'
import type { Engine, EngineOptions } from './engine.js'

/** A checkpoint, and the graph that runs it where it has its own. */
export interface Opened {
  checkpoint: Checkpoint
  graph?: string
}

/**
 * Which engine runs a checkpoint: llama.cpp what is made for it, ONNX Runtime all else, also a GGUF
 * of floats that has no vocabulary, over which llama.cpp's binding would end the process.
 */
export function engineFor({ checkpoint }: Opened): EngineName {
  if (traitsOf(checkpoint.format).engine === 'onnxruntime') return 'onnxruntime'
  return canTokenize(checkpoint) || !isAllFloat(checkpoint) ? 'llama.cpp' : 'onnxruntime'
}

/**
 * The engine that multiplies a checkpoint's weights with activations in f32: llama.cpp rounds these to
 * the type of f16, bf16 and quantized weights, and what it computes says as much of it as of the file.
 */
export function exactEngineFor(opened: Opened): EngineName {
  return isAllFloat(opened.checkpoint) ? 'onnxruntime' : engineFor(opened)
}

function canTokenize({ metadata }: Checkpoint): boolean {
  return metadata === undefined || hasVocabulary(metadata)
}

function isAllFloat({ tensors }: Checkpoint): boolean {
  // What has no tensors is quantized in a way that is not read.
  return tensors.size > 0 && [...tensors.values()].every(({ dtype }) => isFloat(dtype))
}

/**
 * Opens a checkpoint in its engine. An exported graph runs as it is; other checkpoints run as they
 * lie, through a graph that is made for them.
 * @param options with `engine`, that one: ONNX Runtime takes a GGUF of floats too
 */
export async function openEngine(
  opened: Opened,
  options: EngineOptions & { engine?: EngineName },
): Promise<Engine> {
  const { checkpoint, graph } = opened
  if ((options.engine ?? engineFor(opened)) === 'llama.cpp') {
    if (!canTokenize(checkpoint)) throw withoutVocabulary(checkpoint)
    const [first] = checkpoint.files
    // Each engine comes with libraries of some 30 MB: the one that is used is loaded.
    const { openLlamaEngine } = await import('./llama.js')
    return openLlamaEngine(first?.path ?? checkpoint.path, checkpoint.config, options)
  }
  const { openCheckpointEngine, openGraphEngine } = await import('./onnx.js')
  return graph === undefined
    ? openCheckpointEngine(checkpoint, options)
    : openGraphEngine(graph, checkpoint.config, options)
}

function withoutVocabulary({ path, format }: Checkpoint): OpenLlamaError {
  return inputError('it has no vocabulary, without which llama.cpp does not run it', {
    path,
    format,
    suggestions: ['Convert it again with `tokenizer`.'],
  })
}
