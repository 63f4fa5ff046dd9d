import type { CardResult } from '../card/card.js'
import type { CheckResult } from '../check/check.js'
import type { FormatName } from '../checkpoint/checkpoint.js'
import type { Extent, Layout } from '../checkpoint/tensor.js'
import type { Diff } from '../compare/diff.js'
import type { ConvertResult } from '../convert/convert.js'
import type { DeviceFound } from '../engines/devices.js'
import type { Pulled } from '../hub/pull/pull.js'
import type { Pushed } from '../hub/push/push.js'
import type { ErrorCode } from '../io/errors.js'
import type { Json, JsonObject } from '../io/json.js'
import type { CheckRecord } from '../record/check.js'
import type { CastSummary, FallbackRecord, Loss, Provenance } from '../record/provenance.js'
import type { TokenizerSummary } from '../tokenizer/summary.js'

/**
 * What each command gives with `--json`, and openllama.json: schemas/ is made of these types, a
 * file each. A name here is a file there.
 */
export interface Schemas {
  card: CardResult | Failed
  check: CheckJson | DevicesJson | Failed
  convert: ConvertResult | PlanJson | Failed
  diff: Diff | Failed
  'gguf-set': EditJson | Failed
  inspect: InspectionJson | OpaqueJson | VocabularyJson | Failed
  pull: Pulled | Failed
  push: Pushed | Failed
  'tokenizer-check': TokenizerCheckJson | Failed
  'tokenizer-convert': ConvertedTokenizerJson | Failed
  'openllama.json': Provenance
}

/** What a command gives that ends with an error, whatever it is of. */
export interface Failed {
  error: {
    /** `bug` for what no user can mend. */
    code: ErrorCode | 'bug'
    exit: number
    message: string
    path?: string | undefined
    format?: string | undefined
    tensor?: string | undefined
    suggestions: string[]
  }
}

interface FileJson {
  path: string
  bytes: number
}

/** What `convert --dry-run` gives. */
export interface PlanJson {
  source: { format: FormatName; files: FileJson[] }
  out: string
  format: FormatName
  files: { name: string; bytes: number }[]
  /** Of all files. */
  bytes: number
  casts: CastSummary[]
  quantization?: {
    bits_per_weight: number
    fallbacks: FallbackRecord[]
    tensors: { name: string; shape: readonly number[]; type: string; bytes: number }[]
  }
  /** Bytes of buffers at most. */
  memory: number
  free_disk: number
  losses: readonly Loss[]
  /** Null where none is wanted. */
  check: {
    possible: boolean
    reason: string | null
    positions: number
    memory: number
    free_memory: number
  } | null
  config: JsonObject
  tensors: {
    name: string
    from: string
    shape: readonly number[]
    dtype: string
    steps: string[]
  }[]
  warnings: string[]
}

/** What `check` gives: the record, and what differs from run to run. */
export interface CheckJson extends CheckRecord {
  artifact: string
  type: string
  tokens_per_second: number | null
  continuations: CheckResult['continuations']
}

interface DevicesJson {
  devices: DeviceFound[]
}

/** What `inspect` gives of a checkpoint. */
export interface InspectionJson {
  path: string
  format: FormatName
  files: FileJson[]
  parameters: number
  bytes: number
  /** How many tensors have each type. */
  dtypes: Record<string, number>
  config: JsonObject
  tokenizer: TokenizerJson
  metadata?: MetadataJson
  notes: readonly string[]
  tensors?: {
    name: string
    stored_name: string
    dtype: string
    shape: readonly number[]
    layout: Layout
    extents: Extent[]
  }[]
}

/** Of a GGUF whose weights are not read here. */
export interface OpaqueJson {
  path: string
  format: FormatName
  files: FileJson[]
  dtypes: Record<string, number>
  metadata: MetadataJson
  notes: string[]
  tensors?: { name: string; type: string; shape: readonly number[] }[]
}

/** Of a GGUF that is a vocabulary alone. */
export interface VocabularyJson {
  path: string
  format: FormatName
  files: FileJson[]
  parameters: 0
  tokens: number
  metadata: MetadataJson
}

/** Arrays as counts; integers that JSON cannot hold as text. */
export type MetadataJson = Record<string, { type: string; length: number } | TypedJson>

interface TypedJson {
  type: string
  value: Json
}

export interface WhitespaceJson {
  merged: boolean
  dummy_prefix: boolean
  run_pieces: number
}

export interface TokenJson {
  id: number
  piece: string
}

/** The files alone where no tokenizer could be read. */
export interface TokenizerJson {
  model?: string
  beside: string[]
  kind?: TokenizerSummary['kind']
  generation?: TokenizerSummary['generation']
  whitespace?: WhitespaceJson | null
  pre?: string | null
  bos?: TokenJson | null
  eos?: TokenJson | null
  pieces?: number
  embedding_rows?: number
  sizes_agree?: boolean
}

/** What `gguf set` gives. */
export interface EditJson {
  file: string
  dry_run: boolean
  /** An interrupted change was undone. */
  restored: boolean
  action: 'none' | 'in_place' | 'rewrite'
  changes: { key: string; before: TypedJson | null; after: TypedJson }[]
  warnings: string[]
}

/** What `tokenizer check` gives. */
export interface TokenizerCheckJson {
  source: string
  ok: boolean
  texts: number
  probes: number
  characters: number
  engines: { name: string; runs: string | null; seconds: number; characters_per_second: number }[]
  pairs: {
    engines: readonly [string, string]
    encode_mismatches: number
    decode_mismatches: number
    unexplained: number
    limits: { engine: string; what: string; advice: string; count: number }[]
    examples: {
      text: string
      kind: 'encode' | 'decode'
      explained: boolean
      sides: { engine: string; ids: readonly number[]; pieces: string[]; decoded: string }[]
    }[]
  }[]
  notes: string[]
}

/** What `tokenizer convert` gives. */
export interface ConvertedTokenizerJson {
  out: string | null
  files: FileJson[]
  tokenizer:
    | { kind: 'byte-level-bpe' }
    | {
        generation: TokenizerSummary['generation']
        model_type: string
        pieces: number
        whitespace: WhitespaceJson | null
        bos: TokenJson | null
        eos: TokenJson | null
      }
  warnings: string[]
}
