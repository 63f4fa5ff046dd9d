import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gguf } from '@huggingface/gguf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Architecture, Role } from '../../src/architectures/architecture.js'
import { llama } from '../../src/architectures/llama.js'
import { bind, placeIn, unbind } from '../../src/checkpoint/bindings.js'
import type { StoredArray } from '../../src/checkpoint/checkpoint.js'
import { canonicalName, layoutIn, roleOf } from '../../src/checkpoint/names.js'
import { type Tensor, wholePart } from '../../src/checkpoint/tensor.js'
import { diffCheckpoints } from '../../src/compare/diff.js'
import type { ConvertOptions } from '../../src/convert/convert.js'
import { stepsBetween } from '../../src/convert/steps.js'
import { openTilePairs } from '../../src/convert/tile-pairs.js'
import { openCheckpoint } from '../../src/open/open.js'
import { equalBytes } from '../support/bytes.js'
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

/** The bytes of each array of a file, by Hugging Face's own reader of GGUF. */
async function arraysOf(path: string): Promise<Map<string, Uint8Array>> {
  const { tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true })
  const bytes = readFileSync(path)
  const begins = tensorInfos.map(({ offset }) => Number(tensorDataOffset + offset))
  return new Map(
    tensorInfos.map(({ name, shape, dtype }, i) => {
      const elements = shape.reduce((product, size) => product * Number(size), 1)
      const begin = begins[i] ?? 0
      return [name, bytes.subarray(begin, begin + elements * (dtype === 0 ? 4 : 2))]
    }),
  )
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

test('the same array is written where it is asked for, as it was read', async () => {
  for (const dtype of ['f16', 'f32'] as const) {
    const path = file(fused(modelTensors(small, dtype)))
    const out = join(tempDir(), 'out.gguf')
    await convert(path, out, { to: 'gguf', fuseQkv: true })
    const [theirs, ours] = await Promise.all([path, out].map(arraysOf))
    assert.equal([...(ours?.keys() ?? [])].sort(), [...(theirs?.keys() ?? [])].sort())
    for (const [name, bytes] of theirs ?? [])
      equalBytes(ours?.get(name) ?? bytes.subarray(1), bytes, name)
    const apart = join(tempDir(), 'apart.gguf')
    await convert(path, apart, { to: 'gguf' })
    assert.not.ok([...(await arraysOf(apart)).keys()].some((name) => name.includes('qkv')))
  }
})

test('fused arrays of a quantized type, or of another format, are wrong usage', async () => {
  const path = file(modelTensors(small, 'f32'))
  const out = join(tempDir(), 'out.gguf')
  const into = (options: Partial<ConvertOptions>) => () =>
    convert(path, out, { to: 'gguf', fuseQkv: true, ...options })
  await fails(into({ dtype: 'q8_0' }), 'usage', 'float types', 'q8_0')
  await fails(into({ to: 'safetensors' }), 'usage', '`fuseQkv` is for gguf')
})

/** A model of two experts whose files of Meta's naming have a stack of them, and norms with 1 added. */
const mixed: Architecture = {
  ...llama,
  roles: [
    role({ hf: 'model.norm.weight', meta: 'norm.weight' }, ['hidden']),
    role(
      {
        hf: 'model.layers.{i}.mlp.experts.{e}.up_proj.weight',
        meta: 'layers.{i}.experts.{e}.w3.weight',
      },
      ['intermediate', 'hidden'],
    ),
  ],
  bindings: {
    meta: [
      { op: 'stack', stored: 'layers.{i}.experts.w3', tensor: 'layers.{i}.experts.{e}.w3.weight' },
      { op: 'add', stored: 'norm.weight', value: 1 },
    ],
  },
}

function role(names: Role['names'], shape: Role['shape']): Role {
  return { names, shape, rotary: false, presence: 'always', split: 'copies' }
}

const where = { format: 'meta', path: 'it' }

test('a stack is one tensor an expert, and the experts in their order are a stack', () => {
  const shape = [3, 4, 5]
  const extent = { path: 'file', offset: 1000, length: 3 * 4 * 5 * 2 }
  const stack: StoredArray = {
    name: 'layers.7.experts.w3',
    dtype: 'f16',
    shape,
    parts: [wholePart(shape, [extent])],
  }
  const { arrays, bound } = unbind(mixed, 'meta', [stack], {}, where)
  assert.equal(bound, [stack.name])
  assert.equal(
    arrays.map(({ name, shape: each, parts }) => [name, each, parts[0]?.extents]),
    [0, 1, 2].map((expert) => [
      `layers.7.experts.${expert}.w3.weight`,
      [4, 5],
      [{ path: 'file', offset: 1000 + 40 * expert, length: 40 }],
    ]),
  )
  const tensors = arrays.map(({ name, dtype, shape: each, parts }): Tensor => {
    const named = roleOf(mixed, name, 'meta')
    assert.ok(named)
    return {
      name: canonicalName(named),
      storedName: name,
      dtype,
      shape: each,
      layout: layoutIn(mixed, 'meta', named.role, 2),
      parts,
    }
  })
  assert.is(tensors[2]?.name, 'model.layers.7.mlp.experts.2.up_proj.weight')
  // Ten is behind two, whatever their names' order is.
  const many = Array.from({ length: 11 }, (_, expert): Tensor => {
    const [first] = tensors
    assert.ok(first)
    const storedName = `layers.7.experts.${expert}.w3.weight`
    return { ...first, name: storedName, storedName }
  })
  const mixedUp = [...many].sort((a, b) => (a.name < b.name ? -1 : 1))
  const [array, ...others] = bind(mixed, 'meta', mixedUp, { asked: false, path: 'it' })
  assert.is(others.length, 0)
  assert.ok(array)
  assert.equal([array.name, array.shape, array.bytes], ['layers.7.experts.w3', [11, 4, 5], 440])
  assert.equal(
    placeIn(array, { path: 'out', offset: 64 }).map(({ name, parts }) => [name, parts[0]?.extents]),
    many.map(({ name }, i) => [name, [{ path: 'out', offset: 64 + 40 * i, length: 40 }]]),
  )
  const flat = { ...stack, shape: [12, 5] }
  assert.throws(() => unbind(mixed, 'meta', [flat], {}, where), /\[12, 5\], a stack of matrices/)
})

test('tensors of different types do not make one array', () => {
  const one = (expert: number, dtype: 'f16' | 'f32'): Tensor => ({
    name: `expert ${expert}`,
    storedName: `layers.0.experts.${expert}.w3.weight`,
    dtype,
    shape: [4, 5],
    layout: { transposed: false },
    parts: [],
  })
  assert.throws(
    () => bind(mixed, 'meta', [one(0, 'f16'), one(1, 'f32')], { asked: false, path: 'it' }),
    /of f32 and expert 0 of f16/,
  )
  assert.throws(
    () => bind(llama, 'hf', [one(0, 'f16')], { asked: true, path: 'it' }),
    /no array has several tensors in files of a LLaMA model/,
  )
})

test('what a naming adds to a tensor is taken away, and put there', async () => {
  const norm = roleOf(mixed, 'norm.weight', 'meta')
  assert.ok(norm)
  assert.is(layoutIn(mixed, 'meta', norm.role, 2).added, 1)
  assert.is(layoutIn(mixed, 'hf', norm.role, 2).added, undefined)
  const values = Float32Array.of(1.5, -2, 0.25, 3e-8, 1000.5)
  const stored = values.map((value) => value + 1)
  const folder = tempDir()
  writeFileSync(join(folder, 'stored'), stored)
  writeFileSync(join(folder, 'halves'), Uint8Array.of(0x00, 0x3e, 0x00, 0xbc))
  const tensor = (path: string, dtype: 'f32' | 'f16', n: number, added: number): Tensor => ({
    name: 'norm',
    storedName: 'norm',
    dtype,
    shape: [n],
    layout: { transposed: false, ...(added === 0 ? {} : { added }) },
    parts: [
      wholePart(
        [n],
        [{ path: join(folder, path), offset: 0, length: n * (dtype === 'f32' ? 4 : 2) }],
      ),
    ],
  })
  const pairs = openTilePairs(2 ** 20)
  const valuesOf = (it: Tensor) => {
    const [pair] = pairs.tiles(it, it, 'f32')
    assert.ok(pair)
    const { buffer, byteOffset, byteLength } = pair.ours
    return [...new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength))]
  }
  assert.equal(valuesOf(tensor('stored', 'f32', 5, 1)), [...stored.map((value) => value - 1)])
  // 1.5 and -1, from which 1 was taken.
  assert.equal(valuesOf(tensor('halves', 'f16', 2, -1)), [2.5, 0])
  pairs.close()
  const to = { ...tensor('out', 'f16', 5, 1) }
  assert.equal(
    stepsBetween(tensor('in', 'f16', 5, 0), to).map(({ kind }) => kind),
    ['cast', 'add', 'cast'],
  )
})

test.run()
