import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import { metadataLookup } from '../../src/checkpoint/metadata.js'
import type { GgufPart } from '../../src/formats/gguf/split.js'
import { equalBytes } from './bytes.js'

/** Two GGUF files have the same file type, and of each tensor the same type and bytes. */
export function sameQuantized(actual: GgufPart, expected: GgufPart, what: string): void {
  const fileType = ({ header }: GgufPart) =>
    metadataLookup(header.entries).integer('general.file_type')
  assert.is(fileType(actual), fileType(expected), what)
  assert.is(actual.header.tensors.length, expected.header.tensors.length, what)
  const ours = readFileSync(actual.file.path)
  const theirs = readFileSync(expected.file.path)
  for (const tensor of expected.header.tensors) {
    const found = actual.header.tensors.find(({ name }) => name === tensor.name)
    assert.is(found?.dtype, tensor.dtype, `${what}: ${tensor.name}`)
    if (found === undefined) continue
    equalBytes(
      ours.subarray(found.offset, found.offset + found.bytes),
      theirs.subarray(tensor.offset, tensor.offset + tensor.bytes),
      `${what}: ${tensor.name}`,
    )
  }
}
