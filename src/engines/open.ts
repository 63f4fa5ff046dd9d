import type { Checkpoint } from '../checkpoint/checkpoint.js'
import type { Engine, EngineName, EngineOptions } from './engine.js'
import { openLlamaEngine } from './llama.js'
import { openCheckpointEngine, openGraphEngine } from './onnx.js'

/** A checkpoint, and the graph that runs it where it has its own. */
export interface Opened {
  checkpoint: Checkpoint
  graph?: string
}

/** Which engine runs a checkpoint: llama.cpp what is made for it, ONNX Runtime all else. */
export function engineFor({ checkpoint }: Opened): EngineName {
  return checkpoint.format === 'gguf' ? 'llama.cpp' : 'onnxruntime'
}

/**
 * Opens a checkpoint in its engine. An exported graph runs as it is; other checkpoints run as they
 * lie, through a graph that is made for them.
 * @param options with `engine`, that one: ONNX Runtime takes a GGUF of floats too
 */
export function openEngine(
  opened: Opened,
  options: EngineOptions & { engine?: EngineName },
): Promise<Engine> {
  const { checkpoint, graph } = opened
  if ((options.engine ?? engineFor(opened)) === 'llama.cpp') {
    const [first] = checkpoint.files
    return openLlamaEngine(first?.path ?? checkpoint.path, checkpoint.config, options)
  }
  return graph === undefined
    ? openCheckpointEngine(checkpoint, options)
    : openGraphEngine(graph, checkpoint.config, options)
}
