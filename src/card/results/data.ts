import type { Json, JsonObject } from '../../io/json.js'
import { isJsonObject } from '../../io/json.js'
import { oneLine } from '../markdown.js'
import { figure } from '../sections/results.js'
import { toYaml } from '../yaml.js'
import { benchmarkTask, datasetOfTask, titleOfTask } from './eval-datasets.js'
import type { EvalRun, Score } from './lm-eval.js'
import type { Comparison } from './results.js'
import { describeTested } from './tested-model.js'

const harnessUrl = 'https://github.com/EleutherAI/lm-evaluation-harness'

/** By this our results are known again in a model-index that has others too. */
const sourcePrefix = 'lm-evaluation-harness'

/**
 * The results of the card's own model as the Hub's `model-index`, whose fields are specified in
 * modelcard.md of huggingface/hub-docs. `num_few_shot` is where the Open LLM Leaderboard put it.
 * @param name of the model
 * @param there the card's present model-index, whose other results stay
 */
export function modelIndex(
  { models }: Comparison,
  name: string,
  there: Json | undefined,
): JsonObject[] {
  const [own] = models
  const results = (own?.runs ?? []).flatMap((run) =>
    byTask(run).map((scores) => taskResult(scores, run)),
  )
  const others = entriesOf(there)
  const same = others.find((entry) => entry.name === name)
  const kept = (Array.isArray(same?.results) ? same.results : []).filter((each) => !isOurs(each))
  const rest = others.filter((entry) => entry !== same).flatMap(withoutOurs)
  return [{ ...same, name: oneLine(name), results: [...kept, ...results] }, ...rest]
}

function entriesOf(json: Json | undefined): JsonObject[] {
  return Array.isArray(json) ? json.filter(isJsonObject) : []
}

/** A renamed model's entry goes with its results, if they were all ours. */
function withoutOurs(entry: JsonObject): JsonObject[] {
  if (!Array.isArray(entry.results)) return [entry]
  const results = entry.results.filter((each) => !isOurs(each))
  return results.length === 0 ? [] : [{ ...entry, results }]
}

function isOurs(result: Json): boolean {
  if (!isJsonObject(result) || !isJsonObject(result.source)) return false
  const { url, name } = result.source
  return url === harnessUrl && typeof name === 'string' && name.startsWith(sourcePrefix)
}

function taskResult(scores: readonly Score[], run: EvalRun): JsonObject {
  const [first] = scores
  const task = first?.task ?? ''
  const dataset = first && datasetOfTask(first)
  return {
    task: { type: 'text-generation', name: 'Text Generation' },
    dataset: {
      type: dataset?.id ?? task,
      name: titleOfTask(task),
      ...(dataset?.config === undefined ? {} : { config: dataset.config }),
      ...(dataset?.split === undefined ? {} : { split: dataset.split }),
      args: {
        task,
        ...(first?.version === undefined ? {} : { version: first.version }),
        ...(first?.shots === undefined ? {} : { num_few_shot: first.shots }),
      },
    },
    metrics: scores.map(({ metric, filter, value, stderr }) => ({
      type: metric,
      name: filter === undefined ? metric : `${metric} (${filter})`,
      value,
      ...(stderr === undefined ? {} : { args: { stderr } }),
    })),
    source: { name: oneLine(`${run.harness}: ${describeTested(run.model)}`), url: harnessUrl },
  }
}

/** A file in `.eval_results`, in the form of eval_results.yaml in huggingface/hub-docs. */
export interface EvalResultsFile {
  name: string
  text: string
}

/** The first line of our files; one without it is somebody's own and is not written over. */
export const evalResultsHead =
  '# Written by openllama card from results of lm-evaluation-harness.\n'

/**
 * The results of the card's own model as `.eval_results/*.yaml`: one value a task,
 * a file for each number of examples. Only tasks whose data are on the Hub can be in them.
 */
export function evalResultsFiles({ models }: Comparison): EvalResultsFile[] {
  const [own] = models
  const entries = (own?.runs ?? []).flatMap((run) =>
    byTask(run)
      .flatMap((scores) => chief(scores))
      .flatMap((score) => entryOf(score, run)),
  )
  return [...grouped(entries, ({ shots }) => shots)].map(([shots, group]) => ({
    name: `lm-evaluation-harness${shots === undefined ? '' : `-${shots}-shot`}.yaml`,
    text: evalResultsHead + toYaml(distinct(group).map(({ entry }) => entry)),
  }))
}

/** The metric that leaderboards show of a task; none where nothing says which it is. */
function chief(scores: readonly Score[]): Score[] {
  const own = chiefMetrics.get(scores[0]?.task ?? '')
  for (const metric of own ?? ['acc_norm', 'acc', 'mc2', 'exact_match', 'em', 'f1']) {
    const found = scores.find((score) => score.metric === metric)
    if (found !== undefined) return [found]
  }
  return scores.filter(({ isOnly }) => isOnly).slice(0, 1)
}

/** Of tasks whose chief metric is none of the usual ones: what the task's own paper reports. */
const chiefMetrics: ReadonlyMap<string, readonly string[]> = new Map([
  ['wikitext', ['word_perplexity']],
  ['ifeval', ['prompt_level_strict_acc']],
  ['leaderboard_ifeval', ['prompt_level_strict_acc']],
  ['humaneval', ['pass@1']],
  ['humaneval_instruct', ['pass@1']],
  ['mbpp', ['pass_at_1', 'pass@1']],
  ['mbpp_instruct', ['pass_at_1', 'pass@1']],
  ['drop', ['f1']],
  ['squadv2', ['f1', 'best_f1']],
  ['lambada_openai', ['acc']],
  ['lambada_standard', ['acc']],
])

interface Entry {
  shots: number | undefined
  id: string
  entry: JsonObject
}

function entryOf(score: Score, run: EvalRun): Entry[] {
  const dataset = datasetOfTask(score)
  if (dataset === undefined) return []
  const { task, metric, filter, value, stderr, shots } = score
  const facts = [
    `${task} ${metric}${filter === undefined ? '' : ` (${filter})`}`,
    stderr === undefined ? undefined : `standard error ${figure(stderr)}`,
    shots === undefined ? undefined : `${shots}-shot`,
    run.harness,
    describeTested(run.model),
    run.limit === undefined ? undefined : `at most ${run.limit} examples`,
  ]
  const taskId = benchmarkTask(dataset, task)
  return [
    {
      shots,
      id: JSON.stringify([dataset.id, taskId]),
      entry: {
        dataset: { id: dataset.id, task_id: taskId },
        value,
        ...(run.date === undefined ? {} : { date: run.date }),
        source: { url: harnessUrl, name: 'lm-evaluation-harness' },
        notes: oneLine(facts.filter((part) => part !== undefined).join('; '), 500),
      },
    },
  ]
}

/** The Hub takes one value for a task of a dataset. */
function distinct(entries: readonly Entry[]): Entry[] {
  return entries.filter((entry, i) => entries.findIndex(({ id }) => id === entry.id) === i)
}

function byTask({ scores }: EvalRun): Score[][] {
  return [...grouped(scores, ({ task, shots }) => JSON.stringify([task, shots])).values()]
}

function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}
