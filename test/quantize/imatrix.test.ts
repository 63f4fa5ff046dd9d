import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { OpenLlamaError } from '../../src/io/errors.js'
import { openCheckpoint } from '../../src/open/open.js'
import {
  imatrixFromGguf,
  importanceOf,
  isGgufImatrix,
  parseLegacyImatrix,
} from '../../src/quantize/imatrix.js'
import { blockTypes, openBlockKernels } from '../kernels/blocks.js'
import { makeSource } from '../support/conversion.js'
import { convert } from '../support/convert.js'
import { small } from '../support/llama.js'

const path = 'imatrix.dat'

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}

function entry(name: string, calls: number, sums: number[]): Buffer {
  const values = Buffer.from(Float32Array.from(sums).buffer)
  return Buffer.concat([int(name.length), Buffer.from(name), int(calls), int(sums.length), values])
}

const attention = entry('blk.0.attn_q.weight', 3, [1, 2, 6])
const feedForward = entry('blk.0.ffn_up.weight', 0, [4, 5])
const tail = Buffer.concat([int(7), int(8), Buffer.from('wiki.txt')])
const legacy = Buffer.concat([int(2), attention, feedForward, tail])

function refuses(run: () => unknown, message: RegExp): void {
  assert.throws(run, (error: unknown) => {
    if (!(error instanceof OpenLlamaError)) return false
    assert.match(error.message, message)
    return error.code === 'input'
  })
}

test('a legacy file gives means; sums that were never divided stay', () => {
  const got = parseLegacyImatrix(legacy, path)
  const expected = Float32Array.of(1 / 3, 2 / 3, 2)
  assert.equal(got.importance.get('blk.0.attn_q.weight'), expected)
  assert.equal(got.importance.get('blk.0.ffn_up.weight'), Float32Array.of(4, 5))
  assert.equal(got.datasets, ['wiki.txt'])
  assert.is(got.chunks, 7)
})

test('a legacy file may end after its entries', () => {
  const got = parseLegacyImatrix(Buffer.concat([int(1), attention]), path)
  assert.is(got.importance.size, 1)
  assert.is(got.chunks, 0)
  assert.equal(got.datasets, [])
})

test('a legacy file cut off anywhere inside its entries is refused', () => {
  const entriesEnd = legacy.length - tail.length
  for (let length = 0; length < entriesEnd; length++) {
    refuses(() => parseLegacyImatrix(legacy.subarray(0, length), path), /left/)
  }
})

test('malformed legacy files are refused', () => {
  const files: [Buffer, RegExp][] = [
    [int(0), /no importance/],
    [int(-5), /no importance/],
    [Buffer.concat([int(1), int(-1)]), /name of -1 bytes/],
    [Buffer.concat([int(1), int(1 << 30)]), /name of 1073741824 bytes/],
    [Buffer.concat([int(1), entry('a', 1, [])]), /0 values/],
    [Buffer.concat([int(1), entry('a', 1, [1, Number.NaN])]), /column 1 has importance NaN/],
    [Buffer.concat([int(1), entry('a', 1, [Infinity])]), /column 0 has importance Infinity/],
    [Buffer.concat([int(1), entry('a', 1, [1, -2])]), /column 1 has importance -2/],
  ]
  for (const [bytes, message] of files) refuses(() => parseLegacyImatrix(bytes, path), message)
})

const gguf = {
  metadata: new Map<string, unknown>([
    ['imatrix.datasets', ['a.txt', 'b.txt']],
    ['imatrix.chunk_count', 12],
  ]),
  tensors: [
    { name: 'blk.0.attn_q.weight.in_sum2', data: Float32Array.of(1, 2, 6) },
    { name: 'blk.0.attn_q.weight.counts', data: Float32Array.of(3) },
    { name: 'blk.1.attn_q.weight.counts', data: Float32Array.of(0) },
    { name: 'blk.1.attn_q.weight.in_sum2', data: Float32Array.of(5, 5, 5) },
  ],
}

test('a GGUF file gives means; columns never measured count as 1', () => {
  const got = imatrixFromGguf(gguf, path)
  assert.equal(got.importance.get('blk.0.attn_q.weight'), Float32Array.of(1 / 3, 2 / 3, 2))
  assert.equal(got.importance.get('blk.1.attn_q.weight'), Float32Array.of(1, 1, 1))
  assert.equal(got.datasets, ['a.txt', 'b.txt'])
  assert.is(got.chunks, 12)
})

test('GGUF files with sums and no counts, several counts, or nothing are refused', () => {
  const [sums, count] = gguf.tensors
  if (sums === undefined || count === undefined) throw new Error('no tensors')
  const several = { ...count, data: Float32Array.of(1, 2) }
  const metadata = gguf.metadata
  refuses(() => imatrixFromGguf({ metadata, tensors: [sums] }, path), /no counts/)
  refuses(() => imatrixFromGguf({ metadata, tensors: [sums, several] }, path), /2 counts/)
  refuses(() => imatrixFromGguf({ metadata, tensors: [] }, path), /no importance/)
})

test('the two kinds are told apart by their first bytes', () => {
  assert.ok(isGgufImatrix(Buffer.from('GGUF\x03')))
  assert.not.ok(isGgufImatrix(legacy))
  assert.not.ok(isGgufImatrix(Buffer.from('GG')))
})

test('importance of another width is refused, but for the token embedding', () => {
  const matrix = {
    importance: new Map([
      ['token_embd.weight', Float32Array.of(1, 2)],
      ['blk.0.attn_q.weight', Float32Array.of(1, 2)],
    ]),
    datasets: [],
    chunks: 0,
  }
  assert.equal(importanceOf(matrix, 'blk.0.attn_q.weight', 2, path), Float32Array.of(1, 2))
  assert.is(importanceOf(matrix, 'blk.9.attn_q.weight', 2, path), undefined)
  assert.is(importanceOf(matrix, 'token_embd.weight', 3, path), undefined)
  refuses(() => importanceOf(matrix, 'blk.0.attn_q.weight', 3, path), /2 columns.* has 3/)
})

test('a matrix of which no column counts becomes zeros in some types, which is said', async () => {
  const model = { ...small, hidden: 256, intermediate: 256, headDim: 32, vocab: 64 }
  const { source, folder } = makeSource(model)
  const imatrix = join(folder, 'imatrix.dat')
  const nothing = entry('blk.0.attn_q.weight', 1, Array(256).fill(0))
  const some = entry('blk.1.attn_q.weight', 1, Array(256).fill(0).with(7, 1))
  writeFileSync(imatrix, Buffer.concat([int(2), nothing, some]))
  const kernels = openBlockKernels(256 * 256)
  for (const type of blockTypes) {
    const out = join(folder, `${type}.gguf`)
    const tensorTypes = [`attn_q=${type}`]
    const options = { to: 'gguf', dtype: 'q8_0', mix: { imatrix, tensorTypes } } as const
    const { warnings } = await convert(source, out, options)
    const { tensors } = await openCheckpoint(out)
    const written = tensors.get('model.layers.0.self_attn.q_proj.weight')
    const extent = written?.parts[0]?.extents[0]
    assert.is(written?.dtype, type)
    if (extent === undefined) throw new Error('it has no bytes')
    const bytes = readFileSync(out).subarray(extent.offset, extent.offset + extent.length)
    const isZero = kernels.dequantize(type, bytes, 256 * 256).every((value) => value === 0)
    const record = JSON.parse(readFileSync(`${out}.openllama.json`, 'utf8'))
    assert.is(record.options.mix.imatrix, 'imatrix.dat')
    const said = warnings.filter((warning) => warning.includes('no column of'))
    assert.is(said.length, isZero ? 1 : 0, type)
    if (isZero) assert.match(said.join(), 'imatrix.dat no column of blk.0.attn_q.weight counts')
  }
})

test.run()
