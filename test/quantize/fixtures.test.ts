// The files that llama-quantize made of the tiny models: the same type and bytes for every tensor.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { assignTypes } from '../../src/quantize/assign.js'
import { isMixName, type MixName } from '../../src/quantize/mixes.js'
import { dtypes, isBlock } from '../../src/types/dtype.js'
import { firstDifference, openBlockKernels } from '../kernels/blocks.js'
import { type GgufFile, readGgufFile } from './gguf-file.js'

const fixtures = fileURLToPath(new URL('../../../../shared/fixtures', import.meta.url))
const kernels = openBlockKernels(1 << 18)

function number({ metadata }: GgufFile, key: string): number {
  const value = metadata.get(key)
  if (typeof value !== 'number') throw new Error(`${key} is no number`)
  return value
}

function check(plain: GgufFile, expected: GgufFile, mix: MixName): void {
  const geometry = {
    layers: number(plain, 'llama.block_count'),
    heads: number(plain, 'llama.attention.head_count'),
    kvHeads: number(plain, 'llama.attention.head_count_kv'),
  }
  const got = assignTypes(plain.tensors, geometry, { mix })
  assert.is(got.fileType, number(expected, 'general.file_type'))
  assert.is(got.quantizationVersion, number(expected, 'general.quantization_version'))
  assert.is(got.tensors.length, expected.tensors.length)
  for (const { name, type, shape } of got.tensors) {
    const wanted = expected.tensors.find((tensor) => tensor.name === name)
    const source = plain.tensors.find((tensor) => tensor.name === name)
    if (wanted === undefined || source === undefined) throw new Error(`no tensor ${name}`)
    assert.is(type, wanted.type, name)
    if (!isBlock(type)) continue
    const elements = new Float32Array(source.bytes.slice().buffer)
    const bytes = kernels.quantize(type, elements, shape.at(-1) ?? 1, undefined)
    assert.is(firstDifference(bytes, wanted.bytes, dtypes[type].bytes), undefined, name)
  }
}

for (const model of ['tiny-v1', 'tiny-v2']) {
  const folder = join(fixtures, model, 'gguf')
  if (!existsSync(folder)) {
    console.log(`  SKIPPED: ${model}: ${folder} is not here`)
    continue
  }
  const plain = readGgufFile(join(folder, 'f32.gguf'))
  for (const file of readdirSync(folder).filter((name) => name.startsWith('Q'))) {
    const mix = file.replace('.gguf', '').toLowerCase()
    test(`${model}: ${file} has llama-quantize's types and bytes`, () => {
      assert.ok(isMixName(mix), mix)
      if (isMixName(mix)) check(plain, readGgufFile(join(folder, file)), mix)
    })
  }
}

test.run()
