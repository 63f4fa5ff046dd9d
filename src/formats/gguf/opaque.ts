import { architectureOfGguf } from '../../architectures/index.js'
import type { Checkpoint, TokenizerFiles } from '../../checkpoint/checkpoint.js'
import { defaultsOf, type ModelConfig } from '../../checkpoint/config.js'
import { type MetadataEntry, metadataLookup } from '../../checkpoint/metadata.js'
import { inputError } from '../../io/errors.js'
import type { DType } from '../../types/dtype.js'
import { configFromMetadata } from './config.js'
import type { GgufPart } from './split.js'
import { otherTensorTypes, tensorTypes } from './type.js'

/** A GGUF that can be looked at and run, but whose weights are not read here. */
export interface OpaqueGguf {
  path: string
  files: { path: string; size: number }[]
  metadata: readonly MetadataEntry[]
  /** Why not. */
  reason: string
  tensors: { name: string; type: string; shape: readonly number[] }[]
}

/** @throws input error for tensors of a type that is not read, by its name */
export function refuseOpaque(parts: readonly GgufPart[]): void {
  for (const { file, header } of parts) {
    const [first] = header.opaque
    if (first === undefined) continue
    const known = /^\d+$/.test(first.type)
      ? `${first.type}, which is not known here`
      : `${first.type}, which is not supported`
    throw inputError(`it is of type ${known}`, {
      format: 'gguf',
      path: file.path,
      tensor: first.name,
      suggestions: [
        `Read are ${[...tensorTypes.values()].join(', ')}.`,
        'openllama inspect and openllama check take it as it is, in llama.cpp.',
      ],
    })
  }
}

/**
 * What is known of a GGUF whose weights are not read; undefined for every other.
 * @param path what to call it
 */
export function opaqueIn(parts: readonly GgufPart[], path: string): OpaqueGguf | undefined {
  const metadata = parts[0]?.header.entries ?? []
  const opaque = parts.flatMap(({ header }) => header.opaque)
  const named = metadataLookup(metadata).text('general.architecture')
  const type = metadataLookup(metadata).text('general.type') ?? 'model'
  if (
    opaque.length === 0 &&
    (named === undefined || architectureOfGguf(named) !== undefined || type !== 'model')
  ) {
    return undefined
  }
  const types = [...new Set(opaque.map((tensor) => tensor.type))]
  return {
    path,
    files: parts.map(({ file }) => file),
    metadata,
    reason:
      opaque.length > 0
        ? `tensors of ${types.join(', ')} are not read here, only llama.cpp runs them`
        : `the architecture "${named}" is not supported`,
    tensors: parts.flatMap(({ header }) => [
      ...header.tensors.map(({ name, dtype, shape }) => ({ name, type: dtype, shape })),
      ...header.opaque,
    ]),
  }
}

/**
 * Such a GGUF as a checkpoint that only runs: without tensors.
 * @returns with the type whose limits it is held to in a check
 */
export function opaqueCheckpoint(
  found: OpaqueGguf,
  tokenizer: TokenizerFiles,
): { checkpoint: Checkpoint; opaque: { type: string; like: DType } } | undefined {
  const { path } = found
  if (found.tensors.every(({ type }) => isRead(type))) return undefined
  const metadata = metadataLookup(found.metadata)
  const hasOutput = found.tensors.some(({ name }) => name === 'output.weight')
  // Rotary factors are data: what runs the file reads them itself.
  const { config, notes } = configFromMetadata(metadata, path, hasOutput, new Map())
  const tokens = metadata.get('tokenizer.ggml.tokens')?.value
  const like = [...otherTensorTypes.values()].find(({ name }) =>
    found.tensors.some(({ type }) => type === name),
  )
  return {
    checkpoint: {
      format: 'gguf',
      path,
      naming: 'gguf',
      files: found.files,
      config: whole(
        { ...(Array.isArray(tokens) ? { vocab_size: tokens.length } : {}), ...config.values },
        path,
      ),
      metadata: found.metadata,
      tensors: new Map(),
      tokenizer,
      notes: [...notes, `${found.reason}: its weights are not compared`],
    },
    opaque: { type: like?.name ?? 'an unknown type', like: like?.like ?? 'q2_k' },
  }
}

/** @throws input error for a size that the metadata do not say */
function whole(values: Partial<ModelConfig>, path: string): ModelConfig {
  const size = (name: (typeof sizes)[number]): number => {
    const value = values[name]
    if (value !== undefined) return value
    throw inputError(`its metadata say nothing of ${name}`, { format: 'gguf', path })
  }
  const heads = size('num_attention_heads')
  const hidden = size('hidden_size')
  return {
    ...defaultsOf(values.model_type),
    ...values,
    vocab_size: size('vocab_size'),
    hidden_size: hidden,
    intermediate_size: size('intermediate_size'),
    num_hidden_layers: size('num_hidden_layers'),
    num_attention_heads: heads,
    num_key_value_heads: values.num_key_value_heads ?? heads,
    head_dim: values.head_dim ?? hidden / heads,
    other: {},
  }
}

const sizes = [
  ...(['vocab_size', 'hidden_size', 'intermediate_size'] as const),
  ...(['num_hidden_layers', 'num_attention_heads'] as const),
] as const

function isRead(type: string): boolean {
  return [...tensorTypes.values()].some((dtype) => dtype === type)
}
