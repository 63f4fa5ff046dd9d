import { realpath } from 'node:fs/promises'
import { dirname, relative, sep } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { transferTile } from '../checkpoint/regions.js'
import { matrixOf, type Tensor, tensorBytes } from '../checkpoint/tensor.js'
import type { GraphWeight } from '../graph/decoder.js'
import { inputError } from '../io/errors.js'
import { type ByteSource, openFile } from '../io/source.js'
import { isFloat } from '../types/dtype.js'

/** A checkpoint's weights as a graph can refer to them. */
export interface Located {
  /** The directory that the weights' locations are relative to. */
  folder: string
  weights: Map<string, GraphWeight>
  /** Those that lie in pieces and had to be put together in memory, by their names. */
  gathered: Map<string, Gathered>
}

/** A weight in memory; bf16 is f32 there, since JavaScript's tensors have no bf16. */
export interface Gathered {
  dtype: 'f64' | 'f32' | 'f16'
  /** The stored shape. */
  shape: readonly number[]
  bytes: Uint8Array<ArrayBuffer>
}

/**
 * Locates a checkpoint's weights for ONNX Runtime, which reads any run of bytes of any file below
 * one directory, and follows no links: the files' real paths are given. What is in several runs
 * (chunks of flax, shares of model parallelism, strided storages) is read into memory.
 * @throws input error for quantized tensors
 */
export async function locateWeights({ format, path, tensors }: Checkpoint): Promise<Located> {
  const real = new Map<string, string>()
  for (const { parts } of tensors.values()) {
    for (const extent of parts.flatMap(({ extents }) => extents)) {
      if (!real.has(extent.path)) real.set(extent.path, await realpath(extent.path))
    }
  }
  const folder = commonFolder([...real.values()])
  const weights = new Map<string, GraphWeight>()
  const gathered = new Map<string, Gathered>()
  for (const tensor of tensors.values()) {
    const { name, dtype, shape } = tensor
    const { transposed } = tensor.layout
    if (!isFloat(dtype)) {
      throw inputError(`its type is ${dtype}, which ONNX Runtime does not compute in`, {
        format,
        path,
        tensor: name,
        suggestions: ['Quantized models run in llama.cpp, from GGUF.'],
      })
    }
    if (tensor.layout.bigEndian) {
      throw inputError('its bytes are in big-endian order, which no engine here computes in', {
        format,
        path,
        tensor: name,
        suggestions: ['Convert it first: what convert writes is in this machine’s order.'],
      })
    }
    if (tensor.layout.added !== undefined) {
      throw inputError(`${tensor.layout.added} was added to it, which no graph here takes away`, {
        format,
        path,
        tensor: name,
        suggestions: ['Convert it first, to safetensors.'],
      })
    }
    const extent = onlyExtent(tensor)
    if (extent === undefined) {
      const bytes = await gather(tensor)
      const held = dtype === 'bf16' ? 'f32' : dtype
      gathered.set(name, {
        dtype: held,
        shape: transposed ? [...shape].reverse() : shape,
        bytes: dtype === 'bf16' ? widened(bytes) : bytes,
      })
      weights.set(name, { dtype: held, shape, transposed, data: 'input' })
    } else {
      const location = relative(folder, real.get(extent.path) ?? extent.path)
      const data = {
        location: location.split(sep).join('/'),
        offset: extent.offset,
        length: extent.length,
      }
      weights.set(name, { dtype, shape, transposed, data })
    }
  }
  return { folder, weights, gathered }
}

/** The one run of bytes that holds the whole stored matrix and nothing else. */
function onlyExtent(tensor: Tensor): Tensor['parts'][number]['extents'][number] | undefined {
  const [part, ...more] = tensor.parts
  const [extent, ...others] = part?.extents ?? []
  const whole = more.length + others.length === 0 && extent?.length === tensorBytes(tensor)
  return whole && part?.pitch === part?.columns ? extent : undefined
}

/** Reads a tensor that lies in pieces, as its stored matrix. */
async function gather(tensor: Tensor): Promise<Uint8Array<ArrayBuffer>> {
  const [rows, columns] = matrixOf(tensor.shape)
  const bytes = new Uint8Array(tensorBytes(tensor))
  const reads: { path: string; offset: number; position: number; length: number }[] = []
  transferTile(tensor, { row: 0, column: 0, rows, columns }, (path, offset, position, length) =>
    reads.push({ path, offset, position, length }),
  )
  const sources = new Map<string, ByteSource>()
  try {
    for (const { path, offset, position, length } of reads) {
      const source = sources.get(path) ?? (await openFile(path))
      sources.set(path, source)
      bytes.set(await source.read(offset, length), position)
    }
  } finally {
    for (const source of sources.values()) await source.close()
  }
  return bytes
}

/** f32 from bf16: its upper half. */
function widened(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const wide = new Uint8Array(bytes.length * 2)
  for (let i = 0; i < bytes.length; i += 2) {
    wide[2 * i + 2] = bytes[i] ?? 0
    wide[2 * i + 3] = bytes[i + 1] ?? 0
  }
  return wide
}

/** The deepest directory that all files are below. */
function commonFolder(files: readonly string[]): string {
  const [first = '', ...rest] = files.map((file) => dirname(file).split(sep))
  const parts = [...first]
  for (const other of rest) {
    const differs = parts.findIndex((part, i) => part !== other[i])
    if (differs >= 0) parts.length = differs
  }
  return parts.join(sep) || sep
}
