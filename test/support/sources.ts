import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import type { StoredArray } from '../../src/checkpoint/checkpoint.js'
import { type ByteSource, memorySource } from '../../src/io/source.js'
import { bytesOf } from './bytes.js'
import { f16Value, f32Value } from './floats.js'
import { fixture } from './paths.js'

/** What was asked of a source. */
export interface Counted {
  source: ByteSource
  reads: number
  bytes: number
  longest: number
}

/** Counts what is read of a source. */
export function counting(inner: ByteSource): Counted {
  const counted: Counted = {
    reads: 0,
    bytes: 0,
    longest: 0,
    source: {
      ...inner,
      read(offset, length) {
        counted.reads++
        counted.bytes += length
        counted.longest = Math.max(counted.longest, length)
        return inner.read(offset, length)
      },
    },
  }
  return counted
}

export function inMemory(bytes: Uint8Array): Counted {
  return counting(memorySource('weights', bytes))
}

/** The bytes of an array, wherever its extents are. */
export function bytesOfArray({ parts }: StoredArray, file: Uint8Array): Uint8Array {
  assert.is(parts.length, 1)
  return Buffer.concat(
    (parts[0]?.extents ?? []).map(({ offset, length }) => {
      assert.ok(offset + length <= file.length)
      return file.subarray(offset, offset + length)
    }),
  )
}

/** Little-endian elements as f32. */
export function decode(bytes: Uint8Array, dtype: string): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (dtype === 'f32')
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true))
  const value = dtype === 'f16' ? f16Value : (bits: number) => f32Value(bits * 65536)
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) =>
    value(view.getUint16(2 * i, true)),
  )
}

/** expected/tensors.json: by Hugging Face's names, shape and hash of the f32 bytes. */
export function expectedTensors(
  model: string,
): Map<string, { shape: number[]; sha256_f32: string }> {
  return new Map(
    Object.entries(JSON.parse(readFileSync(fixture(model, 'expected', 'tensors.json'), 'utf8'))),
  )
}

export function hashOfF32(values: Float32Array): string {
  return createHash('sha256').update(bytesOf(values)).digest('hex')
}
