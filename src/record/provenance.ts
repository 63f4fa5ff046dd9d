import type { Json } from '../io/json.js'
import type { Origin } from '../io/store.js'
import type { DType } from '../types/dtype.js'
import type { CheckRecord } from './check.js'

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
  source: { format: string; files: FileRecord[] } & Partial<Origin>
  target: { format: string; files: FileRecord[] }
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
export const schema = 2

export interface RecordedOptions {
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
  mix?: RecordedMix
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

/** What an output was made of besides the weights, as it was when it was read. */
export interface InputRecord {
  role: 'config' | 'index' | 'generation_config' | 'tokenizer' | 'card' | 'imatrix'
  name: string
  bytes: number
  sha256: string
}

/**
 * What openllama.json says of the tokenizer. llama.cpp's converter has no key for
 * the merging of spaces, so a GGUF that equals its own cannot say it; with this
 * record beside it, the tokenizer.model is had back as it was.
 */
export interface TokenizerRecord {
  generation: string
  pieces: number
  remove_extra_whitespaces: boolean
}

/** Tensors that change from one type to another, or keep theirs. */
export interface CastSummary {
  from: DType
  to: DType
  tensors: number
  parameters: number
}

/** How a mix is to be departed from, as llama-quantize's users know it. */
export interface RecordedMix {
  pure?: boolean
  outputTensorType?: string
  tokenEmbeddingType?: string
  /** `REGEX=TYPE`; the first that matches a GGUF name counts. */
  tensorTypes?: readonly string[]
  leaveOutput?: boolean
  /** The path of an importance matrix. */
  imatrix?: string
  /** Quantize again what is quantized already. */
  allowRequantize?: boolean
  /** Refuse fallbacks. */
  strict?: boolean
}

/** A tensor that cannot have its type. */
export interface FallbackRecord {
  tensor: string
  wanted: string
  got: string
  /** A clause with both numbers. */
  reason: string
}

/**
 * What a format cannot say of a model, so that who reads the output computes something else. Such a
 * conversion is made only where the user allows it (--allow-loss).
 */
export interface Loss {
  field: 'rope_scaling' | 'sliding_window' | 'head_dim' | 'intermediate_size'
  /** What the format lacks, as a clause. */
  what: string
  from: Json
  /** What the output's reader takes it for. */
  to: Json
  /** Tokens that a text can have before anything differs; null where the reader cannot load it. */
  since: number | null
}
