import { freemem } from 'node:os'
import type { ModelConfig } from '../checkpoint/config.js'
import { matrixOf } from '../checkpoint/tensor.js'
import type { EngineName } from '../record/check.js'
import { dtypes } from '../types/dtype.js'
import { engineFor, type Opened } from './open.js'

/**
 * Bytes that running a checkpoint takes at most: its weights, which are mapped and counted as if all
 * of them stayed in memory, the largest matrix in f32 while it is used, and what is computed.
 * @param tokens in one run
 */
export function memoryToRun(
  opened: Opened,
  tokens: number,
  engine: EngineName = engineFor(opened),
): number {
  const { config, files, tensors } = opened.checkpoint
  const weights = files.reduce((sum, { size }) => sum + size, 0)
  const casts = [...tensors.values()].map(({ dtype, shape }) => {
    const [rows, columns] = matrixOf(shape)
    return dtype === 'f32' || dtypes[dtype].block > 1 ? 0 : rows * columns * 4
  })
  // A graph that computes in f16 is cast by the runtime in the same way.
  const inEngine = engine === 'llama.cpp' ? 0 : Math.max(0, ...casts)
  return weights + inEngine + computed(config, tokens) + runtime
}

/** The libraries, and this program. */
const runtime = 250e6

/** Activations of a layer, scores of all heads, keys and values, and logits twice: handed over. */
function computed(config: ModelConfig, tokens: number): number {
  const { hidden_size, intermediate_size, num_attention_heads, num_key_value_heads } = config
  const { head_dim, num_hidden_layers, vocab_size } = config
  const activations = tokens * (6 * hidden_size + 4 * intermediate_size)
  const scores = 2 * num_attention_heads * tokens * tokens
  const cache = 2 * num_hidden_layers * tokens * num_key_value_heads * head_dim
  return 4 * (activations + scores + 2 * cache + 2 * tokens * vocab_size)
}

/** Bytes that may be used without harming others. */
export function availableMemory(): number {
  // In a container, what is left of its share; Node before 20.13 does not know.
  return typeof process.availableMemory === 'function' ? process.availableMemory() : freemem()
}
