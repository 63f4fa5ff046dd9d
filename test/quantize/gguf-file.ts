// As much of a GGUF file as the tests need: little-endian v3, whole in memory.
import { readFileSync } from 'node:fs'
import { tensorTypes } from '../../src/formats/gguf/type.js'
import { type GgmlType, ggmlBytes, isGgmlType } from '../../src/types/ggml.js'

interface GgufTensor {
  name: string
  /** Rows first, columns last. */
  shape: number[]
  type: GgmlType
  bytes: Uint8Array
}

export interface GgufFile {
  metadata: Map<string, unknown>
  tensors: GgufTensor[]
}

export function readGgufFile(path: string): GgufFile {
  const bytes = new Uint8Array(readFileSync(path))
  const view = new DataView(bytes.buffer)
  let at = 8
  const take = (length: number): number => {
    at += length
    return at - length
  }
  const u32 = () => view.getUint32(take(4), true)
  const u64 = () => Number(view.getBigUint64(take(8), true))
  const text = () => {
    const length = u64()
    const from = take(length)
    return new TextDecoder().decode(bytes.subarray(from, from + length))
  }
  const value = (type: number): unknown => {
    switch (type) {
      case 0:
      case 1:
      case 7:
        return view.getUint8(take(1))
      case 4:
        return u32()
      case 5:
        return view.getInt32(take(4), true)
      case 6:
        return view.getFloat32(take(4), true)
      case 8:
        return text()
      case 9: {
        const of = u32()
        return Array.from({ length: u64() }, () => value(of))
      }
      case 10:
        return u64()
      default:
        throw new Error(`metadata of type ${type}`)
    }
  }
  const count = u64()
  const metadata = new Map<string, unknown>()
  for (let left = u64(); left > 0; left--) {
    const key = text()
    metadata.set(key, value(u32()))
  }
  const described = Array.from({ length: count }, () => {
    const name = text()
    const shape = Array.from({ length: u32() }, u64).reverse()
    const type = tensorTypes.get(u32())
    if (type === undefined || !isGgmlType(type)) throw new Error(`${name} has an unknown type`)
    return { name, shape, type, offset: u64() }
  })
  const start = Math.ceil(at / 32) * 32
  const tensors = described.map(({ offset, ...tensor }) => {
    const from = start + offset
    return { ...tensor, bytes: bytes.subarray(from, from + ggmlBytes(tensor.type, tensor.shape)) }
  })
  return { metadata, tensors }
}
