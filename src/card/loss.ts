import { inputError } from '../io/errors.js'
import { isJsonObject, type Json, parseJson } from '../io/json.js'
import { readSmallFile } from '../io/source.js'
import { oneLine } from './markdown.js'

/** The loss of a training run. */
export interface LossCurve {
  /** What is counted: step, tokens … */
  unit: string
  /** The name of the loss in the file. */
  name: string
  /** In the order of what is counted. */
  points: { at: number; loss: number }[]
}

const maxFile = 256 * 1024 * 1024
const maxLines = 5_000_000

/** Columns and keys that count the training, the best first. */
const counters = ['step', 'steps', 'global_step', 'iteration', 'iter', '_step', 'tokens', 'epoch']
const losses = ['loss', 'train_loss', 'train/loss', 'training_loss']

/**
 * Reads a training log: CSV with a head line, or JSON lines. Lines without a loss
 * (evaluations, learning rates) are passed over.
 * @throws input error that names the line
 */
export async function readLoss(path: string): Promise<LossCurve> {
  const bytes = await readSmallFile(path, maxFile)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw inputError('it is no text in UTF-8', { path, cause })
  }
  return parseLoss(text, path)
}

export function parseLoss(text: string, path: string): LossCurve {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  if (lines.length > maxLines) {
    throw inputError(`it has ${lines.length} lines, ${maxLines} are the most`, { path })
  }
  const records = /^\s*[{[]/.test(text) ? jsonLines(lines, path) : csvLines(lines, path)
  const names = new Set(records.flatMap(({ values }) => [...values.keys()]))
  const name = [...names].find((each) => losses.includes(each.toLowerCase()))
  if (name === undefined) {
    throw inputError(`it has no ${losses.map((each) => `"${each}"`).join(', ')}`, {
      path,
      suggestions: [`It has ${shownNames(names)}. Rename the column of the loss.`],
    })
  }
  const unit = counters.flatMap((each) => [...names].filter((n) => n.toLowerCase() === each))[0]
  const points = records.flatMap(({ line, values }, i) => {
    const loss = values.get(name)
    if (loss === undefined) return []
    const count = unit === undefined ? i : values.get(unit)
    if (count === undefined) {
      throw inputError(`line ${line} has a ${name} and no ${unit}`, { path })
    }
    if (!Number.isFinite(loss) || !Number.isFinite(count)) {
      throw inputError(`line ${line}: ${oneLine(name)} ${loss} at ${count} is no finite number`, {
        path,
        suggestions: ['Remove the line: a curve cannot show it.'],
      })
    }
    return [{ at: count, loss }]
  })
  if (points.length < 2) {
    throw inputError(`it has ${points.length} values of "${oneLine(name)}", a curve needs two`, {
      path,
    })
  }
  // A resumed run goes back to its last checkpoint: what was done twice counts as it went on.
  const byCount = new Map(points.map((point) => [point.at, point]))
  return {
    unit: oneLine(unit ?? 'entry', 40),
    name: oneLine(name, 40),
    points: [...byCount.values()].sort((a, b) => a.at - b.at),
  }
}

interface LogLine {
  line: number
  values: Map<string, number>
}

function jsonLines(lines: readonly string[], path: string): LogLine[] {
  return lines.flatMap((text, i) => {
    if (text.trim() === '') return []
    let value: Json
    try {
      value = parseJson(text)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw inputError(`line ${i + 1} is no JSON: ${reason}`, {
        path,
        suggestions: ['Each line is to be an object: {"step": 1, "loss": 10.2}.'],
        cause: error,
      })
    }
    if (!isJsonObject(value)) throw inputError(`line ${i + 1} is no JSON object`, { path })
    const numbers = Object.entries(value).flatMap(([key, each]): [string, number][] =>
      typeof each === 'number' ? [[key, each]] : [],
    )
    return [{ line: i + 1, values: new Map(numbers) }]
  })
}

function csvLines(lines: readonly string[], path: string): LogLine[] {
  const [first = '', ...rest] = lines
  const head = cells(first)
  if (head.length < 1 || head.every((cell) => cell === '' || Number.isFinite(Number(cell)))) {
    throw inputError('its first line has no names of columns', {
      path,
      suggestions: ['Give CSV that begins with a line such as "step,loss", or JSON lines.'],
    })
  }
  return rest.flatMap((text, i) => {
    if (text.trim() === '') return []
    const row = cells(text)
    if (row.length !== head.length) {
      throw inputError(`line ${i + 2} has ${row.length} columns, the first has ${head.length}`, {
        path,
      })
    }
    const numbers = row.flatMap((cell, column): [string, number][] => {
      if (cell === '') return []
      const name = head[column] ?? ''
      const isWanted = [...losses, ...counters].includes(name.toLowerCase())
      const value = Number(cell)
      if (!Number.isNaN(value)) return [[name, value]]
      if (!isWanted) return []
      if (/^[-+]?(?:nan|inf(?:inity)?)$/i.test(cell)) return [[name, Number.NaN]]
      throw inputError(`line ${i + 2}: ${oneLine(name)} is "${oneLine(cell, 40)}"`, { path })
    })
    return [{ line: i + 2, values: new Map(numbers) }]
  })
}

/** The cells of a line; logs have numbers, so quotes around them are all that is needed of CSV. */
function cells(line: string): string[] {
  return line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
}

function shownNames(names: ReadonlySet<string>): string {
  const shown = [...names].slice(0, 8).map((name) => `"${oneLine(name, 40)}"`)
  return shown.length === 0 ? 'no numbers' : shown.join(', ')
}
