import type { Listing, StoredArray } from '../checkpoint/checkpoint.js'
import { isFloat } from '../checkpoint/dtype.js'
import { lookUp } from '../checkpoint/metadata.js'
import { wholePart } from '../checkpoint/tensor.js'
import { inputError } from '../io/errors.js'
import { openFile } from '../io/source.js'
import type { Format } from './format.js'
import { configFromMetadata } from './gguf-config.js'
import { magic, type TensorInfo } from './gguf-header.js'
import { factorsName, scalingOfFactors } from './gguf-rope.js'
import { firstOfSplit, type GgufPart, readParts } from './gguf-split.js'
import { describeGguf } from './gguf-target.js'

/**
 * llama.cpp's GGUF: typed metadata (the configuration and the vocabulary among
 * them), the announcements of the tensors, and their bytes, all in one file or
 * split over several.
 */
export const gguf: Format = {
  name: 'gguf',
  title: 'llama.cpp GGUF',
  extension: '.gguf',

  detect: (head) => magic.every((byte, i) => head[i] === byte),

  detectDirectory(entries) {
    const files = entries.filter((name) => name.toLowerCase().endsWith('.gguf'))
    return files.length === 1 ? files[0] : firstOfSplit(files)
  },

  open: async (path) => listParts(await readParts(path), path),

  describe: describeGguf,
}

async function listParts(parts: readonly GgufPart[], path: string): Promise<Listing> {
  const arrays = parts.flatMap(listTensors)
  const seen = new Set<string>()
  for (const { name } of arrays) {
    if (seen.has(name)) {
      throw inputError('it is in two parts', { format: 'gguf', path, tensor: name })
    }
    seen.add(name)
  }
  const entries = parts[0]?.header.entries ?? []
  const metadata = lookUp(entries)
  const config = configFromMetadata(metadata, path, seen.has('output.weight'))
  const notes: string[] = []
  const factors = await readFactors(parts)
  if (factors !== undefined) {
    const { rope_theta = 10000 } = config.values
    config.values.rope_scaling = scalingOfFactors(
      factors,
      { rope_theta, head_dim: 2 * factors.length },
      { path },
    )
    notes.push(
      `${factorsName} holds LLaMA 3's rotary scaling by ${config.values.rope_scaling.factor}: it is kept in the configuration`,
    )
  }
  return {
    format: 'gguf',
    path,
    naming: 'gguf',
    files: parts.map(({ file }) => file),
    arrays: arrays.filter(({ name }) => name !== factorsName),
    config,
    metadata: entries.map(({ begin: _, end: __, ...entry }) => entry),
    notes,
  }
}

function listTensors({ file: { path }, header }: GgufPart): StoredArray[] {
  const { littleEndian, tensors } = header
  return tensors.map(({ name, dtype, shape, offset, bytes }) => {
    if (!littleEndian && !isFloat(dtype)) {
      throw inputError(`it is of ${dtype} in a big-endian file, which is not supported`, {
        format: 'gguf',
        path,
        tensor: name,
        suggestions: ['Quantise it again on a little-endian machine, from a file of floats.'],
      })
    }
    return {
      name,
      dtype,
      shape,
      parts: [wholePart(shape, [{ path, offset, length: bytes }])],
      ...(littleEndian ? {} : { bigEndian: true }),
    }
  })
}

/** Heads have some hundred rows: more factors are none. */
const maxFactors = 4096

/** The factors of LLaMA 3's rotary scaling, where the file has them. */
async function readFactors(parts: readonly GgufPart[]): Promise<Float32Array | undefined> {
  for (const { file, header } of parts) {
    const info = header.tensors.find(({ name }) => name === factorsName)
    if (info === undefined) continue
    checkFactors(info, file.path)
    const source = await openFile(file.path)
    try {
      const bytes = await source.read(info.offset, info.bytes)
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      return Float32Array.from({ length: info.bytes / 4 }, (_, i) =>
        view.getFloat32(4 * i, header.littleEndian),
      )
    } finally {
      await source.close()
    }
  }
  return undefined
}

function checkFactors({ dtype, shape }: TensorInfo, path: string): void {
  const [count = 0, ...more] = shape
  if (dtype !== 'f32' || more.length > 0 || count > maxFactors) {
    throw inputError(
      `it is [${shape.join(', ')}] of ${dtype}, a factor of f32 for each frequency is expected`,
      { format: 'gguf', path, tensor: factorsName },
    )
  }
}
