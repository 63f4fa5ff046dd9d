import type { Architecture, Naming, Role } from '../architectures/architecture.js'
import { architectureOf, architectures, defaultArchitecture } from '../architectures/index.js'
import { embeddingName, headName } from '../architectures/roles.js'
import { inputError } from '../io/errors.js'
import type { FileCache } from '../io/file-cache.js'
import type { Origin } from '../io/store.js'
import { byteLength, type DType, elementCount } from '../types/dtype.js'
import { unbind } from './bindings.js'
import type { ModelConfig } from './config.js'
import {
  type ConfigSource,
  list,
  measureGeometry,
  resolveConfig,
  type Shape,
  shown,
} from './geometry.js'
import type { GraphFacts } from './graph-facts.js'
import type { MetadataEntry } from './metadata.js'
import { allTensors, canonicalName, isDerived, layoutIn, roleOf } from './names.js'
import { quantizationIn, refuseAdapters, refuseQuantized } from './quantized.js'
import { checkRanges } from './ranges.js'
import type { Layout, Part, Scales, Tensor } from './tensor.js'

/** As the registry of formats has it (src/formats/index.ts), and as users write it. */
export type FormatName = string

/** A file of the checkpoint, as it was when it was opened. */
export interface SourceFile {
  path: string
  size: number
  /** What the file says of ranges of its bytes that opening it does not read. */
  checksums?: Checksum[]
  /** Where the file is not on this machine: what its place says that it is. */
  sha256?: string
}

/** The CRC-32 that a range of a file's bytes must have. */
export interface Checksum {
  /** What the range is called in the file. */
  name: string
  offset: number
  length: number
  crc32: number
}

/** A tensor as a format's reader finds it: by its own name and shape, not yet resolved. */
export interface StoredArray {
  name: string
  dtype: DType
  /** The stored shape, row-major. */
  shape: readonly number[]
  /** Stored as the transpose of its shape: its columns, and not its rows, lie in order. */
  transposed?: boolean
  /** Where the stored matrix lies; `wholePart` for one that is in one piece. */
  parts: Part[]
  /** The bytes of each element are in big-endian order. */
  bigEndian?: true
  /** Of levels: the scales of their blocks. */
  scales?: Scales
}

/** An array whose elements are of a type that weights of these models never have. */
export interface OtherArray {
  name: string
  /** As its format calls it: I64, LongStorage. */
  type: string
  /** The file that it is in. */
  path: string
}

/** What a format's reader finds in the headers of a checkpoint. */
export interface Listing {
  format: FormatName
  /** The file or directory, as the user named it. */
  path: string
  naming: Naming
  /** The files that weights are in. */
  files: SourceFile[]
  arrays: StoredArray[]
  /** Buffers of integers, levels of a quantization: passed over, or called by their name. */
  others?: readonly OtherArray[]
  /** What the checkpoint's own metadata says of the model. */
  config?: ConfigSource
  /** The metadata themselves, where the format has any (GGUF): name, origin, vocabulary. */
  metadata?: readonly MetadataEntry[]
  /** What is in the files and was left out, in sentences. */
  notes: string[]
  /** What the checkpoint's own graph computes, where it has one (ONNX). */
  facts?: GraphFacts
}

/** The files of a tokenizer, where they were found beside a checkpoint. */
export interface TokenizerFiles {
  /** The SentencePiece model. */
  model?: string
  /** tokenizer.json, tokenizer_config.json and their kin, as far as they are there. */
  beside: string[]
  /** chat_template.jinja. */
  template?: string
  /** LLaMA 3's own vocabulary, which stands in the place of a SentencePiece model. */
  tiktoken?: string
  /**
   * What was read of them.
   * @internal
   */
  cache?: FileCache | undefined
}

/** A checkpoint, described: nothing of its weights has been read. */
export interface Checkpoint {
  format: FormatName
  path: string
  naming: Naming
  files: SourceFile[]
  /** The repository that it is read from, where it is not on this machine. */
  origin?: Origin
  /** `path` in the version that was read, likewise. */
  resolved?: string
  config: ModelConfig
  /** The config.json that it is from, where it is from one. */
  document?: NonNullable<ConfigSource['document']>
  /** The folder that a configuration and a tokenizer were looked for in. */
  folder?: string
  /**
   * What was read of the small files there.
   * @internal
   */
  cache?: FileCache
  /** By Hugging Face's names, in the order of a forward pass. */
  tensors: ReadonlyMap<string, Tensor>
  tokenizer: TokenizerFiles
  /** The file's own metadata, where the format has any (GGUF). */
  metadata?: readonly MetadataEntry[]
  /** What was assumed or left out, in sentences. */
  notes: string[]
  /** Where its own graph computes otherwise than the configuration says (ONNX): a sentence each. */
  disagreements?: readonly string[]
}

export interface ConfigChoice {
  /** What the user gave with --config, or what was found beside the checkpoint. */
  given?: ConfigSource
  /** The number of attention heads (--heads). */
  heads?: number
}

/**
 * Makes a checkpoint of a listing: names every tensor, checks shapes against each other
 * and the configuration, and decides what the files leave open.
 * @throws input error for tensors that are missing, unknown, doubled, or of the wrong shape
 */
export function resolveCheckpoint(
  listing: Listing,
  { given, heads }: ConfigChoice,
  tokenizer: TokenizerFiles,
): Checkpoint {
  const { format, path, naming, arrays, others = [] } = listing
  const where = { format, path }
  const told = given ?? listing.config
  const names = [...arrays, ...others].map(({ name }) => name)
  refuseAdapters(names, where)
  refuseQuantized(
    names,
    others.map(({ type }) => type),
    quantizationIn(told?.values.other),
    where,
  )
  const architecture = architectureOf({
    model_type: told?.values.model_type ?? defaultArchitecture,
  })
  refuseOtherTypes(architecture, others, naming, format)
  const byName = new Map<string, { array: StoredArray; role: Role; shape: Shape }>()
  const unknown: string[] = []
  const derived = others.map(({ name }) => name).filter(isDerived)
  const { arrays: apart, bound } = unbind(architecture, naming, arrays, told?.values ?? {}, where)
  for (const array of apart) {
    if (isDerived(array.name)) {
      derived.push(array.name)
      continue
    }
    const named = roleOf(architecture, array.name, naming)
    if (named === undefined) {
      unknown.push(array.name)
      continue
    }
    const { transposed } = layoutIn(architecture, naming, named.role, 0)
    const name = canonicalName(named)
    if (byName.has(name)) throw inputError('it is there twice', { ...where, tensor: array.name })
    byName.set(name, {
      array,
      role: named.role,
      shape: {
        storedName: array.name,
        shape: transposed ? [...array.shape].reverse() : array.shape,
      },
    })
  }
  if (unknown.length > 0) {
    throw inputError(
      `${unknown.length === 1 ? 'a tensor is' : `${unknown.length} tensors are`} not of a ${architecture.title} model: ${list(unknown)}`,
      {
        ...where,
        suggestions: [
          `Is it another architecture? Supported are ${architectures.map(({ title }) => title).join(', ')}.`,
        ],
      },
    )
  }
  const remarks = otherNotes(
    architecture,
    others.filter(({ name }) => !isDerived(name)),
  )
  if (bound.length > 0) {
    remarks.push(
      `${bound.length === 1 ? 'an array has' : `${bound.length} arrays have`} the rows of several tensors: ${list(bound, 3)}`,
    )
  }
  if (derived.length > 0) {
    remarks.push(
      `${derived.length === 1 ? 'a tensor' : `${derived.length} tensors`} that the model computes from its configuration ${derived.length === 1 ? 'is' : 'are'} left out: ${list(derived, 3)}`,
    )
  }
  const shared = isShared(byName) && told?.values.tie_word_embeddings !== false
  if (shared) {
    byName.delete(headName)
    remarks.push('the output head is stored as the embedding itself: they are tied')
  }
  const shapes = new Map([...byName].map(([name, { shape }]) => [name, shape]))
  const measured = measureGeometry(architecture, shapes, naming, told?.values ?? {}, where)
  const tied = !byName.has(headName) && !shared
  const { config: resolved, warnings } = resolveConfig(measured, told, heads, tied, path)
  const config = shared ? { ...resolved, tie_word_embeddings: true } : resolved
  checkRanges(config, told?.from ?? path)

  const tensors = new Map<string, Tensor>()
  for (const [name, { array, role, shape }] of sortedByRole(
    architecture,
    byName,
    measured.layers,
  )) {
    tensors.set(name, {
      name,
      storedName: array.name,
      dtype: array.dtype,
      shape: shape.shape,
      layout: {
        ...turned(layoutIn(architecture, naming, role, config.head_dim), array.transposed),
        ...(array.bigEndian ? { bigEndian: true } : {}),
      },
      parts: array.parts,
      ...(array.scales ? { scales: array.scales } : {}),
    })
  }
  return {
    format,
    path,
    naming,
    files: listing.files,
    config,
    ...(told?.document === undefined ? {} : { document: told.document }),
    tensors,
    tokenizer,
    ...(listing.metadata === undefined ? {} : { metadata: listing.metadata }),
    notes: [...listing.notes, ...remarks, ...warnings],
  }
}

/** @throws input error for a weight whose elements are of a type that is not read */
function refuseOtherTypes(
  architecture: Architecture,
  others: readonly OtherArray[],
  naming: Naming,
  format: FormatName,
): void {
  const weight = others.find(({ name }) => roleOf(architecture, name, naming) !== undefined)
  if (weight === undefined) return
  throw inputError(`its elements are of ${weight.type}, which is not supported`, {
    format,
    path: weight.path,
    tensor: weight.name,
    suggestions: ['Weights are of 64, 32 or 16-bit floats, or bfloat16.'],
  })
}

/** Buffers of types that weights never have; no model of these has any. */
function otherNotes({ title }: Architecture, others: readonly OtherArray[]): string[] {
  if (others.length === 0) return []
  const named = others.map(({ name, type }) => `${name} (${type})`)
  return [
    `${others.length === 1 ? 'a buffer' : `${others.length} buffers`} that no ${title} model has ${others.length === 1 ? 'is' : 'are'} left out: ${list(named, 3)}`,
  ]
}

/**
 * Checks that an array's bytes are as many as its shape and dtype need.
 * @returns the bytes
 * @throws input error with both numbers
 */
export function checkArrayBytes(
  dtype: DType,
  shape: readonly number[],
  bytes: number,
  where: { format: FormatName; path: string; tensor: string },
): void {
  const elements = elementCount(shape)
  if (elements === undefined) {
    throw inputError(`its shape is ${shown(shape)}, which is no size that a tensor can have`, where)
  }
  const expected = byteLength(dtype, elements)
  if (expected !== bytes) {
    throw inputError(`${shown(shape)} of ${dtype} takes ${expected} bytes, it has ${bytes}`, where)
  }
}

function turned(layout: Layout, transposed = false): Layout {
  return transposed ? { ...layout, transposed: !layout.transposed } : layout
}

/** Whether the head and the embedding are the same bytes of the same file. */
function isShared(byName: ReadonlyMap<string, { array: StoredArray }>): boolean {
  const head = byName.get(headName)?.array
  const embedding = byName.get(embeddingName)?.array
  return (
    head !== undefined &&
    embedding !== undefined &&
    head.parts.length > 0 &&
    head.dtype === embedding.dtype &&
    head.transposed === embedding.transposed &&
    JSON.stringify(head.parts) === JSON.stringify(embedding.parts)
  )
}

function sortedByRole<T>(
  architecture: Architecture,
  byName: ReadonlyMap<string, T>,
  layers: number,
): [string, T][] {
  return allTensors(architecture, layers).flatMap((named) => {
    const name = canonicalName(named)
    const found = byName.get(name)
    return found === undefined ? [] : [[name, found]]
  })
}
