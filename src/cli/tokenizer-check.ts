import type { TokenizerCheck } from '../check/tokenizer.js'
import { formatCount } from '../io/units.js'
import { type PairReport, showExample, unexplained } from '../tokenizer/compare.js'
import type { TokenizerCheckJson } from './json.js'
import { formatTable } from './table.js'

/** Of what is explained, one example is enough. */
const explainedExamples = 1

/** How far the programs agree, for people. */
export function describeTokenizerCheck(check: TokenizerCheck): string {
  const { texts, characters, probes, engines, origins, pairs, ok } = check
  const lines = texts - probes
  const what = lines > 0 ? `${probes} probes and ${lines} lines` : `${probes} probes`
  const rows = engines.map(({ name, charactersPerSecond }) => [
    name,
    origins.get(name) ?? '',
    `${formatCount(Math.round(charactersPerSecond))}/s`,
  ])
  return [
    formatTable([['engine', 'runs', 'characters'], ...rows], [2]),
    '',
    ...pairs.flatMap((pair) => [...describePair(pair, check), '']),
    `${ok ? 'ok' : 'FAILED'}: ${what} (${formatCount(characters)} characters)`,
  ].join('\n')
}

function describePair(pair: PairReport, { texts, pieceOf }: TokenizerCheck): string[] {
  const [left, right] = pair.engines
  const { encodeMismatches, decodeMismatches, limits, examples } = pair
  const wrong = unexplained(pair)
  const differing = encodeMismatches + decodeMismatches
  if (differing === 0) return [`${left} = ${right}: the same on all ${texts} texts`]
  const counts = `${encodeMismatches} encoded and ${decodeMismatches} decoded differently`
  const head = `${left} ${wrong > 0 ? '≠' : '≈'} ${right}: of ${texts} texts ${counts}`
  const show = (explained: boolean, most: number) =>
    examples
      .filter((example) => example.explained === explained)
      .slice(0, most)
      .flatMap((example) => showExample(example, pieceOf).map((line) => `    ${line}`))
  return [
    head,
    ...(wrong > 0 ? [`  ${wrong} that should not differ:`, ...show(false, examples.length)] : []),
    ...limits.flatMap(({ limit, count }) => [
      `  ${count} that cannot agree: ${limit.what}.`,
      `    ${limit.advice}`,
    ]),
    ...show(true, explainedExamples),
  ]
}

/** The same for programs. */
export function tokenizerCheckJson(source: string, check: TokenizerCheck): TokenizerCheckJson {
  const { ok, texts, probes, characters, engines, origins, pairs, notes, pieceOf } = check
  return {
    source,
    ok,
    texts,
    probes,
    characters,
    engines: engines.map(({ name, seconds, charactersPerSecond }) => ({
      name,
      runs: origins.get(name) ?? null,
      seconds,
      characters_per_second: charactersPerSecond,
    })),
    pairs: pairs.map((pair) => ({
      engines: pair.engines,
      encode_mismatches: pair.encodeMismatches,
      decode_mismatches: pair.decodeMismatches,
      unexplained: unexplained(pair),
      limits: pair.limits.map(({ limit: { engine, what, advice }, count }) => ({
        engine,
        what,
        advice,
        count,
      })),
      examples: pair.examples.map(({ text, kind, explained, sides }) => ({
        text,
        kind,
        explained,
        sides: sides.map(({ engine, ids, decoded }) => ({
          engine,
          ids,
          pieces: ids.map(pieceOf),
          decoded,
        })),
      })),
    })),
    notes,
  }
}
