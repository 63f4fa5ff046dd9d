import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { diffCheckpoints } from '../../src/compare/diff.js'
import { openCheckpoint } from '../../src/open/open.js'
import { convert } from '../support/convert.js'
import { fails } from '../support/errors.js'
import { modelEntries, modelTensors, type RawTensor, rawGguf, u32 } from '../support/gguf.js'
import { small } from '../support/llama.js'
import { tempDir } from '../support/temp.js'

const test = suite('checkpoint: bindings')

/** Queries, keys and values of each layer behind one another, as llama.cpp’s --fuse-qkv has them. */
function fused(tensors: readonly RawTensor[]): RawTensor[] {
  return tensors.flatMap((tensor) => {
    if (/attn_[kv]\.weight/.test(tensor.name)) return []
    if (!/attn_q\.weight/.test(tensor.name)) return [tensor]
    const three = ['q', 'k', 'v'].flatMap((of) => {
      const name = tensor.name.replace('attn_q', `attn_${of}`)
      return tensors.filter((each) => each.name === name)
    })
    const rows = three.reduce((sum, { dimensions }) => sum + Number(dimensions[1]), 0)
    return {
      ...tensor,
      name: tensor.name.replace('attn_q', 'attn_qkv'),
      dimensions: [tensor.dimensions[0] ?? 0, rows],
      data: Buffer.concat(three.map(({ data }) => data)),
    }
  })
}

function file(tensors: RawTensor[], entries = modelEntries(small)): string {
  const path = join(tempDir(), 'model.gguf')
  writeFileSync(path, rawGguf({ entries, tensors }))
  return path
}

test('one array of queries, keys and values is three tensors, and that is said', async () => {
  const plain = await openCheckpoint(file(modelTensors(small, 'f16')))
  const path = file(fused(modelTensors(small, 'f16')))
  const bound = await openCheckpoint(path)
  assert.match(bound.notes.join('\n'), /2 arrays have the rows .*blk\.0\.attn_qkv\.weight/)
  assert.not.match(plain.notes.join('\n'), /rows of several/)
  const options = { maxMemory: 2 ** 24 }
  const { same, tensors } = await diffCheckpoints(plain, bound, options)
  assert.is(same, true)
  assert.is(tensors.filter(({ status }) => status === 'equal').length, plain.tensors.size)
  const out = join(tempDir(), 'out')
  await convert(path, out, { to: 'safetensors' })
  assert.is((await diffCheckpoints(plain, await openCheckpoint(out), options)).same, true)
})

test('other rows than the configuration makes them, or both ways at once, are refused', async () => {
  const entries = modelEntries(small).map((entry) =>
    entry.key === 'llama.attention.head_count_kv' ? u32(entry.key, 4) : entry,
  )
  const whole = modelTensors(small, 'f16')
  await fails(
    () => openCheckpoint(file(fused(whole), entries)),
    'input',
    'attn_qkv.weight',
    '[48, 40]',
    '64 rows',
  )
  const twice = [...fused(whole), ...whole.filter(({ name }) => name === 'blk.0.attn_k.weight')]
  await fails(() => openCheckpoint(file(twice)), 'input', 'blk.0.attn_k.weight', 'twice')
})

test.run()
