import { inputError } from '../../io/errors.js'
import { releaseOfName } from '../releases.js'
import type { EvalRun, Score } from './lm-eval.js'
import { describeTested, type TestedModel, testedIdentity } from './tested-model.js'

/** Runs, by the model that each tested. */
export interface Comparison {
  /** The card's own model first. */
  models: TestedRuns[]
  rows: ResultRow[]
  warnings: string[]
}

export interface TestedRuns {
  model: TestedModel
  runs: EvalRun[]
  /** Told apart from the others in a table. */
  label: string
}

/** One metric of one task, for all models. */
export interface ResultRow {
  task: string
  metric: string
  filter: string | undefined
  shots: number | undefined
  version: string | undefined
  higherIsBetter: boolean | undefined
  isGroup: boolean
  /** In the order of `models`. */
  scores: (Score | undefined)[]
}

/**
 * Puts runs side by side. Figures are compared only where task, version of the
 * task, metric and number of examples are the same.
 * @param own names of the card's model; without one of them the first run's model is it
 * @throws input error where two files have different figures for the same
 */
export function compareRuns(runs: readonly EvalRun[], own: readonly string[]): Comparison {
  const models = new Map<string, { model: TestedModel; runs: EvalRun[] }>()
  for (const run of runs) {
    const key = testedIdentity(run.model)
    const known = models.get(key)
    if (known === undefined) models.set(key, { model: run.model, runs: [run] })
    else known.runs.push(run)
  }
  const all = [...models.values()]
  const ownIndex = all.findIndex(({ model }) => own.some((name) => isSameModel(model.name, name)))
  const ordered = ownIndex > 0 ? [...all.splice(ownIndex, 1), ...all] : all
  const [first] = ordered
  const warnings =
    ownIndex === -1 && first !== undefined && own.length > 0
      ? [
          `the results are of ${first.model.name}, which is not this model's name: they are taken for its results`,
        ]
      : []
  warnings.push(...runs.flatMap(({ notes }) => notes))
  for (const { model } of ordered) {
    if (releaseOfName(model.name) !== undefined && model.tokenizerKind !== 'slow') {
      warnings.push(
        `the results of ${model.name} do not say use_fast=False: with the tokenizer that transformers makes by itself its figures are too low`,
      )
    }
  }
  return { models: label(ordered), rows: rowsOf(ordered), warnings }
}

function isSameModel(tested: string, name: string): boolean {
  const last = (text: string) => text.split('/').at(-1)?.toLowerCase()
  return last(tested) === last(name)
}

/** Names, and what tells them apart where two have the same. */
function label(models: readonly { model: TestedModel; runs: EvalRun[] }[]): TestedRuns[] {
  const names = models.map(({ model }) => model.name.split('/').at(-1) ?? model.name)
  return models.map(({ model, runs }, i) => {
    const name = names[i] ?? model.name
    const isAlone = names.filter((each) => each === name).length === 1
    return { model, runs, label: isAlone ? name : describeTested(model) }
  })
}

function rowsOf(models: readonly { runs: EvalRun[] }[]): ResultRow[] {
  const rows = new Map<string, ResultRow & { from: (string | undefined)[] }>()
  models.forEach(({ runs }, i) => {
    for (const run of runs) {
      for (const score of run.scores) {
        const { task, metric, filter, shots, version, higherIsBetter, isGroup } = score
        const key = JSON.stringify([task, metric, filter, shots, version])
        const row = rows.get(key) ?? {
          ...{ task, metric, filter, shots, version, higherIsBetter, isGroup },
          scores: models.map(() => undefined),
          from: models.map(() => undefined),
        }
        rows.set(key, row)
        const there = row.scores[i]
        if (there !== undefined && there.value !== score.value) {
          throw inputError(
            `${task} ${metric} is ${score.value}, ${row.from[i]} says ${there.value} for the same model`,
            { path: run.path, suggestions: ['Give one of the two files.'] },
          )
        }
        row.scores[i] = score
        row.from[i] = run.path
      }
    }
  })
  return [...rows.values()].map(({ from: _, ...row }) => row)
}
