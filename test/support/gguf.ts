import { bytesOf, seeded } from './bytes.js'
import { bf16Bits, f16Bits } from './floats.js'
import { type Expected, type Model, tensorsOf } from './llama.js'

// GGUF files, byte by byte from the format's description: independent of the program's writer.

/** GGUF's numbers for value types. */
export const valueTypes = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const

/** Writes numbers in one byte order. */
class Writer {
  private readonly chunks: Uint8Array[] = []
  length = 0

  constructor(readonly littleEndian: boolean) {}

  bytes(bytes: Uint8Array): this {
    this.chunks.push(bytes)
    this.length += bytes.length
    return this
  }

  private number(size: number, write: (view: DataView) => void): this {
    const bytes = new Uint8Array(size)
    write(new DataView(bytes.buffer))
    return this.bytes(bytes)
  }

  u8 = (value: number) => this.number(1, (view) => view.setUint8(0, value))
  u16 = (value: number) => this.number(2, (view) => view.setUint16(0, value, this.littleEndian))
  u32 = (value: number) => this.number(4, (view) => view.setUint32(0, value, this.littleEndian))
  i32 = (value: number) => this.number(4, (view) => view.setInt32(0, value, this.littleEndian))
  f32 = (value: number) => this.number(4, (view) => view.setFloat32(0, value, this.littleEndian))
  f64 = (value: number) => this.number(8, (view) => view.setFloat64(0, value, this.littleEndian))
  u64 = (value: number | bigint) =>
    this.number(8, (view) => view.setBigUint64(0, BigInt(value), this.littleEndian))

  text(text: string): this {
    const bytes = new TextEncoder().encode(text)
    return this.u64(bytes.length).bytes(bytes)
  }

  pad(alignment: number): this {
    return this.bytes(new Uint8Array((alignment - (this.length % alignment)) % alignment))
  }

  done(): Uint8Array {
    return Buffer.concat(this.chunks)
  }
}

export interface RawEntry {
  key: string
  type: number
  value: (writer: Writer) => unknown
}

export interface RawTensor {
  name: string
  /** As they stand in the file: the length of a row first. */
  dimensions: (number | bigint)[]
  type: number
  /** From where the data begin; by default behind the tensor before it. */
  offset?: number | bigint
  /** Elements' bytes in the file's order. */
  data: Uint8Array
}

export interface RawFile {
  entries: RawEntry[]
  tensors: RawTensor[]
  version?: number
  bigEndian?: boolean
  alignment?: number
  /** In the place of the true counts. */
  tensorCount?: number | bigint
  entryCount?: number | bigint
}

export function rawGguf(file: RawFile): Uint8Array {
  const { entries, tensors, version = 3, bigEndian = false, alignment = 32 } = file
  const writer = new Writer(!bigEndian)
  writer.bytes(new TextEncoder().encode('GGUF')).u32(version)
  writer.u64(file.tensorCount ?? tensors.length).u64(file.entryCount ?? entries.length)
  for (const { key, type, value } of entries) {
    writer.text(key).u32(type)
    value(writer)
  }
  let end = 0
  for (const { name, dimensions, type, offset, data } of tensors) {
    writer.text(name).u32(dimensions.length)
    for (const size of dimensions) writer.u64(size)
    writer.u32(type).u64(offset ?? end)
    end = Math.ceil((end + data.length) / alignment) * alignment
  }
  writer.pad(alignment)
  for (const { data } of tensors) writer.bytes(data).pad(alignment)
  return writer.done()
}

export const text = (key: string, value: string): RawEntry => ({
  key,
  type: valueTypes.string,
  value: (writer) => writer.text(value),
})

export const u32 = (key: string, value: number): RawEntry => ({
  key,
  type: valueTypes.uint32,
  value: (writer) => writer.u32(value),
})

export const u16 = (key: string, value: number): RawEntry => ({
  key,
  type: valueTypes.uint16,
  value: (writer) => writer.u16(value),
})

export const f32 = (key: string, value: number): RawEntry => ({
  key,
  type: valueTypes.float32,
  value: (writer) => writer.f32(value),
})

export const texts = (key: string, values: readonly string[]): RawEntry => ({
  key,
  type: valueTypes.array,
  value: (writer) => {
    writer.u32(valueTypes.string).u64(values.length)
    for (const value of values) writer.text(value)
  },
})

export type GgmlFloat = 'f32' | 'f16' | 'bf16' | 'f64'

const ggmlTypes = { f32: 0, f16: 1, f64: 28, bf16: 30 }

/** Weights between −1 and 1 of a tensor, the same every time. */
function weightsOf({ gguf, shape }: Expected): number[] {
  const random = seeded(gguf.length * 7919 + shape.reduce((sum, size) => sum * 31 + size, 17))
  return Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
    Math.fround(random() / 2 ** 31 - 1),
  )
}

/** Elements of a type in a file's byte order. */
function elements(values: readonly number[], type: GgmlFloat, bigEndian: boolean): Uint8Array {
  const writer = new Writer(!bigEndian)
  for (const value of values) {
    if (type === 'f32') writer.f32(value)
    else if (type === 'f64') writer.f64(value)
    else writer.u16(type === 'f16' ? f16Bits(value) : bf16Bits(value))
  }
  return writer.done()
}

/** The metadata of a model, as far as a reader needs them. */
export function modelEntries(model: Model): RawEntry[] {
  return [
    text('general.architecture', 'llama'),
    u32('llama.block_count', model.layers),
    u32('llama.context_length', 128),
    u32('llama.embedding_length', model.hidden),
    u32('llama.feed_forward_length', model.intermediate),
    u32('llama.attention.head_count', model.heads),
    u32('llama.attention.head_count_kv', model.kvHeads),
    f32('llama.attention.layer_norm_rms_epsilon', 1e-5),
    u32('llama.attention.key_length', model.headDim),
    u32('llama.attention.value_length', model.headDim),
    u32('llama.rope.dimension_count', model.headDim),
  ]
}

/** All tensors of a model; vectors are f32, as llama.cpp has them. */
export function modelTensors(model: Model, type: GgmlFloat, bigEndian = false): RawTensor[] {
  return tensorsOf(model).map((tensor) => {
    const own = tensor.shape.length === 1 ? 'f32' : type
    return {
      name: tensor.gguf,
      dimensions: tensor.shape.toReversed(),
      type: ggmlTypes[own],
      data: elements(weightsOf(tensor), own, bigEndian),
    }
  })
}

/** One float as a tensor's bytes. */
export function oneFloat(value: number): Uint8Array {
  return bytesOf(Float32Array.of(value))
}
