import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { FormatName } from '../checkpoint/checkpoint.js'
import type { Loss } from '../formats/losses.js'
import { formatJson } from '../io/json.js'
import { originOf } from '../io/snapshot.js'
import type { Origin } from '../io/store.js'
import type { CheckRecord } from '../record/check.js'
import { recordName } from '../record/record.js'
import { type TokenizerRecord, tokenizerRecord } from '../tokenizer/record.js'
import { version } from '../version.js'
import type { Conversion, ConvertOptions, RunOptions } from './convert.js'
import type { Executed } from './execute.js'
import { noFollow } from './files.js'
import type { InputRecord } from './inputs.js'
import type { FallbackRecord, MixOptions } from './mix.js'
import type { CastSummary } from './plan.js'

/**
 * The record beside every output, openllama.json: what it was made from, how,
 * and what it consists of. The same source and options give the same bytes, so
 * it has no dates, and names files without the folders of one machine.
 */
export interface Provenance {
  /** Records without it are of the first schema: options that were not given are null there. */
  schema: typeof schema
  tool: { name: 'openllama'; version: string }
  /** Where it was read from the Hub, from which repository and in which commit. */
  source: { format: FormatName; files: FileRecord[] } & Partial<Origin>
  target: { format: FormatName; files: FileRecord[] }
  /** What else went into it: configuration, tokenizer, importance matrix. */
  inputs: InputRecord[]
  /** The type, and what else was asked for: an option that is not there was not given. */
  options: RecordedOptions
  /** The SentencePiece model that the tokenizer comes from. */
  tokenizer: TokenizerRecord | null
  tensors: number
  parameters: number
  casts: CastSummary[]
  /** Where a quantized type was written. */
  quantization?: { bits_per_weight: number; fallbacks: readonly FallbackRecord[] }
  /** What was assumed, left out, or changed beyond rounding, in sentences. */
  notes: string[]
  /** What the format cannot say of the model, where there is any. */
  losses?: readonly Loss[]
  /** By tensor: values that are not finite, overflowed, or vanished. */
  values: Record<string, { nan: number; infinite: number; overflowed: number; vanished: number }>
  /** What running the output showed, unless that was not asked for. */
  check?: CheckRecord
}

/** Changed when a reader has to know. */
const schema = 2

interface RecordedOptions {
  dtype: string
  config?: string
  heads?: number
  tokenizer?: string
  model_parallel?: number
  onnx_target?: string
  max_shard_size?: number
  name?: string
  metadata?: readonly string[]
  keep_tokenizer?: true
  mix?: MixOptions
  allow_non_finite?: true
  allow_overflow?: true
  allow_loss?: true
}

interface FileRecord {
  name: string
  bytes: number
  /** Null where the conversion was not to hash. */
  sha256: string | null
}

export function provenanceOf(
  { checkpoint, tokenizer, plan, inputs, options, casts, quantization, warnings }: Conversion,
  run: RunOptions,
  { hashes, sourceHashes, unverified, facts }: Executed,
): Provenance {
  return {
    schema,
    tool: { name: 'openllama', version: version() },
    source: {
      format: checkpoint.format,
      ...(checkpoint.origin ?? cachedOrigin(checkpoint)),
      files: checkpoint.files.map(({ path, size }) => ({
        name: basename(path),
        bytes: size,
        sha256: sourceHashes.get(path) ?? null,
      })),
    },
    target: {
      format: plan.target.format,
      files: plan.target.files.map(({ name, size }) => ({
        name,
        bytes: size,
        sha256: hashes.get(name) ?? null,
      })),
    },
    inputs,
    options: recordedOptions(options, run),
    tokenizer: tokenizer ? tokenizerRecord(tokenizer.model) : null,
    tensors: casts.reduce((sum, { tensors }) => sum + tensors, 0),
    parameters: casts.reduce((sum, { parameters }) => sum + parameters, 0),
    casts,
    ...(quantization
      ? {
          quantization: {
            bits_per_weight: quantization.bitsPerWeight,
            fallbacks: quantization.fallbacks,
          },
        }
      : {}),
    notes: [...warnings, ...unverifiedNotes(unverified)],
    ...(plan.target.losses?.length ? { losses: plan.target.losses } : {}),
    values: Object.fromEntries(facts),
  }
}

/** A snapshot in the Hub's cache says which repository and commit it is of. */
function cachedOrigin({ files: [first] }: Conversion['checkpoint']): Origin | undefined {
  return first && originOf(first.path)
}

function recordedOptions(options: ConvertOptions, run: RunOptions): RecordedOptions {
  const { config, heads, tokenizer, modelParallel, onnxTarget, maxShardSize, name } = options
  const { metadata, mix } = options
  return {
    dtype: options.dtype,
    // A folder of some machine says nothing to another.
    ...(config === undefined ? {} : { config: basename(config) }),
    ...(heads === undefined ? {} : { heads }),
    ...(tokenizer === undefined ? {} : { tokenizer: basename(tokenizer) }),
    ...(modelParallel === undefined ? {} : { model_parallel: modelParallel }),
    ...(onnxTarget === undefined ? {} : { onnx_target: onnxTarget }),
    ...(options.fuseQkv ? { fuse_qkv: true } : {}),
    ...(maxShardSize === undefined ? {} : { max_shard_size: maxShardSize }),
    ...(name === undefined ? {} : { name }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(options.keepTokenizer ? { keep_tokenizer: true } : {}),
    ...(mix === undefined
      ? {}
      : { mix: mix.imatrix ? { ...mix, imatrix: basename(mix.imatrix) } : mix }),
    ...(run.allowNonFinite ? { allow_non_finite: true } : {}),
    ...(run.allowOverflow ? { allow_overflow: true } : {}),
    ...(options.allowLoss ? { allow_loss: true } : {}),
  }
}

/** Sentences about files whose hash is recorded as their place gives it, and no more than that. */
function unverifiedNotes(unverified: Executed['unverified']): string[] {
  return [...unverified].map(
    ([path, why]) =>
      `${basename(path)}: its content was not held against the SHA-256 that the Hub gives: ${why}`,
  )
}

/** Writes and syncs the record into the staging directory. */
export async function writeProvenance(staging: string, provenance: Provenance): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC } = constants
  const path = join(staging, recordName)
  const handle = await open(path, O_WRONLY | O_CREAT | O_TRUNC | noFollow)
  try {
    await handle.writeFile(formatJson(provenance))
    await handle.sync()
  } finally {
    await handle.close()
  }
}
