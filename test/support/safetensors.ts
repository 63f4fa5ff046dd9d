import { readFileSync } from 'node:fs'
import type { Checkpoint } from '../../src/checkpoint/checkpoint.js'
import { tensorBytes } from '../../src/checkpoint/tensor.js'

/** A tensor of a file that a test makes up. */
export interface MadeTensor {
  dtype: string
  shape: readonly number[]
  data: Uint8Array
}

/** A safetensors file, written as the format's document has it. */
export function safetensorsOf(
  tensors: Readonly<Record<string, MadeTensor>>,
  metadata: Record<string, string> = { format: 'pt' },
): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata }
  let position = 0
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [position, position + data.length] }
    position += data.length
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, ...Object.values(tensors).map(({ data }) => data)])
}

/** The tensors of a checkpoint of safetensors of one type, by their names. */
export function madeTensors({ tensors }: Checkpoint, dtype = 'F32'): Record<string, MadeTensor> {
  const made: Record<string, MadeTensor> = {}
  for (const tensor of tensors.values()) {
    const { path = '', offset = 0 } = tensor.parts[0]?.extents[0] ?? {}
    const data = readFileSync(path).subarray(offset, offset + tensorBytes(tensor))
    made[tensor.name] = { dtype, shape: tensor.shape, data }
  }
  return made
}

/** Integers, or levels of a quantization, of no meaning. */
export function zeros(dtype: string, shape: readonly number[], bits: number): MadeTensor {
  const elements = shape.reduce((all, size) => all * size, 1)
  return { dtype, shape, data: Buffer.alloc((elements * bits) / 8) }
}
