import { basename } from 'node:path'
import { originOf } from '../io/snapshot.js'
import type { Origin } from '../io/store.js'
import { worded } from '../io/wording.js'
import { type Provenance, type RecordedOptions, schema } from '../record/provenance.js'
import { tokenizerRecord } from '../tokenizer/record.js'
import { version } from '../version.js'
import type { Conversion, ConvertOptions, RunOptions } from './convert.js'
import type { Executed } from './execute.js'

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
    notes: worded([...warnings, ...unverifiedNotes(unverified)]),
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
