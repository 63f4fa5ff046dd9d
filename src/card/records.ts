import { join } from 'node:path'
import { isJsonObject, type Json, type JsonObject } from '../io/json.js'
import { statThere } from '../io/there.js'
import { readRecord, recordBeside, recordName } from '../record/record.js'

/** What a card says out of an openllama.json (src/convert/provenance.ts). */
export interface CardRecord {
  /** The record's own file. */
  path: string
  tool: string
  source: RecordedFiles
  target: RecordedFiles
  /** Those that were not left at their defaults, as `name=value`. */
  options: string[]
  keepsTokenizer: boolean
  mergesSpaces: boolean | undefined
  casts: { from: string; to: string; tensors: number }[]
  parameters: number | undefined
  quantization?: { bits_per_weight: number; fallbacks: Fallback[] }
  notes: string[]
  /** Tensors with values that are not finite, overflowed or vanished, and the counts. */
  values: { tensor: string; counts: string }[]
  check?: RecordedCheck
}

interface RecordedFiles {
  format: string
  /** Where they are from the Hub: the repository and its commit. */
  repository: string | undefined
  commit: string | undefined
  files: RecordedFile[]
}

export interface RecordedFile {
  name: string
  bytes: number
  /** Empty where it was not recorded. */
  sha256: string
}

export interface Fallback {
  tensor: string
  wanted: string
  got: string
  reason: string
}

/** The figures that a check left (src/record/check.ts). */
export interface RecordedCheck {
  verdict: string
  engine: string
  device: string
  prompt: string
  continuation: string
  faults: string[]
  against?: { name: string; format: string; dtype: string; engine: string }
  positions: number
  metrics: RecordedMetric[]
  /** As the engine computes them that rounds activations; empty where there is one comparison. */
  rounded: RecordedMetric[]
  greedy?: { common: number; of: number }
  departure: string | undefined
  notes: string[]
}

export interface RecordedMetric {
  name: string
  value: number
  limit: number | undefined
  passed: boolean
}

/** The record that lists one of these files of a folder, as far as there is one. */
export async function ownRecord(
  folder: string,
  names: readonly string[],
): Promise<CardRecord | undefined> {
  for (const name of [...names.map(recordBeside), recordName]) {
    const path = join(folder, name)
    if (!(await statThere(path))?.isFile()) continue
    const record = cardRecord(await readRecord(path), path)
    if (record.target.files.some((file) => names.includes(file.name))) return record
  }
  return undefined
}

function cardRecord(json: JsonObject, path: string): CardRecord {
  const tool = object(json.tool)
  const options = object(json.options)
  const tokenizer = object(json.tokenizer)
  const quantization = object(json.quantization)
  const bits = numberOf(quantization.bits_per_weight)
  return {
    path,
    tool: [text(tool.name), text(tool.version)].filter((part) => part !== '').join(' '),
    source: filesOf(json.source),
    target: filesOf(json.target),
    options: Object.entries(options).flatMap(([name, value]) => {
      const isDefault = value === null || value === false || isEmptyList(value)
      return isDefault
        ? []
        : [`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`]
    }),
    keepsTokenizer: options.keep_tokenizer === true,
    mergesSpaces:
      typeof tokenizer.remove_extra_whitespaces === 'boolean'
        ? tokenizer.remove_extra_whitespaces
        : undefined,
    casts: objects(json.casts).map(({ from, to, tensors }) => ({
      from: text(from),
      to: text(to),
      tensors: numberOf(tensors) ?? 0,
    })),
    parameters: numberOf(json.parameters),
    ...(bits === undefined
      ? {}
      : {
          quantization: {
            bits_per_weight: bits,
            fallbacks: objects(quantization.fallbacks).map(({ tensor, wanted, got, reason }) => ({
              tensor: text(tensor),
              wanted: text(wanted),
              got: text(got),
              reason: text(reason),
            })),
          },
        }),
    notes: texts(json.notes),
    values: Object.entries(object(json.values)).map(([tensor, counts]) => ({
      tensor,
      counts: Object.entries(object(counts))
        .flatMap(([kind, count]) => (count === 0 ? [] : [`${JSON.stringify(count)} ${kind}`]))
        .join(', '),
    })),
    ...(isJsonObject(json.check) ? { check: readCheck(json.check) } : {}),
  }
}

function readCheck(json: JsonObject): RecordedCheck {
  const smoke = object(json.smoke)
  const parity = isJsonObject(json.parity) ? json.parity : undefined
  const against = object(parity?.against)
  const greedy = object(parity?.greedy)
  const departure = object(parity?.departure)
  return {
    verdict: text(json.verdict),
    engine: text(json.engine),
    device: text(json.device),
    prompt: text(smoke.prompt),
    continuation: text(smoke.continuation),
    faults: [...texts(smoke.faults), ...texts(parity?.faults)],
    ...(parity
      ? {
          against: {
            name: text(against.name),
            format: text(against.format),
            dtype: text(against.dtype),
            engine: text(against.engine),
          },
          greedy: { common: numberOf(greedy.common) ?? 0, of: numberOf(greedy.of) ?? 0 },
        }
      : {}),
    positions: numberOf(parity?.positions) ?? 0,
    metrics: metricsOf(parity?.metrics),
    rounded: metricsOf(parity?.rounded),
    departure: text(departure.detail) || undefined,
    notes: texts(json.notes),
  }
}

function metricsOf(json: Json | undefined): RecordedMetric[] {
  return objects(json).flatMap(({ name, value, limit, passed }) => {
    const figure = numberOf(value)
    if (figure === undefined) return []
    return [{ name: text(name), value: figure, limit: numberOf(limit), passed: passed === true }]
  })
}

function filesOf(json: Json | undefined): RecordedFiles {
  const { format, files, repository, commit } = object(json)
  return {
    format: text(format),
    repository: text(repository) || undefined,
    commit: text(commit) || undefined,
    files: objects(files).map(({ name, bytes, sha256 }) => ({
      name: text(name),
      bytes: numberOf(bytes) ?? 0,
      sha256: text(sha256),
    })),
  }
}

function isEmptyList(value: Json): boolean {
  return Array.isArray(value) && value.length === 0
}

function object(json: Json | undefined): JsonObject {
  return isJsonObject(json) ? json : {}
}

function objects(json: Json | undefined): JsonObject[] {
  return Array.isArray(json) ? json.filter(isJsonObject) : []
}

function text(json: Json | undefined): string {
  return typeof json === 'string' ? json : ''
}

function texts(json: Json | undefined): string[] {
  return Array.isArray(json) ? json.filter((each) => typeof each === 'string') : []
}

function numberOf(json: Json | undefined): number | undefined {
  return typeof json === 'number' && Number.isFinite(json) ? json : undefined
}
