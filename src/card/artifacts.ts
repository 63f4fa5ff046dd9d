import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import type { Checkpoint, FormatName } from '../checkpoint/checkpoint.js'
import { matrixOf, tensorBytes } from '../checkpoint/tensor.js'
import { formats, traitsOf } from '../formats/index.js'
import { folder as graphFolder, onnx } from '../formats/onnx/onnx.js'
import { fromSystemError, inputError, OpenLlamaError, usageError } from '../io/errors.js'
import { property } from '../io/json.js'
import { openFile, readStart } from '../io/source.js'
import { refuseStandIns } from '../io/stand-ins.js'
import { statThere } from '../io/there.js'
import { openCheckpoint } from '../open/open.js'
import { isBlock, isFloat } from '../types/dtype.js'
import { shellWord } from './markdown.js'
import { type CardRecord, ownRecord } from './records.js'

/** A model in one form: a file of weights or several that belong together. */
export interface Artifact {
  format: FormatName
  /** In the directory, with `/` between folders; sorted. */
  files: FileSize[]
  /** By type, how many tensors have it; empty where nothing tells. */
  types: ReadonlyMap<string, number>
  parameters: number | undefined
  /** Of all weights together, scales included. */
  bitsPerWeight: number | undefined
  /** Weights are in types of few bits. */
  quantized: boolean
  /** openllama.json, where the files are listed in it. */
  record: CardRecord | undefined
  /** Absent where the format's reader refuses it, as it does quantized graphs. */
  checkpoint?: Checkpoint
}

export interface FileSize {
  name: string
  bytes: number
}

/** A directory that a card is to be written for. */
export interface Survey {
  folder: string
  artifacts: Artifact[]
  /** Configuration and tokenizer, as far as a card speaks of them. */
  others: FileSize[]
  /** What was found and is no model's weights, in sentences. */
  skipped: string[]
}

/** Folders of shards have some hundred files; what has far more is no model's. */
const maxFiles = 20_000

/**
 * Looks for every model in a directory, and for ONNX graphs in the folder below
 * it, and reads their headers.
 * @throws input error where there is none, or one cannot be read
 */
export async function survey(folder: string): Promise<Survey> {
  const entries = await list(folder)
  const onnxFolder = entries.find((entry) => entry.isDirectory() && entry.name === graphFolder)
  const names = await filesOf(folder, entries)
  const inOnnx = onnxFolder ? await filesOf(join(folder, graphFolder)) : []
  const artifacts: Artifact[] = []
  const skipped: string[] = []
  const claimed = () => artifacts.flatMap(({ files }) => files.map(({ name }) => name))
  for (const format of formats) {
    if (format.traits.standalone) continue
    const entry = format.detectDirectory?.(names)
    if (entry === undefined || claimed().includes(entry)) continue
    artifacts.push(await describe(folder, join(folder, entry), format.name))
  }
  for (const name of names) {
    if (claimed().includes(name) || notWeights.test(name)) continue
    const path = join(folder, name)
    const head = await headOf(path)
    const format = formats.find((each) => each.detect?.(head, name))
    if (format === undefined) {
      if (/\.(?:gguf|onnx|safetensors|bin|msgpack|pth)$/i.test(name)) refuseStandIns(path, head)
      continue
    }
    // Beside a model there may be an optimiser's state; a broken GGUF is to be known of.
    const artifact = await describe(folder, path, format.name).catch((error: unknown) => {
      const beside = !format.traits.metadata && artifacts.length > 0
      if (!(beside && error instanceof OpenLlamaError && error.code === 'input')) throw error
      skipped.push(`${name} is not in the card: ${error.message}`)
      return undefined
    })
    if (artifact !== undefined) artifacts.push(artifact)
  }
  for (const name of inOnnx.filter((each) => each.endsWith('.onnx'))) {
    artifacts.push(await describe(folder, join(folder, graphFolder, name), onnx.name))
  }
  if (artifacts.length === 0) {
    throw inputError('no model is in this directory, for which a card could be written', {
      path: folder,
      suggestions: [`Known are ${formats.map(({ title }) => title).join(', ')}.`],
    })
  }
  const weights = new Set(claimed())
  const others = names.filter((name) => companions.test(name) && !weights.has(name))
  return { folder, artifacts, others: await sizes(folder, others), skipped }
}

/** What lies beside weights and is known by its name. */
const notWeights =
  /\.(?:json|jsonl|md|txt|svg|png|jpg|py|js|yaml|yml|jinja|csv|onnx_data\w*|partial)$|^tokenizer\.model$|^\.|^LICENSE/i

const companions =
  /^(?:config|generation_config|genai_config|tokenizer|tokenizer_config|special_tokens_map|params)\.json$|^tokenizer\.model$|^chat_template\.jinja$|^LICENSE/

async function describe(folder: string, path: string, format: FormatName): Promise<Artifact> {
  const checkpoint = await openOrRefuse(path, format)
  const paths = checkpoint?.files.map((file) => file.path) ?? (await graphFiles(path))
  const all = new Set(traitsOf(format).graph ? [path, ...paths] : paths)
  const files = await sizes(
    folder,
    [...all].map((each) => relative(folder, each)),
  )
  const record = await ownRecord(
    folder,
    files.map(({ name }) => name),
  )
  return { format, files, record, ...measure(checkpoint, record) }
}

/** Opens a checkpoint; a graph with quantized weights is not read back, which is no fault. */
async function openOrRefuse(path: string, format: FormatName): Promise<Checkpoint | undefined> {
  try {
    return await openCheckpoint(path)
  } catch (error) {
    if (traitsOf(format).graph && error instanceof OpenLlamaError && error.code === 'input') {
      return undefined
    }
    throw error
  }
}

function measure(
  checkpoint: Checkpoint | undefined,
  record: CardRecord | undefined,
): Pick<Artifact, 'types' | 'parameters' | 'bitsPerWeight' | 'quantized' | 'checkpoint'> {
  const types = new Map<string, number>()
  if (checkpoint === undefined) {
    for (const { to, tensors } of record?.casts ?? []) {
      types.set(to, (types.get(to) ?? 0) + tensors)
    }
    const bitsPerWeight = record?.quantization?.bits_per_weight
    return { types, parameters: record?.parameters, bitsPerWeight, quantized: true }
  }
  let parameters = 0
  let bytes = 0
  let quantized = false
  for (const tensor of checkpoint.tensors.values()) {
    const [rows, columns] = matrixOf(tensor.shape)
    parameters += rows * columns
    bytes += tensorBytes(tensor)
    quantized ||= isBlock(tensor.dtype) || !isFloat(tensor.dtype)
    types.set(tensor.dtype, (types.get(tensor.dtype) ?? 0) + 1)
  }
  return { types, parameters, bitsPerWeight: (bytes * 8) / parameters, quantized, checkpoint }
}

/** A graph and the file of its weights, which has the same name and one ending more. */
async function graphFiles(path: string): Promise<string[]> {
  const folder = join(path, '..')
  const names = await filesOf(folder)
  const stem = basename(path)
  return names
    .filter((name) => name === stem || name.startsWith(`${stem}_data`) || name === `${stem}.data`)
    .map((name) => join(folder, name))
}

async function list(folder: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    if (entries.length > maxFiles) {
      throw inputError(`${entries.length} files are in it, more than ${maxFiles}`, { path: folder })
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    if (property(error, 'code') === 'ENOTDIR' && (await isFile(folder))) {
      throw usageError('it is a file; a card is written for the folder that holds it', {
        path: folder,
        suggestions: [`Name the folder: openllama card ${shellWord(dirname(folder))}`],
      })
    }
    throw fromSystemError(error, folder, 'read it')
  }
}

async function filesOf(folder: string, entries?: readonly Dirent[]): Promise<string[]> {
  const names: string[] = []
  for (const entry of entries ?? (await list(folder))) {
    const there =
      entry.isFile() || (entry.isSymbolicLink() && (await isFile(join(folder, entry.name))))
    if (there) names.push(entry.name)
  }
  return names
}

async function isFile(path: string): Promise<boolean> {
  return (await statThere(path))?.isFile() ?? false
}

async function sizes(folder: string, names: readonly string[]): Promise<FileSize[]> {
  const all = names.map(async (name) => ({
    name: name.split(sep).join('/'),
    bytes: (await stat(join(folder, name))).size,
  }))
  return (await Promise.all(all)).sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function headOf(path: string): Promise<Uint8Array> {
  const source = await openFile(path)
  try {
    return await readStart(source, 512)
  } finally {
    await source.close()
  }
}
