import type { Checkpoint, FormatName, Listing } from '../checkpoint/checkpoint.js'
import type { FloatType } from '../checkpoint/dtype.js'
import type { Tensor } from '../checkpoint/tensor.js'
import type { LoadedTokenizer } from '../tokenizer/load.js'

/**
 * A format describes; it moves no bytes. `open` reads headers and says where
 * the tensors are, `describe` says where they are to go.
 */
export interface Format {
  readonly name: FormatName
  /** For people. */
  readonly title: string
  /** EasyLM's load types (`params::…`) that name this format. */
  readonly loaders?: readonly string[]
  /** Whether a file of this name that starts with `head` (up to 512 bytes) is of this format. */
  detect?(head: Uint8Array, name: string): boolean
  /**
   * Which of a directory's entries is the checkpoint, or undefined where none is of this format.
   * The entry is opened; `''` opens the directory itself.
   */
  detectDirectory?(entries: readonly string[]): string | undefined
  open?(path: string, loader?: string): Promise<Listing>
  describe?(checkpoint: Checkpoint, options: TargetOptions): Target
}

export interface TargetOptions {
  /** The dtype of the weights, or `auto`: each tensor's own. */
  dtype: FloatType | 'auto'
  /** Bytes of tensors in one file at most. */
  maxShardSize: number
  /** The source's tokenizer, where it has one. */
  tokenizer?: LoadedTokenizer
  /** Files that the weights are shared out to, where the format has model parallelism. */
  modelParallel?: number
}

/** A checkpoint that is to be written. */
export interface Target {
  format: FormatName
  files: TargetFile[]
  /** By Hugging Face's names; the extents' paths are names of `files`. */
  tensors: ReadonlyMap<string, Tensor>
  /** What the format made necessary and the user should know, in sentences. */
  notes: string[]
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
