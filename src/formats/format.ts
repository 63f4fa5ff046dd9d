import type { Checkpoint, FormatName, Listing } from '../checkpoint/checkpoint.js'
import type { MetadataEntry } from '../checkpoint/metadata.js'
import type { Tensor } from '../checkpoint/tensor.js'
import type { NBits } from '../quantize/nbits.js'
import type { Loss } from '../record/provenance.js'
import type { KeptFile, LoadedTokenizer } from '../tokenizer/load.js'
import type { ResolvedTokens } from '../tokenizer/resolved-tokens.js'
import type { SettingsFile } from '../tokenizer/tokenizer-config.js'
import type { DType, FloatType } from '../types/dtype.js'
import type { About } from './about.js'

/**
 * A format describes; it moves no bytes. `open` reads headers and says where
 * the tensors are, `describe` says where they are to go.
 */
export interface Format {
  readonly name: FormatName
  /** For people. */
  readonly title: string
  /** What a path ends with that stands for one file of this format, such as `.gguf`. */
  readonly extension?: string
  readonly traits: Traits
  /** Options of a conversion that only some formats know. */
  readonly options?: readonly FormatOption[]
  /** Quantized types that the format has, and what can be said of how they are made. */
  readonly quantized?: { types: readonly string[]; options: readonly QuantizeOption[] }
  /** EasyLM's load types (`params::…`) that name this format. */
  readonly loaders?: readonly string[]
  /** Whether a file of this name that starts with `head` (up to 512 bytes) is of this format. */
  detect?(head: Uint8Array, name: string): boolean
  /**
   * Which of a directory's entries is the checkpoint, or undefined where none is of this format.
   * The entry is opened; `''` opens the directory itself.
   */
  detectDirectory?(entries: readonly string[]): string | undefined
  /** The directory of config.json and tokenizer, where it is not the one that `path` is or is in. */
  homeOf?(path: string): string
  open?(path: string, loader?: string): Promise<Listing>
  describe?(checkpoint: Checkpoint, options: TargetOptions): Target | Promise<Target>
}

/** What others need to know of a format to treat its files as they are. */
export interface Traits {
  /** As cards and sentences call it. */
  readonly short: string
  /** What runs its files: ONNX Runtime, or llama.cpp, for which they are made. */
  readonly engine: 'onnxruntime' | 'llama.cpp'
  /** Its files carry the graph that runs them. */
  readonly graph: boolean
  /**
   * How Python loads its weights, for the examples of a card: by transformers, an array at a time
   * from a stream of msgpack, all from one msgpack, or as a part of a model in each of torch's files.
   * Absent where what runs it loads it.
   */
  readonly loading?: 'from_pretrained' | 'stream' | 'msgpack' | 'parts'
  /** Each file of a folder is a model by itself, and not a part of one. */
  readonly standalone: boolean
  /**
   * Where an output has its tokenizer: within the weights' file, in the files beside them that
   * Hugging Face's libraries read, or as the one file of SentencePiece.
   */
  readonly tokenizer: 'within' | 'beside' | 'model'
  /** A README.md beside a source says what goes into the file's own metadata. */
  readonly metadata: boolean
  /**
   * The Hub's `library_name`, and tags, of what is published in it. For transformers and
   * transformers.js (huggingface.js, packages/tasks, model-libraries.ts) the Hub shows code; `gguf`
   * is one that it filters by (docs/hub/gguf.md). It takes any other name too, and finds models by it
   * (docs/hub/models-adding-libraries.md).
   */
  readonly library: string
  readonly tags: readonly string[]
  /** Which of several formats a card's library is that of: the lowest. */
  readonly rank: number
  /** Where its tags stand in a card of several formats: the lowest comes first. */
  readonly tagRank: number
}

/** As the library calls them. */
export type FormatOption =
  | 'maxShardSize'
  | 'name'
  | 'metadata'
  | 'modelParallel'
  | 'onnxTarget'
  | 'fuseQkv'
  | 'keepTokenizer'

export type QuantizeOption =
  | 'pure'
  | 'outputTensorType'
  | 'tokenEmbeddingType'
  | 'tensorTypes'
  | 'leaveOutput'
  | 'imatrix'
  | 'allowRequantize'
  | 'strict'

export interface TargetOptions {
  /** The dtype of the weights, or `auto`: each tensor's own. */
  dtype: FloatType | 'auto'
  /** Bytes of tensors in one file at most, where the user says so; each format has its own default. */
  maxShardSize?: number
  /** The name of the one file that is to be written, where the output is a file and no folder. */
  fileName?: string
  /** The source's tokenizer, where it has one. */
  tokenizer?: LoadedTokenizer
  /** Files that the weights are shared out to, where the format has model parallelism. */
  modelParallel?: number
  /** Whose configuration ONNX has beside transformers.js's. */
  onnxTarget?: OnnxTarget
  /** Queries, keys and values in one array, where the format has such. */
  fuseQkv?: boolean
  /** The source's tokenizer.json, where it has nothing else. */
  tokenizerJson?: SettingsFile
  /** Tokenizer files that folders get as they are, in the place of ours. */
  keptTokenizer?: readonly KeptFile[]
  /** They are passed on even where they are wrong (--keep-tokenizer). */
  keepTokenizer?: boolean
  /** Folders get tokenizer.model and no tokenizer.json, since none can be right. */
  withoutTokenizerJson?: boolean
  /** What all files say of the model's tokens, where it was resolved before. */
  resolved?: ResolvedTokens
  /** The model's name (--name), for formats that keep one. */
  name?: string
  /** What lies beside the weights and says where the model is from. */
  about?: About
  /** Changes of the file's metadata (--metadata key=value), for formats that have any. */
  metadata?: readonly string[]
  /** A quantization mix: types of single tensors, by Hugging Face's names, in the place of `dtype`. */
  mix?: Mix
  /** ONNX's quantized type, in the place of `dtype`, and the tensors that have it. */
  nbits?: { name: NBits; tensors: ReadonlySet<string> }
}

/** The runtimes whose configuration an ONNX folder can have. */
export const onnxTargets = ['transformers.js', 'genai'] as const
export type OnnxTarget = (typeof onnxTargets)[number]

interface Mix {
  /** As users know it, in lower case: q4_k_m. */
  name: string
  /** llama.cpp's number for it, `general.file_type`. */
  fileType: number
  types: ReadonlyMap<string, DType>
  /** What else the file says of how it was quantized. */
  metadata: readonly MetadataEntry[]
}

/** A checkpoint that is to be written. */
export interface Target {
  format: FormatName
  files: TargetFile[]
  /** By Hugging Face's names; the extents' paths are names of `files`. */
  tensors: ReadonlyMap<string, Tensor>
  /** What the format made necessary and the user should know, in sentences. */
  notes: string[]
  /** What it cannot say of the model, so that its readers compute something else. */
  losses?: readonly Loss[]
}

export interface TargetFile {
  /** Within the output directory. */
  name: string
  /** Bytes in the finished file. */
  size: number
  /** Bytes known beforehand: headers, whole small files. */
  literals: { offset: number; bytes: Uint8Array }[]
  /** Bytes that depend on others and are filled in when those are written. */
  patches?: Patch[]
}

/** The CRC-32 of a range of a file, as a little-endian u32 at one or more places in it. */
export interface Patch {
  kind: 'crc32'
  of: { offset: number; length: number }
  at: number[]
}
