import { stat, statfs } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import type { Checkpoint, FormatName } from '../checkpoint/checkpoint.js'
import type { OnnxTarget, TargetOptions } from '../formats/format.js'
import { formatNamed, targetFormats } from '../formats/index.js'
import { describeLoss } from '../formats/losses.js'
import { inputError, usageError } from '../io/errors.js'
import { noteFiles, noteSmallFiles } from '../io/source.js'
import { nameOf } from '../io/store.js'
import { formatBytes } from '../io/units.js'
import { readAbout } from '../open/about.js'
import { type OpenOptions, openCheckpoint } from '../open/open.js'
import { parseSource } from '../open/source.js'
import { isMixName, type MixName } from '../quantize/mixes.js'
import { isNBits, type NBits } from '../quantize/nbits.js'
import type { CastSummary, InputRecord } from '../record/provenance.js'
import { type LoadedTokenizer, loadTokenizer, loadTokenizerJson } from '../tokenizer/load.js'
import { type ResolvedTokens, resolveTokens } from '../tokenizer/resolved-tokens.js'
import { whyNoTokenizerJson } from '../tokenizer/tokenizer-json.js'
import type { FloatType } from '../types/dtype.js'
import { type CarriedTokenizer, checkTargetTokenizer, keptFiles } from './carry-tokenizer.js'
import { inputsOf } from './inputs.js'
import { allotMemory, minMemory } from './memory.js'
import { chooseMix, chooseNBits, type MixOptions, type Quantization } from './mix.js'
import { checkOptions } from './options.js'
import { type Plan, planConversion, summarizeCasts } from './plan.js'
import { type SourceState, sourceStateOf } from './source-state.js'
import type { Staging } from './staging.js'
import { untieDifferentHead } from './tied-head.js'

export {
  type ConvertResult,
  checkFreeDisk,
  type RunOptions,
  refuseAsRun,
  runConversion,
} from './run.js'

export interface ConvertOptions extends OpenOptions {
  to: string
  /**
   * The output directory, or one file where the path ends with the format's
   * extension; by default a directory named after the source and the format.
   */
  out?: string
  dtype: FloatType | MixName | NBits | 'auto'
  /** Files that Meta's format shares the weights out to. */
  modelParallel?: number
  /** Whose configuration ONNX has beside transformers.js's. */
  onnxTarget?: OnnxTarget
  /** Queries, keys and values of a layer in one array, where GGUF has such (llama.cpp's --fuse-qkv). */
  fuseQkv?: boolean
  /** Bytes of tensors in one file at most; by default the format's own. */
  maxShardSize?: number
  /** Bytes of buffers at most. */
  maxMemory: number
  threads: number
  /** The model's name, for formats that keep one. */
  name?: string
  /** Changes of the metadata of formats that have any: `key=value`. */
  metadata?: readonly string[]
  /** Pass on the source's tokenizer files as they are. */
  keepTokenizer?: boolean
  /** Convert what the format cannot say whole. */
  allowLoss?: boolean
  /** How a quantization mix is to be departed from. */
  mix?: MixOptions
}

/** A conversion whose whole cost is known; nothing has been written. */
export interface Conversion {
  checkpoint: Checkpoint
  /** What the source's files were when their headers were read. */
  sourceState: SourceState
  /** The source's SentencePiece model, where it has one. */
  tokenizer?: LoadedTokenizer
  plan: Plan
  staging: Staging
  options: ConvertOptions
  warnings: string[]
  casts: CastSummary[]
  /** What else than weights goes into the output. */
  inputs: InputRecord[]
  /** Where the target is a quantization mix, or ONNX's quantized type. */
  quantization?: Quantization
  /** Bytes of buffers that will be used at most. */
  memory: number
  /** Bytes free where the output goes. */
  freeDisk: number
}

/**
 * Opens the source and works out everything that the conversion will do: what
 * `--dry-run` shows.
 */
export async function prepareConversion(
  source: string,
  options: ConvertOptions,
): Promise<Conversion> {
  const { result, files } = await noteSmallFiles(() => prepare(source, options))
  const { checkpoint, plan } = result
  const inputs = inputsOf(checkpoint, plan.target.format, options.mix?.imatrix, files)
  return { ...result, inputs }
}

async function prepare(
  source: string,
  options: ConvertOptions,
): Promise<Omit<Conversion, 'inputs'>> {
  const format = formatNamed(options.to)
  if (format?.describe === undefined) {
    throw usageError(`"${options.to}" is no format that can be written`, {
      suggestions: [`There are ${targetFormats.join(', ')}.`],
    })
  }
  if (options.maxMemory < minMemory) {
    throw usageError(
      `\`maxMemory\` is ${formatBytes(options.maxMemory)}, at least ${formatBytes(minMemory)} are needed`,
    )
  }
  const { modelParallel, onnxTarget } = options
  checkOptions(format, options)
  const { result: read, files: noted } = await noteFiles(() => openCheckpoint(source, options))
  const opened = await untieDifferentHead(read)
  const quantization = isMixName(options.dtype)
    ? await chooseMix(opened, options.dtype, options.mix ?? {})
    : isNBits(options.dtype)
      ? chooseNBits(opened, options.dtype, options.mix ?? {})
      : undefined
  const tokenizer = await loadTokenizer(opened)
  const tokenizerJson = await loadTokenizerJson(opened.tokenizer)
  const keepTokenizer = options.keepTokenizer ?? false
  const { files: keptTokenizer, notes: keptNotes } = await keptFiles(
    opened,
    tokenizer,
    format.name,
    keepTokenizer,
  )
  const out = resolve(options.out ?? defaultOut(source, format.name, options.dtype))
  const { extension } = format
  const single = extension !== undefined && out.toLowerCase().endsWith(extension)
  const { maxShardSize, name, metadata } = options
  const about = await readAbout(opened)
  const sources = {
    about,
    keepTokenizer,
    ...(tokenizer ? { tokenizer } : {}),
    ...(tokenizerJson ? { tokenizerJson } : {}),
    ...(keptTokenizer ? { keptTokenizer } : {}),
  }
  checkPieces(opened, tokenizer)
  const resolved = resolveTokens(opened, sources)
  const checkpoint = { ...opened, config: resolved.config }
  const wanted: TargetOptions = {
    dtype: isMixName(options.dtype) || isNBits(options.dtype) ? 'auto' : options.dtype,
    ...quantization?.target,
    ...sources,
    resolved,
    ...(modelParallel === undefined ? {} : { modelParallel }),
    ...(onnxTarget === undefined ? {} : { onnxTarget }),
    ...(options.fuseQkv ? { fuseQkv: true } : {}),
    ...(name === undefined ? {} : { name }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(maxShardSize === undefined ? {} : { maxShardSize }),
    ...(single ? { fileName: basename(out) } : {}),
    ...(tokenizer && whyNoTokenizerJson(tokenizer.model) ? { withoutTokenizerJson: true } : {}),
  }
  const described = await format.describe(checkpoint, wanted)
  const carried: CarriedTokenizer = tokenizer
    ? await checkTargetTokenizer(checkpoint, tokenizer, described, keptTokenizer !== undefined)
    : { warnings: [] }
  // Files that are passed on say themselves what the tokens are.
  const passedOn = carried.kept && {
    keptTokenizer: carried.kept,
    resolved: resolveTokens(opened, { ...sources, keptTokenizer: carried.kept }),
  }
  const target =
    carried.leaveOut === undefined
      ? described
      : await format.describe(checkpoint, { ...wanted, withoutTokenizerJson: true, ...passedOn })
  const plan = planConversion(checkpoint, target, quantization?.importance)
  return {
    checkpoint,
    sourceState: await sourceStateOf(checkpoint.files, noted),
    ...(tokenizer ? { tokenizer } : {}),
    plan,
    staging: { out, path: `${out}.partial`, single },
    options,
    warnings: [
      ...checkpoint.notes,
      ...rowNotes(checkpoint, resolved),
      ...about.notes,
      ...target.notes,
      ...(target.losses ?? []).map(describeLoss),
      ...(quantization?.notes ?? []),
      ...keptNotes,
      ...carried.warnings,
    ],
    casts: summarizeCasts(plan),
    ...(quantization ? { quantization } : {}),
    memory: allotMemory(plan, options).memory,
    freeDisk: await freeDiskAt(out),
  }
}

/** @throws input error where tokenizer and embedding cannot belong together */
function checkPieces({ config }: Checkpoint, tokenizer: LoadedTokenizer | undefined): void {
  const pieces = tokenizer?.model.pieces.length ?? 0
  if (tokenizer === undefined || pieces <= config.vocab_size) return
  throw inputError(
    `the tokenizer has ${pieces} pieces, the embedding only ${config.vocab_size} rows`,
    {
      path: tokenizer.path,
      suggestions: ['It is of another model: give the right one with `tokenizer`.'],
    },
  )
}

/** Rows that no token of a SentencePiece tokenizer belongs to. */
function rowNotes({ config }: Checkpoint, { sentencePiece }: ResolvedTokens): string[] {
  if (sentencePiece === undefined) return []
  const { pieces, settings } = sentencePiece
  const tokens = pieces + settings.added.length
  if (tokens === config.vocab_size) return []
  const added = settings.added.length === 0 ? '' : ` and ${settings.added.length} added tokens`
  return [
    `the embedding has ${config.vocab_size} rows for ${pieces} pieces${added} of the tokenizer; all rows are kept`,
  ]
}

/** streaming_params_bf16 → streaming_params_bf16-safetensors-f16, in the working directory. */
function defaultOut(source: string, format: FormatName, dtype: string): string {
  const path = parseSource(source).path.replace(/[/\\]+$/, '')
  const name = nameOf(path)
  // Of files only what says their format goes: the rest of Llama-3.1-8B is no extension.
  const bare = name.replace(/(.)((\.(safetensors|bin))?\.index\.json|\.[a-z]+)$/i, '$1')
  return [bare, format, ...(dtype === 'auto' ? [] : [dtype])].join('-')
}

/** Bytes free in the nearest directory above `out` that exists. */
async function freeDiskAt(out: string): Promise<number> {
  let folder = dirname(out)
  while (!(await stat(folder).catch(() => undefined)) && folder !== dirname(folder))
    folder = dirname(folder)
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
