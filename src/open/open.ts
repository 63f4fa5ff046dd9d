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
import { genaiDisagreements } from '../formats/onnx/genai-facts.js'
import { inputError, OpenLlamaError, usageError } from '../io/errors.js'
import { parseExactJson } from '../io/exact-json.js'
import type { FileCache } from '../io/file-cache.js'
import { parseJsonObject } from '../io/json.js'
import { join, kindOf, listFolder, resolvePath, storeOf } from '../io/store.js'
import { findTokenizer } from './find-tokenizer.js'
import { hasAdapter } from './other-folders.js'
import { findSource, folderOf, isFile, refuseOthers, type Source } from './source.js'

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
  return agreeing(await readCheckpoint(source, options))
}

/** @throws input error where its own graph computes otherwise than the configuration says */
export function agreeing(checkpoint: Checkpoint): Checkpoint {
  const { disagreements = [], format, path } = checkpoint
  if (disagreements.length === 0) return checkpoint
  throw inputError(`its configuration is not its own: ${list(disagreements, 4)}`, {
    format,
    path,
    suggestions: ['Give the configuration that it was exported with: `config`.'],
  })
}

/** The same; that its graph and the configuration disagree is kept as a finding. */
async function readCheckpoint(source: string, options: OpenOptions = {}): Promise<Checkpoint> {
  return readSource(await findSource(source), options)
}

/** @param list reads its headers, where they are not read already */
export async function readSource(
  source: Source,
  options: OpenOptions,
  list = () => openListing(source),
): Promise<Checkpoint> {
  const { path, folder, cache } = source
  const given = await givenConfig(source, options)
  const listing = await calledByName(() => cache.within(list))
  const tokenizer = await findTokenizer(folder, options.tokenizer, cache)
  const files = await Promise.all(listing.files.map(withHash))
  const origin = (await storeOf(path))?.origin(path)
  const adapters = await adapterNotes(path)
  const checkpoint = resolveCheckpoint(
    { ...listing, path: source.given, files, notes: [...listing.notes, ...adapters] },
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
    cache,
    ...(disagreements.length === 0 ? {} : { disagreements }),
    ...(origin === undefined ? {} : { origin, resolved: source.resolved }),
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
  const inside = await folderOf(path)
  return [
    ...graphDisagreements(facts, config, from),
    ...(await genaiDisagreements([folder, inside], config, from)),
  ]
}

/** An adapter beside a model is part of it for who loads the folder with PEFT, and not for us. */
async function adapterNotes(path: string): Promise<string[]> {
  const folder = await folderOf(path)
  if (!hasAdapter(await listFolder(folder).catch(() => []))) return []
  return ['a LoRA adapter lies beside the weights: it is not merged into them']
}

/** What is elsewhere is not read a second time for its hash, which its place knows. */
async function withHash(file: SourceFile): Promise<SourceFile> {
  const remote = await (await storeOf(file.path))?.open(file.path)
  return remote?.sha256 === undefined ? file : { ...file, sha256: remote.sha256 }
}

/** The configuration that was chosen, or that is in the folder. */
export function givenConfig(
  { folder, cache }: Pick<Source, 'folder' | 'cache'>,
  { config }: OpenOptions,
): Promise<ConfigSource | undefined> {
  return config === undefined ? configBeside(folder, cache) : chosenConfig(config, cache)
}

async function openListing({ format, path, loader }: Source): Promise<Listing> {
  if (format.open === undefined) throw inputError(`${format.title} cannot be read`, { path })
  return format.open(path, loader)
}

/** Reads headers; a shard that is only a stand-in is called by its name. */
async function calledByName(list: () => Promise<Listing>): Promise<Listing> {
  try {
    return await list()
  } catch (error) {
    if (error instanceof OpenLlamaError && error.path !== undefined && (await isFile(error.path)))
      await refuseOthers(error.path)
    throw error
  }
}

/** A config.json has some kilobytes. */
const maxConfig = 4 * 1024 * 1024

async function configBeside(folder: string, cache: FileCache): Promise<ConfigSource | undefined> {
  const path = join(folder, 'config.json')
  return (await kindOf(path)) !== undefined ? readConfig(path, cache) : undefined
}

async function chosenConfig(choice: string, cache: FileCache): Promise<ConfigSource> {
  const preset = presets.get(choice)
  if (preset !== undefined) return { values: preset, from: `the preset ${choice}` }
  const path = await resolvePath(choice)
  if ((await kindOf(path)) !== undefined) return readConfig(path, cache)
  throw usageError(`"${choice}" is no preset, and no file of that name is there`, {
    suggestions: [`Presets are ${[...presets.keys()].join(', ')}.`],
  })
}

async function readConfig(path: string, cache: FileCache): Promise<ConfigSource> {
  const bytes = await cache.read(path, maxConfig)
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
