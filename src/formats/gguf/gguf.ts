import type { Listing, StoredArray } from '../../checkpoint/checkpoint.js'
import { metadataLookup } from '../../checkpoint/metadata.js'
import { wholePart } from '../../checkpoint/tensor.js'
import { inputError } from '../../io/errors.js'
import { openFile } from '../../io/source.js'
import { mixNames } from '../../quantize/mixes.js'
import { isFloat } from '../../types/dtype.js'
import type { Format } from '../format.js'
import { configFromMetadata } from './config.js'
import { magic, type TensorInfo } from './header.js'
import { refuseOtherKinds } from './kinds.js'
import { refuseOpaque } from './opaque.js'
import { factorsName, longName, shortName } from './rope.js'
import type { RopeFactors } from './rope-read.js'
import { firstOfSplit, type GgufPart, readParts } from './split.js'
import { describeGguf } from './target.js'

/**
 * llama.cpp's GGUF: typed metadata (the configuration and the vocabulary among
 * them), the announcements of the tensors, and their bytes, all in one file or
 * split over several.
 */
export const gguf: Format = {
  name: 'gguf',
  title: 'llama.cpp GGUF',
  traits: {
    short: 'GGUF',
    engine: 'llama.cpp',
    graph: false,
    standalone: true,
    tokenizer: 'within',
    metadata: true,
    library: 'gguf',
    tags: ['gguf', 'llama.cpp'],
    rank: 3,
    tagRank: 1,
  },
  options: ['maxShardSize', 'name', 'metadata', 'fuseQkv'],
  quantized: {
    types: mixNames,
    options: [
      'pure',
      'outputTensorType',
      'tokenEmbeddingType',
      'tensorTypes',
      'leaveOutput',
      'imatrix',
      'allowRequantize',
      'strict',
    ],
  },
  extension: '.gguf',

  detect: (head) => magic.every((byte, i) => head[i] === byte),

  detectDirectory(entries) {
    const all = entries.filter((name) => name.toLowerCase().endsWith('.gguf'))
    // What lies beside a model by its usual name: alone, it is still what is meant.
    const models = all.filter((name) => !/(^|[-_.])(mmproj|imatrix)([-_.])/i.test(name))
    const files = models.length > 0 ? models : all
    return files.length === 1 ? files[0] : firstOfSplit(files)
  },

  open: async (path) => listParts(await readParts(path), path),

  describe: describeGguf,
}

/** What a checkpoint's parts come to, by their headers. */
export async function listParts(parts: readonly GgufPart[], path: string): Promise<Listing> {
  refuseOtherKinds(parts, path)
  refuseOpaque(parts)
  const arrays = parts.flatMap(listTensors)
  const seen = new Set<string>()
  for (const { name } of arrays) {
    if (seen.has(name)) {
      throw inputError('it is in two parts', { format: 'gguf', path, tensor: name })
    }
    seen.add(name)
  }
  const entries = parts[0]?.header.entries ?? []
  const metadata = metadataLookup(entries)
  const factors = await readFactors(parts)
  const { config, notes } = configFromMetadata(metadata, path, seen.has('output.weight'), factors)
  return {
    format: 'gguf',
    path,
    naming: 'gguf',
    files: parts.map(({ file }) => file),
    arrays: arrays.filter(({ name }) => !ropeNames.includes(name)),
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
        suggestions: ['Quantize it again on a little-endian machine, from a file of floats.'],
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

const ropeNames = [factorsName, shortName, longName]

/** The factors of the frequencies of rotary embedding, where the file has them, by their names. */
async function readFactors(parts: readonly GgufPart[]): Promise<RopeFactors> {
  const factors = new Map<string, Float32Array<ArrayBuffer>>()
  for (const { file, header } of parts) {
    for (const info of header.tensors.filter(({ name }) => ropeNames.includes(name))) {
      checkFactors(info, file.path)
      const source = await openFile(file.path)
      try {
        const bytes = await source.read(info.offset, info.bytes)
        const view = new DataView(bytes.buffer, bytes.byteOffset)
        const values = Float32Array.from({ length: info.bytes / 4 }, (_, i) =>
          view.getFloat32(4 * i, header.littleEndian),
        )
        checkValues(values, info.name, file.path)
        factors.set(info.name, values)
      } finally {
        await source.close()
      }
    }
  }
  return factors
}

/** A frequency that is divided by nothing, or by what is no number, is none. */
function checkValues(values: Float32Array, tensor: string, path: string): void {
  const wrong = values.findIndex((value) => !(value > 0 && value < Infinity))
  if (wrong < 0) return
  throw inputError(`its value ${wrong} is ${values[wrong]}, a positive number is expected`, {
    format: 'gguf',
    path,
    tensor,
  })
}

function checkFactors({ name, dtype, shape }: TensorInfo, path: string): void {
  const [count = 0, ...more] = shape
  if (dtype !== 'f32' || more.length > 0 || count > maxFactors) {
    throw inputError(
      `it is [${shape.join(', ')}] of ${dtype}, a factor of f32 for each frequency is expected`,
      { format: 'gguf', path, tensor: name },
    )
  }
}
