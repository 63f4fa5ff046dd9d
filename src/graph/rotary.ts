import type { ModelConfig } from '../checkpoint/config.js'
import { type RotaryAngles, rotaryOf } from '../checkpoint/rotary.js'
import { addConstant, addNode, elementTypes, type GraphBuilder } from './model.js'

interface Angles {
  builder: GraphBuilder
  config: ModelConfig
  /** The checkpoint, for errors. */
  path: string
  compute: 'f32' | 'f16'
}

/**
 * The cosines and sines [batch, sequence, head_dim / 2] of the positions that are asked for. Made
 * from the frequencies as the graph runs: a table for every position would have 67 MB for a context
 * of 131072, and would end there.
 */
export function rotaryAngles(of: Angles): { cos: string; sin: string } {
  const { builder, config, compute, path } = of
  const rotary = rotaryOf(config, path)
  const constant = isConstant(rotary) ? addFrequencies(builder, rotary.frequencies) : undefined
  const last = addConstant(builder, 'rotary.last_axis', BigInt64Array.of(-1n))
  const positions = cast(builder, 'position_ids', 'rotary.positions', 'f32')
  const columns = addNode(builder, 'Unsqueeze', 'rotary.columns', [positions, last])
  const frequencies = constant ?? frequenciesOfLength(builder, config, rotary)
  const angles = addNode(builder, 'Mul', 'rotary.angles', [columns, frequencies])
  const attention =
    rotary.attention === 1
      ? undefined
      : addConstant(builder, 'rotary.attention', Float32Array.of(rotary.attention), [])
  const scaled = (op: 'Cos' | 'Sin', name: string) => {
    if (attention === undefined) return addNode(builder, op, name, [angles])
    const plain = addNode(builder, op, `${name}.plain`, [angles])
    return addNode(builder, 'Mul', name, [plain, attention])
  }
  const cos = scaled('Cos', 'rotary.cos')
  const sin = scaled('Sin', 'rotary.sin')
  if (compute === 'f32') return { cos, sin }
  return {
    cos: cast(builder, cos, 'rotary.cos.cast', compute),
    sin: cast(builder, sin, 'rotary.sin.cast', compute),
  }
}

function isConstant({ beyond, growing }: RotaryAngles): boolean {
  return beyond === undefined && growing === undefined
}

function addFrequencies(
  builder: GraphBuilder,
  frequencies: Float32Array<ArrayBuffer>,
  name = 'rotary.frequencies',
): string {
  return addConstant(builder, name, frequencies, [1, 1, frequencies.length])
}

/**
 * Frequencies [1, 1, head_dim / 2] that depend on how long the text is, the cache included. Keys
 * that are in the cache stay as they were turned, in transformers too.
 */
function frequenciesOfLength(
  builder: GraphBuilder,
  { head_dim, rope_theta }: ModelConfig,
  { frequencies, beyond, growing }: RotaryAngles,
): string {
  const scalar = (name: string, value: number) =>
    addConstant(builder, `rotary.${name}`, Float32Array.of(value), [])
  const node = (op: string, name: string, inputs: string[], attributes = {}) =>
    addNode(builder, op, `rotary.${name}`, inputs, attributes)
  const last = node('ReduceMax', 'last_position', ['rotary.positions'], { keepdims: 0 })
  const length = node('Add', 'length', [last, scalar('one', 1)])
  if (beyond !== undefined) {
    return node('Where', 'frequencies', [
      node('Greater', 'is_long', [length, scalar('original_context', beyond.length)]),
      addFrequencies(builder, beyond.frequencies, 'rotary.frequencies.long'),
      addFrequencies(builder, frequencies, 'rotary.frequencies.short'),
    ])
  }
  if (growing === undefined) throw new Error('the frequencies do not depend on the length')
  const { length: context, factor } = growing
  const longest = node('Max', 'longest', [length, scalar('context', context)])
  const contexts = node('Div', 'contexts', [longest, scalar('one_context', context)])
  const stretch = node('Sub', 'stretch', [
    node('Mul', 'scaled', [contexts, scalar('factor', factor)]),
    scalar('factor_less', factor - 1),
  ])
  const power = node('Pow', 'power', [stretch, scalar('exponent', head_dim / (head_dim - 2))])
  const base = node('Mul', 'base', [power, scalar('theta', rope_theta)])
  const exponents = Float32Array.from(frequencies, (_, i) => (-2 * i) / head_dim)
  return node('Pow', 'frequencies', [base, addFrequencies(builder, exponents, 'rotary.exponents')])
}

function cast(builder: GraphBuilder, input: string, output: string, type: 'f32' | 'f16'): string {
  return addNode(builder, 'Cast', output, [input], { to: elementTypes[type] })
}
