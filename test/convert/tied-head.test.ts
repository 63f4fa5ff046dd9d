import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { embeddingName, headName } from '../../src/architectures/roles.js'
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js'
import { untieDifferentHead } from '../../src/convert/tied-head.js'
import { openCheckpoint } from '../../src/open/open.js'
import { makeSource } from '../support/conversion.js'

const test = suite('convert: tied head')

/** A checkpoint that says its head is tied, and has one: the embedding's bytes with `changed` others. */
async function withHead(changed: number): Promise<Checkpoint> {
  const { source, folder } = makeSource()
  const opened = await openCheckpoint(source)
  const embedding = opened.tensors.get(embeddingName)
  const [part] = embedding?.parts ?? []
  const [extent] = part?.extents ?? []
  assert.ok(embedding && part && extent)
  const { offset, length } = extent
  const bytes = Uint8Array.from(readFileSync(extent.path).subarray(offset, offset + length))
  for (let i = 0; i < changed; i++) bytes[length - 1 - 4 * i] = (bytes[length - 1 - 4 * i] ?? 0) ^ 1
  const path = join(folder, 'head')
  writeFileSync(path, bytes)
  const head = {
    ...embedding,
    name: headName,
    storedName: 'head',
    parts: [{ ...part, extents: [{ path, offset: 0, length }] }],
  }
  return {
    ...opened,
    config: { ...opened.config, tie_word_embeddings: true },
    tensors: new Map([...opened.tensors, [headName, head]]),
  }
}

test('a head that differs in one value is no tied one, and that is said', async () => {
  const { config, notes } = await untieDifferentHead(await withHead(1))
  assert.is(config.tie_word_embeddings, false)
  assert.match(notes.join(), /tie_word_embeddings true.*"head".*differs/)
})

test('a head that is the embedding once more is left as it is', async () => {
  const checkpoint = await withHead(0)
  assert.is(await untieDifferentHead(checkpoint), checkpoint)
})

test.run()
