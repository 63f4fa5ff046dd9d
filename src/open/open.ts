import { basename, dirname } from 'node:path'
import {
  type Checkpoint,
  type Listing,
  resolveCheckpoint,
  type SourceFile,
} from '../checkpoint/checkpoint.js'
import { configFromHf, type ModelConfig } from '../checkpoint/config.js'
import { type ConfigSource, list } from '../checkpoint/geometry.js'
import { type GraphFacts, graphDisagreements } from '../checkpoint/graph-facts.js'
import { presets } from '../checkpoint/presets.js'
import type { Format } from '../formats/format.js'
import { formatOfLoader, formats, loaders } from '../formats/index.js'
import { genaiDisagreements } from '../formats/onnx/genai-facts.js'
import { isBesideWeights } from '../formats/torch/pytorch.js'
import { inputError, OpenLlamaError, usageError } from '../io/errors.js'
import { parseExactJson } from '../io/exact-json.js'
import { parseJsonObject } from '../io/json.js'
import { openFile, readSmallFile, readStart } from '../io/source.js'
import { refuseStandIns } from '../io/stand-ins.js'
import { isFolder, join, kindOf, listFolder, resolvePath, storeOf } from '../io/store.js'
import { findTokenizer } from './find-tokenizer.js'
import { refuseOtherBytes, refuseOtherName } from './other-files.js'
import { adapterAlone, hasAdapter, isAdapterFile, noCheckpoint } from './other-folders.js'

export interface OpenOptions {
  /** A preset's name or the path of a config.json (--config). */
  config?: string
  /** The number of attention heads (--heads). */
  heads?: number
  /** The path of a tokenizer.model or tokenizer.json, or of their folder (--tokenizer). */
  tokenizer?: string
}

/**
 * Opens a checkpoint: a file, a directory, or an EasyLM load string
 * (`params::path`). Its format is found out, its headers are read, and a
 * config.json and tokenizer.model beside it are taken into account.
 * @throws input error where its own graph computes otherwise than the configuration says, with both
 */
export async function openCheckpoint(
  source: string,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  const checkpoint = await readCheckpoint(source, options)
  const { disagreements = [], format } = checkpoint
  if (disagreements.length === 0) return checkpoint
  throw inputError(`its configuration is not its own: ${list(disagreements, 4)}`, {
    format,
    path: source,
    suggestions: ['Give the configuration that it was exported with: --config.'],
  })
}

/** The same; that its graph and the configuration disagree is kept as a finding. */
export async function readCheckpoint(
  source: string,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  const resolved = await resolvePath(source)
  const { format, path, loader } = await locate(resolved)
  const folder = await homeOf({ format, path })
  const given = await givenConfig(folder, options)
  const listing = await openListing(format, path, loader)
  const tokenizer = await findTokenizer(folder, options.tokenizer)
  const files = await Promise.all(listing.files.map(withHash))
  const origin = (await storeOf(path))?.origin(path)
  const adapters = await adapterNotes(path)
  const checkpoint = resolveCheckpoint(
    { ...listing, path: source, files, notes: [...listing.notes, ...adapters] },
    {
      ...(given ? { given } : {}),
      ...(options.heads === undefined ? {} : { heads: options.heads }),
    },
    tokenizer,
  )
  const disagreements =
    listing.facts === undefined
      ? []
      : await disagreementsOf(
          listing.facts,
          checkpoint.config,
          { folder, path },
          given ?? listing.config,
        )
  return {
    ...checkpoint,
    folder,
    ...(disagreements.length === 0 ? {} : { disagreements }),
    ...(origin === undefined ? {} : { origin, resolved }),
  }
}

/** Where a graph, or the genai_config.json that belongs to it, says other things than a configuration. */
export async function disagreementsOf(
  facts: GraphFacts,
  config: ModelConfig,
  { folder, path }: { folder: string; path: string },
  given: ConfigSource | undefined,
): Promise<string[]> {
  const from = given?.from ?? 'what is assumed'
  const inside = (await isFolder(path)) ? path : dirname(path)
  return [
    ...graphDisagreements(facts, config, from),
    ...(await genaiDisagreements([folder, inside], config, from)),
  ]
}

/** An adapter beside a model is part of it for who loads the folder with PEFT, and not for us. */
async function adapterNotes(path: string): Promise<string[]> {
  const folder = (await kindOf(path)) === 'folder' ? path : dirname(path)
  if (!hasAdapter(await listFolder(folder).catch(() => []))) return []
  return ['a LoRA adapter lies beside the weights: it is not merged into them']
}

/** What is elsewhere is not read a second time for its hash, which its place knows. */
async function withHash(file: SourceFile): Promise<SourceFile> {
  const remote = await (await storeOf(file.path))?.open(file.path)
  return remote?.sha256 === undefined ? file : { ...file, sha256: remote.sha256 }
}

/** The folder that a configuration and a tokenizer are looked for in. */
export async function homeOf({ format, path }: Location): Promise<string> {
  return format.homeOf?.(path) ?? ((await isFolder(path)) ? path : dirname(path))
}

/** The configuration that was chosen, or that is in the folder. */
export function givenConfig(
  folder: string,
  { config }: OpenOptions,
): Promise<ConfigSource | undefined> {
  return config === undefined ? configBeside(folder) : chosenConfig(config)
}

/** Opens a checkpoint; a shard that is only a stand-in is called by its name. */
async function openListing(format: Format, path: string, loader?: string): Promise<Listing> {
  if (format.open === undefined) throw inputError(`${format.title} cannot be read`, { path })
  try {
    return await format.open(path, loader)
  } catch (error) {
    if (error instanceof OpenLlamaError && error.path !== undefined && (await isFile(error.path)))
      await refuseOthers(error.path)
    throw error
  }
}

/** Where a source is, and in which format. */
export interface Location {
  format: Format
  path: string
  loader?: string
}

/** Finds out what a source is, by its name and its first bytes. */
export async function locate(source: string): Promise<Location> {
  const match = /^([a-z_]+)::(.*)$/s.exec(source)
  if (match) {
    const [, loader = '', path = ''] = match
    const format = formatOfLoader(loader)
    if (format === undefined) {
      throw usageError(`"${loader}::" is no load type of EasyLM's`, {
        suggestions: [`There are ${loaders.map((name) => `${name}::`).join(', ')}.`],
      })
    }
    await refuseOthers(path)
    return { format, path, loader }
  }
  if (await isFolder(source)) return locateInDirectory(source)
  return { format: await formatOfFile(source), path: source }
}

async function locateInDirectory(folder: string): Promise<Location> {
  const all = (await listFolder(folder)).sort()
  const entries = all.filter((name) => !isBesideWeights(name) && !isAdapterFile(name))
  for (const format of formats) {
    const entry = format.detectDirectory?.(entries)
    if (entry !== undefined) {
      const path = join(folder, entry)
      if (!entry.endsWith('.json') && !(await isFolder(path))) await refuseOthers(path)
      return { format, path }
    }
  }
  const found: Location[] = []
  const others: string[] = []
  for (const entry of entries) {
    const path = join(folder, entry)
    if (!(await isFile(path))) continue
    const head = await headOf(path)
    const format = formats.find(({ detect }) => detect?.(head, entry))
    if (format !== undefined) found.push({ format, path })
    else if (head.length > 0) others.push(path)
  }
  const [only] = found
  if (only === undefined) {
    for (const path of others) await refuseOthers(path)
    if (hasAdapter(all)) throw await adapterAlone(folder)
    throw await noCheckpoint(
      folder,
      all,
      formats.map(({ title }) => title),
    )
  }
  if (found.length > 1) {
    throw inputError(
      `${found.length} checkpoints are in this directory: ${list(found.map(({ path }) => basename(path)))}`,
      { path: folder, suggestions: ['Name one of them.'] },
    )
  }
  return only
}

async function formatOfFile(path: string): Promise<Format> {
  return formatOf(path, await refuseOthers(path))
}

/**
 * Calls what is no checkpoint by its name.
 * @returns the first bytes of the file
 * @throws input error for stand-ins, and for models in formats that are not read
 */
async function refuseOthers(path: string): Promise<Uint8Array> {
  const source = await openFile(path)
  try {
    const head = await readStart(source, 512)
    refuseStandIns(path, head)
    refuseOtherBytes(path, head, source.size)
    return head
  } finally {
    await source.close()
  }
}

function formatOf(path: string, head: Uint8Array): Format {
  if (path.endsWith('.index.json')) {
    const format = formats.find(
      (each) => each.detectDirectory?.([basename(path)]) === basename(path),
    )
    if (format !== undefined) return format
  }
  const format = formats.find(({ detect }) => detect?.(head, basename(path)))
  if (format === undefined) {
    refuseOtherName(path)
    throw inputError('it is in none of the known formats', {
      path,
      suggestions: [`Known are ${formats.map(({ title }) => title).join(', ')}.`],
    })
  }
  return format
}

async function headOf(path: string): Promise<Uint8Array> {
  const source = await openFile(path)
  try {
    return await readStart(source, 512)
  } finally {
    await source.close()
  }
}

async function isFile(path: string): Promise<boolean> {
  return (await kindOf(path)) === 'file'
}

/** A config.json has some kilobytes. */
const maxConfig = 4 * 1024 * 1024

async function configBeside(folder: string): Promise<ConfigSource | undefined> {
  const path = join(folder, 'config.json')
  return (await kindOf(path)) !== undefined ? readConfig(path) : undefined
}

async function chosenConfig(choice: string): Promise<ConfigSource> {
  const preset = presets.get(choice)
  if (preset !== undefined) return { values: preset, from: `the preset ${choice}` }
  const path = await resolvePath(choice)
  if ((await kindOf(path)) !== undefined) return readConfig(path)
  throw usageError(`"${choice}" is no preset, and no file of that name is there`, {
    suggestions: [`Presets are ${[...presets.keys()].join(', ')}.`],
  })
}

async function readConfig(path: string): Promise<ConfigSource> {
  const bytes = await readSmallFile(path, maxConfig)
  const json = parseJsonObject(bytes, path)
  const values = configFromHf(json, path)
  const [architecture] = Array.isArray(json.architectures) ? json.architectures : []
  return {
    values,
    from: path,
    document: { path, json: parseExactJson(new TextDecoder().decode(bytes)) },
    ...(typeof architecture === 'string' ? { architecture } : {}),
  }
}
