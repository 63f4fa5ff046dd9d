import { setImmediate } from 'node:timers/promises'
import type { TokenizerEngine } from './engine.js'

/** What two engines made of one text, where they differ. */
export interface Example {
  readonly text: string
  readonly kind: 'encode' | 'decode'
  /** Whether a known limit of an engine explains it. */
  readonly explained: boolean
  /** By engine name, in the order of the pair. */
  readonly sides: readonly [Side, Side]
}

interface Side {
  readonly engine: string
  readonly ids: readonly number[]
  readonly decoded: string
}

export interface PairReport {
  readonly engines: readonly [string, string]
  /** Texts whose ids differ. */
  encodeMismatches: number
  /** Texts whose ids (the first engine's) decode to different texts. */
  decodeMismatches: number
  /** Of both, those that a known limit of an engine explains. */
  explained: number
  /** The known limits that were met, and how often. */
  limits: { readonly limit: KnownLimit; count: number }[]
  /** The first few that nothing explains, then the first few that are explained. */
  examples: Example[]
}

interface EngineReport {
  readonly name: string
  /** Time spent in it, encoding and decoding. */
  seconds: number
  charactersPerSecond: number
}

export interface ComparisonReport {
  texts: number
  /** UTF-16 units. */
  characters: number
  readonly pairs: PairReport[]
  readonly engines: EngineReport[]
}

/** A difference between two engines that no file can mend. */
export interface KnownLimit {
  /** The engine that has it. */
  readonly engine: string
  /** What it is, and what a user can do about it. */
  readonly what: string
  readonly advice: string
  /** Whether it explains that the engine differs on this text. */
  explains(text: string): boolean
}

export interface CompareOptions {
  readonly limits?: readonly KnownLimit[]
  /** Examples kept for each pair. Default 5. */
  readonly maxExamples?: number
  /** Called about ten times a second. */
  readonly onProgress?: (texts: number, characters: number) => void
}

/**
 * Holds every engine against every other on the same texts. Each engine encodes
 * each text once, and decodes the ids that the first engine gave. Texts are taken
 * one by one and forgotten, so memory does not grow with their number.
 */
export async function compareEngines(
  engines: readonly TokenizerEngine[],
  texts: Iterable<string> | AsyncIterable<string>,
  options: CompareOptions = {},
): Promise<ComparisonReport> {
  const report: ComparisonReport = {
    texts: 0,
    characters: 0,
    pairs: pairsOf(engines),
    engines: engines.map(({ name }) => ({ name, seconds: 0, charactersPerSecond: 0 })),
  }
  const limits = options.limits ?? []
  const maxExamples = options.maxExamples ?? 5
  let drawn = performance.now()
  for await (const text of texts) {
    report.texts++
    report.characters += text.length
    const sides = run(engines, text, report.engines)
    for (const pair of report.pairs) {
      const difference = differ(pair.engines, sides)
      if (difference === undefined) continue
      const limit = limits.find((each) => pair.engines.includes(each.engine) && each.explains(text))
      if (difference.what === 'encode') pair.encodeMismatches++
      else pair.decodeMismatches++
      if (limit !== undefined) explain(pair, limit)
      const { what: kind, sides: two } = difference
      keep(pair, { text, kind, explained: limit !== undefined, sides: two }, maxExamples)
    }
    if (performance.now() - drawn > 100) {
      options.onProgress?.(report.texts, report.characters)
      // Lets signals and the spinner in.
      await setImmediate()
      drawn = performance.now()
    }
  }
  options.onProgress?.(report.texts, report.characters)
  for (const engine of report.engines) {
    engine.charactersPerSecond = engine.seconds > 0 ? report.characters / engine.seconds : 0
  }
  return report
}

/** Whether a pair differs in a way that no known limit explains. */
export function unexplained(pair: PairReport): number {
  return pair.encodeMismatches + pair.decodeMismatches - pair.explained
}

function pairsOf(engines: readonly TokenizerEngine[]): PairReport[] {
  return engines.flatMap((left, i) =>
    engines.slice(i + 1).map((right) => ({
      engines: [left.name, right.name] as const,
      encodeMismatches: 0,
      decodeMismatches: 0,
      explained: 0,
      limits: [],
      examples: [],
    })),
  )
}

function explain(pair: PairReport, limit: KnownLimit): void {
  pair.explained++
  const met = pair.limits.find((each) => each.limit === limit)
  if (met === undefined) pair.limits.push({ limit, count: 1 })
  else met.count++
}

function run(engines: readonly TokenizerEngine[], text: string, reports: EngineReport[]): Side[] {
  let reference: readonly number[] | undefined
  return engines.map((engine, i) => {
    const start = performance.now()
    const ids = engine.encode(text)
    reference ??= ids
    const decoded = engine.decode(reference)
    const report = reports[i]
    if (report !== undefined) report.seconds += (performance.now() - start) / 1000
    return { engine: engine.name, ids, decoded }
  })
}

function differ(
  names: readonly [string, string],
  sides: readonly Side[],
): { what: 'encode' | 'decode'; sides: readonly [Side, Side] } | undefined {
  const left = sides.find(({ engine }) => engine === names[0])
  const right = sides.find(({ engine }) => engine === names[1])
  if (left === undefined || right === undefined) return undefined
  if (!sameIds(left.ids, right.ids)) return { what: 'encode', sides: [left, right] }
  if (left.decoded !== right.decoded) return { what: 'decode', sides: [left, right] }
  return undefined
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i])
}

/** A text that a person can read at a glance. */
const isReadable = (text: string) => /^[ -~▁\n]*[A-Za-z]{2}[ -~▁\n]*$/.test(text)

/**
 * Keeps what nothing explains before what is known, then what can be read, then
 * the short before the long.
 */
function keep(pair: PairReport, example: Example, most: number): void {
  pair.examples.push(example)
  pair.examples.sort(
    (a, b) =>
      Number(a.explained) - Number(b.explained) ||
      Number(isReadable(b.text)) - Number(isReadable(a.text)) ||
      a.text.length - b.text.length,
  )
  pair.examples.length = Math.min(pair.examples.length, most)
}

/** Tokens shown on either side of the first difference. */
const context = 4

/**
 * An example as lines for a person: the text, then what each engine made of it,
 * around the first difference, one below the other.
 * @param pieceOf how a token is spelled
 */
export function showExample(example: Example, pieceOf: (id: number) => string): string[] {
  const [left, right] = example.sides
  const width = Math.max(left.engine.length, right.engine.length)
  if (example.kind === 'decode') {
    const ids = left.ids.join(' ')
    return [
      `ids ${shorten(ids)} are decoded differently`,
      ...example.sides.map(
        ({ engine, decoded }) => `  ${engine.padEnd(width)}  ${quote(shorten(decoded))}`,
      ),
    ]
  }
  let first = 0
  while (first < left.ids.length && left.ids[first] === right.ids[first]) first++
  const start = Math.max(0, first - context)
  const show = (ids: readonly number[]) => {
    const shown = ids.slice(start, first + context).map((id) => `${quote(pieceOf(id))} ${id}`)
    if (start > 0) shown.unshift('…')
    if (first + context < ids.length) shown.push('…')
    return shown.length === 0 ? '(nothing)' : shown.join('  ')
  }
  return [
    `text ${quote(shorten(example.text))}`,
    ...example.sides.map(({ engine, ids }) => `  ${engine.padEnd(width)}  ${show(ids)}`),
  ]
}

/** The longest text that an example shows, in UTF-16 units. */
const maxShown = 120

function shorten(text: string): string {
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text
}

/**
 * As in JSON; what cannot be seen as its code point, and spaces that cannot be
 * counted, those of a run or at an end, as the sign for a space.
 */
function quote(text: string): string {
  const shown = JSON.stringify(text).replaceAll(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Mn}]|(?! )\p{Zs}/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  )
  return shown.replaceAll(/(?<=^"| ) | (?="$| )/g, '␣')
}
