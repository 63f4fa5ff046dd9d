import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Listing, resolveCheckpoint } from '../../src/checkpoint/checkpoint.js'
import { listStream } from '../../src/formats/flax/easylm.js'
import { listParameters } from '../../src/formats/flax/flax.js'
import { listFile } from '../../src/formats/hf/safetensors.js'
import { OpenLlamaError } from '../../src/io/errors.js'
import type { ByteSource } from '../../src/io/source.js'
import { type Model, tensorsOf } from '../support/llama.js'
import { inMemory } from '../support/sources.js'
import { arraysOf, streamOf, treeOf } from '../support/stream.js'

// Whatever bytes there are: a listing or an error of ours, after few reads, none of them long.

const test = suite('formats: any bytes')

const model: Model = {
  vocab: 3,
  hidden: 2,
  intermediate: 3,
  layers: 1,
  heads: 1,
  kvHeads: 1,
  headDim: 2,
}

const formats: { name: string; bytes: Uint8Array; list(source: ByteSource): Promise<Listing> }[] = [
  { name: 'easylm', bytes: streamOf(arraysOf(model, 'bfloat16')), list: listStream },
  { name: 'flax', bytes: treeOf(arraysOf(model, 'bfloat16')), list: listParameters },
  {
    name: 'safetensors',
    bytes: safetensorsOf(model),
    list: async (source) => {
      const arrays = await listFile(source)
      return {
        format: 'safetensors',
        path: source.path,
        naming: 'hf',
        files: [],
        arrays,
        notes: [],
      }
    },
  },
]

for (const { name, bytes, list } of formats) {
  const survives = async (changed: Uint8Array): Promise<boolean> => {
    const counted = inMemory(changed)
    try {
      resolveCheckpoint(await list(counted.source), { heads: 1 }, { beside: [] })
      return true
    } catch (error) {
      if (!(error instanceof OpenLlamaError)) throw error
      assert.ok(error.message.length < 2000, `a message of ${error.message.length} letters`)
      return false
    } finally {
      assert.ok(counted.longest <= changed.length + 256, `a read of ${counted.longest} bytes`)
      assert.ok(counted.reads <= changed.length + 4, `${counted.reads} reads`)
    }
  }

  test(`${name}: ${bytes.length} bytes as they are`, async () => {
    assert.ok(await survives(bytes))
  })

  test(`${name}: cut anywhere`, async () => {
    for (let length = 0; length < bytes.length; length++)
      assert.not(await survives(bytes.subarray(0, length)), `cut at ${length}`)
  })

  test(`${name}: every byte changed, in several ways`, async () => {
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [0x01, 0xf0]) {
        const changed = Uint8Array.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ mask
        await survives(changed)
      }
    }
  })

  test(`${name}: bytes lost, doubled, and put in, at random`, async () => {
    const place = fc.nat(bytes.length)
    const edit = fc.record({ at: place, drop: fc.nat(12), put: fc.uint8Array({ maxLength: 12 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
        let changed: Uint8Array = bytes
        for (const { at, drop, put } of edits)
          changed = Buffer.concat([changed.subarray(0, at), put, changed.subarray(at + drop)])
        await survives(changed)
      }),
      { numRuns: 600, seed: 2 },
    )
  })

  test(`${name}: nothing but random bytes behind its first ones`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(24), fc.uint8Array({ maxLength: 200 }), async (kept, rest) => {
        await survives(Buffer.concat([bytes.subarray(0, kept), rest]))
      }),
      { numRuns: 600, seed: 3 },
    )
  })
}

test.run()

function safetensorsOf(of: Model): Uint8Array {
  let position = 0
  const entries = tensorsOf(of).map(({ hf, shape }) => {
    const begin = position
    position += 2 * shape.reduce((product, n) => product * n, 1)
    return [hf, { dtype: 'BF16', shape, data_offsets: [begin, position] }]
  })
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(position)])
}
