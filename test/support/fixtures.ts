import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { listStream } from '../../src/formats/flax/easylm.js'
import { f16Bits, f16Value } from './floats.js'
import { fixtures, hfValues, tensorsOf } from './llama.js'
import { fixture } from './paths.js'
import { bytesOfArray, decode, expectedTensors, hashOfF32, inMemory } from './sources.js'

export type FixtureName = keyof typeof fixtures

const known = new Map<FixtureName, Promise<Map<string, Float32Array>>>()

/**
 * The values of a fixture's tensors by Hugging Face's names, brought to its layout by plain loops
 * and held to expected/tensors.json.
 */
export function fixtureValues(name: FixtureName): Promise<Map<string, Float32Array>> {
  const values = known.get(name) ?? readValues(name)
  known.set(name, values)
  return values
}

async function readValues(name: FixtureName): Promise<Map<string, Float32Array>> {
  const file = await readFile(fixture(name, 'easylm', 'streaming_params_bf16'))
  const { arrays } = await listStream(inMemory(file).source)
  const expected = expectedTensors(name)
  const all = new Map<string, Float32Array>()
  for (const tensor of tensorsOf(fixtures[name])) {
    const array = arrays.find((each) => each.name === tensor.easylm)
    assert.ok(array, tensor.easylm)
    const values = hfValues(decode(bytesOfArray(array, file), 'bf16'), tensor, fixtures[name])
    assert.is(hashOfF32(values), expected.get(tensor.hf)?.sha256_f32, tensor.hf)
    all.set(tensor.hf, values)
  }
  return all
}

/** The nearest values that f16 holds: what EasyLM's fp16 files have. */
export function inF16(values: Float32Array | undefined): Float32Array {
  assert.ok(values)
  return values.map((value) => f16Value(f16Bits(value)))
}
