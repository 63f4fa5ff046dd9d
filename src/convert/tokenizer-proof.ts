import { createHash } from 'node:crypto'
import { OpenLlamaError } from '../io/errors.js'
import { parseJson } from '../io/json.js'
import { compareEngines, type PairReport, showExample, unexplained } from '../tokenizer/compare.js'
import { sentencePieceEngine, tokenizerJsonEngine } from '../tokenizer/engine.js'
import { tokenizerJsonLimits } from '../tokenizer/json-limits.js'
import type { LoadedTokenizer } from '../tokenizer/load.js'
import { pieceProbes, probes } from '../tokenizer/probes.js'

/** Hashes of what this process has proved: outputs of one model have one tokenizer. */
const proved = new Set<string>()

/** How a tokenizer.json that is to be written compares with SentencePiece. */
export interface TokenizerProof {
  /** What it approximates. */
  warnings: string[]
  /** Why it must not be written, with an example; undefined where it is right. */
  wrong?: string
}

/**
 * Holds the tokenizer.json that is to be written against SentencePiece on the
 * built-in probes and on the model's own pieces.
 */
export async function proveTokenizer(
  tokenizer: LoadedTokenizer,
  text: string,
): Promise<TokenizerProof> {
  const key = createHash('sha256').update(tokenizer.bytes).update(text).digest('hex')
  if (proved.has(key)) return { warnings: [] }
  const proof = await prove(tokenizer, text)
  if (proof.warnings.length === 0 && proof.wrong === undefined) proved.add(key)
  return proof
}

async function prove(tokenizer: LoadedTokenizer, text: string): Promise<TokenizerProof> {
  const name = 'tokenizer.json'
  const texts = [...probes, ...pieceProbes(tokenizer.model)]
  const pair = await compareOn(texts, tokenizer, text, name, name)
  const wrong = unexplained(pair)
  if (wrong === 0) return { warnings: [] }
  const said = `the tokenizer.json made from ${tokenizer.path} differs from SentencePiece on ${wrong} of ${texts.length} texts: ${oneLine(exampleOf(pair, tokenizer))}`
  // Two ways to read a text may weigh the same to SentencePiece's f32 and not to others' f64.
  return tokenizer.model.trainer.modelType === 'unigram'
    ? { warnings: [said] }
    : { warnings: [], wrong: said + tieNote(tokenizer) }
}

/** Why no tokenizer.json may be right: it has an order of merges where SentencePiece has places. */
function tieNote({ model }: LoadedTokenizer): string {
  const counts = new Map<number, number>()
  for (const { type, score } of model.pieces) {
    if (type === 'normal') counts.set(score, (counts.get(score) ?? 0) + 1)
  }
  const most = [...counts.values()].reduce((a, b) => Math.max(a, b), 0)
  return most < 2
    ? ''
    : `. ${most} of its pieces have one score, among which SentencePiece goes by the place in the text, and a tokenizer.json cannot`
}

/**
 * Holds the source's own tokenizer.json against its tokenizer.model.
 * @param kept it is passed on nevertheless
 * @returns warnings: where it is wrong, with an example
 */
export async function judgeOwn(
  tokenizer: LoadedTokenizer,
  own: { path: string; text: string },
  kept: boolean,
): Promise<string[]> {
  const name = "the source's tokenizer.json"
  const texts = [...probes, ...pieceProbes(tokenizer.model)]
  const outcome = kept ? 'it is kept as asked' : 'the right one is written'
  let pair: PairReport
  try {
    pair = await compareOn(texts, tokenizer, own.text, own.path, name)
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    return [`${name} cannot be used (${error.message}); ${outcome}`]
  }
  const wrong = unexplained(pair)
  const disagreement = `${name} disagrees with its tokenizer.model on ${wrong} of ${texts.length} probes; ${outcome}. For example: ${oneLine(exampleOf(pair, tokenizer))}`
  return [
    ...(wrong > 0 ? [disagreement] : []),
    ...pair.limits.map(({ limit, count }) => `${limit.what} (${count} probes). ${limit.advice}`),
  ]
}

/**
 * Holds a model that was rebuilt from a tokenizer.json against that file.
 * @returns what the user should know of it
 * @throws check error where the two give other tokens
 */
export async function proveRebuilt(tokenizer: LoadedTokenizer, json: string): Promise<string[]> {
  const texts = [...probes, ...pieceProbes(tokenizer.model)]
  const pair = await compareOn(texts, tokenizer, json, tokenizer.path, 'tokenizer.json')
  const wrong = unexplained(pair)
  if (wrong > 0) {
    throw new OpenLlamaError(
      'check',
      `what SentencePiece has for this tokenizer.json differs from it on ${wrong} of ${texts.length} texts: ${oneLine(exampleOf(pair, tokenizer))}`,
      {
        path: tokenizer.path,
        suggestions: ['Pass the tokenizer.model that it came from with `tokenizer`.'],
      },
    )
  }
  return [
    `there is only a tokenizer.json: scores are rebuilt from the order of its merges, with the same tokens on ${texts.length - pair.explained} of ${texts.length} texts`,
    ...pair.limits.map(({ limit, count }) => `${limit.what} (${count} texts). ${limit.advice}`),
  ]
}

/** Whether the source's own tokenizer.json equals its tokenizer.model. */
export async function isRight(
  tokenizer: LoadedTokenizer,
  own: { path: string; text: string },
): Promise<boolean> {
  const texts = [...probes, ...pieceProbes(tokenizer.model)]
  try {
    return unexplained(await compareOn(texts, tokenizer, own.text, own.path, 'its own')) === 0
  } catch (error) {
    if (error instanceof OpenLlamaError) return false
    throw error
  }
}

async function compareOn(
  texts: readonly string[],
  { model }: LoadedTokenizer,
  text: string,
  path: string,
  name: string,
): Promise<PairReport> {
  const engines = [await sentencePieceEngine(model), await tokenizerJsonEngine(text, path, name)]
  const limits = tokenizerJsonLimits(name, parseJson(text), model)
  const { pairs } = await compareEngines(engines, texts, { limits, maxExamples: 1 })
  const [pair] = pairs
  if (pair === undefined) throw new Error('no pair was compared')
  return pair
}

function exampleOf({ examples }: PairReport, { model }: LoadedTokenizer): string[] {
  return examples.flatMap((example) => showExample(example, (id) => model.pieces[id]?.text ?? ''))
}

function oneLine(lines: readonly string[]): string {
  return lines.map((line) => line.trim().replaceAll(/ {3,}/g, '  ')).join('; ')
}
