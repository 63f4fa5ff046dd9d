import { basename } from 'node:path'
import { inputError } from '../../io/errors.js'
import { isJsonObject, type Json, type JsonObject, parsePythonObject } from '../../io/json.js'
import { readSmallFile } from '../../io/source.js'
import { oneLine } from '../markdown.js'
import { modelArguments, type TestedModel } from './tested-model.js'

/** A run of lm-evaluation-harness on one model. */
export interface EvalRun {
  /** The file it was read from, as the user named it. */
  path: string
  /** The harness, with what the file says of its version. */
  harness: string
  /** Of transformers, where the file says it. */
  transformers: string | undefined
  /** The day of the run, where the file says it. */
  date: string | undefined
  model: TestedModel
  /** Examples that were evaluated of each task at most; the figures are of no full run. */
  limit: string | undefined
  scores: Score[]
  /** What is in the file and not in `scores`, in sentences. */
  notes: string[]
}

/** One metric of one task. */
export interface Score {
  task: string
  /** The task's version in the harness. */
  version: string | undefined
  metric: string
  /** How the answer was taken out of the text, where there are several ways. */
  filter: string | undefined
  value: number
  stderr: number | undefined
  shots: number | undefined
  /** Whether more is better, where the file or the metric's name says it. */
  higherIsBetter: boolean | undefined
  /** The mean of other tasks. */
  isGroup: boolean
  /** The task's configuration names no other metric. */
  isOnly: boolean
  /** The data as the harness loaded them, where the file says it. */
  dataset: { path: string; name: string | undefined; split: string | undefined } | undefined
}

/** Results have some hundred kilobytes; those with every sample in them are other files. */
const maxResults = 64 * 1024 * 1024
/** The whole harness has some ten thousand tasks. */
const maxScores = 20_000

/**
 * Reads the results of lm-evaluation-harness, of before version 0.4 or since.
 * @throws input error for what is none, with the key at fault
 */
export async function readEvalRun(path: string): Promise<EvalRun> {
  return parseEvalRun(await readSmallFile(path, maxResults), path)
}

export function parseEvalRun(bytes: Uint8Array, path: string): EvalRun {
  const json = parsePythonObject(bytes, path)
  const { results } = json
  if (!isJsonObject(results)) {
    throw inputError('it has no "results", which lm-evaluation-harness writes', {
      path,
      suggestions: ['Give the file that --output_path of lm_eval made: results_*.json.'],
    })
  }
  const config = isJsonObject(json.config) ? json.config : {}
  const tasks = Object.entries(results).map(([task, metrics]): [string, JsonObject] => {
    if (!isJsonObject(metrics)) throw inputError(`results.${oneLine(task)} is no object`, { path })
    return [task, metrics]
  })
  // Since 0.4 a metric is "metric,filter"; what has no comma says something else of the task.
  const withFilters = tasks.some(([, metrics]) => Object.keys(metrics).some(hasFilter))
  const leftOut: string[] = []
  const scores = tasks.flatMap(([task, metrics]) => {
    const keys = Object.keys(metrics).filter(withFilters ? hasFilter : isOldMetric)
    return scoresOf(task, metrics, keys, { json, config, path, leftOut })
  })
  if (scores.length === 0) throw inputError('there is no figure in its "results"', { path })
  if (scores.length > maxScores) {
    throw inputError(`${scores.length} figures are in it, ${maxScores} are the most`, { path })
  }
  const commit = text(json.git_hash)
  const version = text(json.lm_eval_version)
  const isNew = commit !== undefined || version !== undefined || isJsonObject(json.configs)
  const told = [version, commit === undefined ? undefined : `commit ${commit}`]
  const harness = told.filter((part) => part !== undefined).join(', ')
  return {
    path,
    harness: `lm-evaluation-harness ${harness || (isNew ? '0.4 or later' : 'before 0.4')}`,
    transformers: text(json.transformers_version),
    date: dayOf(json.date),
    model: modelArguments(config, json, basename(path)),
    limit: config.limit === undefined || config.limit === null ? undefined : shown(config.limit),
    scores,
    notes: leftOutNotes(leftOut, path),
  }
}

function leftOutNotes(figures: readonly string[], path: string): string[] {
  if (figures.length === 0) return []
  const more = figures.length > 5 ? ` and ${figures.length - 5} more` : ''
  return [
    `${basename(path)}: figures that are no finite numbers are left out: ${figures.slice(0, 5).join(', ')}${more}`,
  ]
}

function hasFilter(key: string): boolean {
  return /^[^,]+,/.test(key)
}

/** What versions and forks write beside the metrics: names and counts. */
const noMetrics = ['alias', 'name', 'task', 'samples', 'sample_len', 'sample_count', 'num_samples']

function isOldMetric(key: string): boolean {
  return key.trim() !== '' && !noMetrics.includes(key)
}

/** What all tasks of a file have in common. */
interface FileParts {
  json: JsonObject
  config: JsonObject
  path: string
  /** Gets the names of figures that are none. */
  leftOut: string[]
}

function scoresOf(
  task: string,
  metrics: JsonObject,
  keys: readonly string[],
  { json, config, path, leftOut }: FileParts,
): Score[] {
  const configs = member(json.configs, task)
  const shots = shotsOf(task, json, config, path)
  const version = member(json.versions, task)
  const dataset = datasetOf(configs)
  const groups = isJsonObject(json.groups) ? json.groups : {}
  const listed = member(configs, 'metric_list')
  return keys.flatMap((key) => {
    const comma = key.indexOf(',')
    const metric = comma === -1 ? key : key.slice(0, comma)
    const filter = comma === -1 ? undefined : key.slice(comma + 1)
    if (/_stderr$/.test(metric)) return []
    const value = metrics[key]
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      // Lists of samples and the like were never metrics; a metric without a figure is said.
      const isMetric = filter !== undefined || typeof value === 'number' || isNonFinite(value)
      const isBlank = value === null || (typeof value === 'string' && !isNonFinite(value))
      if (isMetric && !isBlank && value !== undefined) {
        leftOut.push(`${oneLine(task, 60)} ${oneLine(metric, 60)} (${oneLine(shown(value), 20)})`)
      }
      return []
    }
    const error = metrics[filter === undefined ? `${metric}_stderr` : `${metric}_stderr,${filter}`]
    if (typeof error === 'number' && error < 0) {
      throw inputError(
        `the standard error of results.${oneLine(task)}.${oneLine(key)} is ${shown(error)}`,
        { path },
      )
    }
    const better = member(member(json.higher_is_better, task), metric)
    return [
      {
        task: oneLine(task),
        version: version === undefined || version === null ? undefined : shown(version),
        metric: oneLine(metric),
        filter: filter === undefined || filter === 'none' ? undefined : oneLine(filter),
        value,
        stderr: isSize(error) ? error : undefined,
        shots,
        higherIsBetter: typeof better === 'boolean' ? better : byName(metric),
        isGroup: Object.hasOwn(groups, task),
        isOnly:
          Array.isArray(listed) && listed.length === 1 && member(listed[0], 'metric') === metric,
        dataset,
      },
    ]
  })
}

/** As Python writes what JSON has no numbers for. */
function isNonFinite(value: Json | undefined): boolean {
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity'
}

/** Examples before the question: of the task since 0.4, of the whole run before. */
function shotsOf(
  task: string,
  json: JsonObject,
  config: JsonObject,
  path: string,
): number | undefined {
  const shots =
    member(json['n-shot'], task) ??
    member(member(json.configs, task), 'num_fewshot') ??
    config.num_fewshot
  if (shots === undefined || shots === null || shots === 'None') return undefined
  if (isSize(shots) && Number.isInteger(shots)) return shots
  // Of tasks whose parts differ: several numbers are no number.
  if (Array.isArray(shots)) return undefined
  throw inputError(`the number of examples of ${oneLine(task)} is ${shown(shots)}`, { path })
}

function datasetOf(config: Json | undefined): Score['dataset'] {
  const path = text(member(config, 'dataset_path'))
  if (path === undefined) return undefined
  const split = text(member(config, 'test_split')) ?? text(member(config, 'validation_split'))
  return { path, name: text(member(config, 'dataset_name')), split }
}

function byName(metric: string): boolean | undefined {
  if (/ppl|perplexity|bits_per_byte|^bpb$|loss|^wer$|^ter$|brier/i.test(metric)) return false
  if (/^(?:acc|exact_match|em$|f1|mc\d|bleu|rouge|chrf|mcc|pass)/i.test(metric)) return true
  return undefined
}

/** Seconds since 1970, as the harness writes them: the day, in UTC. */
function dayOf(date: Json | undefined): string | undefined {
  if (typeof date !== 'number' || !(date > 0 && date < 1e11)) return undefined
  return new Date(date * 1000).toISOString().slice(0, 10)
}

function member(json: Json | undefined, key: string): Json | undefined {
  return isJsonObject(json) && Object.hasOwn(json, key) ? json[key] : undefined
}

function text(json: Json | undefined): string | undefined {
  return typeof json === 'string' && json.trim() !== '' ? oneLine(json) : undefined
}

function isSize(json: Json | undefined): json is number {
  return typeof json === 'number' && Number.isFinite(json) && json >= 0
}

function shown(json: Json): string {
  return oneLine(typeof json === 'string' ? json : JSON.stringify(json))
}
