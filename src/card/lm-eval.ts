import { basename } from 'node:path'
import { inputError } from '../io/errors.js'
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { oneLine } from './markdown.js'
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
  const json = parseJsonObject(bytes, path)
  const { results } = json
  if (!isJsonObject(results)) {
    throw inputError('it has no "results", which lm-evaluation-harness writes', {
      path,
      suggestions: ['Give the file that --output_path of lm_eval made: results_*.json.'],
    })
  }
  const config = isJsonObject(json.config) ? json.config : {}
  const scores = Object.entries(results).flatMap(([task, metrics]) => {
    if (!isJsonObject(metrics)) throw inputError(`results.${oneLine(task)} is no object`, { path })
    return scoresOf(task, metrics, json, config, path)
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
  }
}

function scoresOf(
  task: string,
  metrics: JsonObject,
  json: JsonObject,
  config: JsonObject,
  path: string,
): Score[] {
  const configs = member(json.configs, task)
  const shots = shotsOf(task, json, config, path)
  const version = member(json.versions, task)
  const dataset = datasetOf(configs)
  const groups = isJsonObject(json.groups) ? json.groups : {}
  return Object.entries(metrics).flatMap(([key, value]) => {
    // Since 0.4 a key is "metric,filter".
    const [metric = '', filter] = key.split(',')
    if (/_stderr$/.test(metric) || metric === 'alias' || metric.trim() === '') return []
    if (value === null || typeof value === 'string') return []
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw inputError(`results.${oneLine(task)}.${oneLine(key)} is no number`, { path })
    }
    const error = metrics[filter === undefined ? `${metric}_stderr` : `${metric}_stderr,${filter}`]
    if (error !== undefined && error !== null && error !== 'N/A' && !isSize(error)) {
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
        dataset,
      },
    ]
  })
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
