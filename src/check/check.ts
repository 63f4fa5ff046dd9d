import { basename } from 'node:path'
import { defaultsOf } from '../checkpoint/config.js'
import {
  configFaults,
  departureOf,
  firstDepartingLayer,
  weightFaults,
} from '../compare/departure.js'
import { compareWeights } from '../compare/weights.js'
import type { Device } from '../engines/engine.js'
import { availableMemory } from '../engines/memory.js'
import { engineFor, exactEngineFor } from '../engines/open.js'
import { OpenLlamaError } from '../io/errors.js'
import { formatBytes } from '../io/units.js'
import { worded } from '../io/wording.js'
import type { Runnable } from '../open/runnable.js'
import { parseSource } from '../open/source.js'
import { type CheckRecord, exceededMetrics, type ParityRecord } from '../record/check.js'
import type { DType } from '../types/dtype.js'
import {
  coarsestOf,
  judge,
  type Limits,
  limitsFor,
  roundingBetween,
  weightLimit,
} from './limits.js'
import { memoryToCheck } from './memory.js'
import { compareLogits, type Parity, type Position } from './parity.js'
import { positionsToSee, type Reach } from './reach.js'
import { coarsestRounding, roundingOf } from './rounding.js'
import { type Runs, runBoth } from './runs.js'
import { commonTokens, type SmokeRun, smokeFaults } from './smoke.js'
import {
  compareTokenizers,
  type ReadTokenizer,
  readTextTokenizer,
  type TextTokenizer,
} from './text-tokenizer.js'
import { defaultPositions, type Texts, textsFor } from './texts.js'

export interface CheckOptions {
  /** What the artifact is held against. */
  against?: Runnable
  /** The artifact was made from it by this program, so that a wider type may not differ at all. */
  converted?: boolean
  device: Device
  threads?: number
  prompt?: string
  /** Tokens to make of the prompt. */
  tokens?: number
  /** Positions to compare at; by default 256, or what the context and the text allow. */
  positions?: number
  /** A UTF-8 text in the place of the built-in one. */
  corpus?: string
  limits?: Partial<Limits>
  /** Bytes at most; by default what is free. */
  maxMemory?: number
  signal?: AbortSignal
  onProgress?(phase: CheckPhase): void
}

export type CheckPhase =
  | 'running the artifact'
  | 'running the source'
  | 'running the artifact in f32'
  | 'comparing the weights'

/** What a check found: the record, and what a page about it shows beyond. */
export interface CheckResult {
  record: CheckRecord
  /** The artifact's type, as its limits go by. */
  type: string
  /** Of the artifact; undefined where the model ended the text at once. */
  tokensPerSecond: number | undefined
  /** Position by position, where the two were compared. */
  positions: readonly Position[]
  continuations: { artifact: string; source?: string }
}

/**
 * Runs an artifact, and holds it against a source where there is one: what both compute over the
 * same text, what both make of a prompt, and their weights, configuration and tokenizer.
 * @throws resources error where memory or the device is not there
 */
export async function checkArtifact(
  artifact: Runnable,
  options: CheckOptions,
): Promise<CheckResult> {
  const { against } = options
  const own = await readTextTokenizer(artifact.checkpoint)
  const its = against && (await readTextTokenizer(against.checkpoint))
  const reader = await openReader(own, its)
  try {
    const reach = reachOf(artifact, options)
    const texts = await textsFor(artifact, reader, options, reach.positions)
    checkMemory(artifact, texts, options)
    const notes = worded([...reach.notes, ...texts.notes])
    const faults: string[] = []
    if (against !== undefined) {
      const judgement = await compareTokenizers(own, its, texts.text)
      faults.push(...judgement.faults)
      notes.push(...judgement.notes)
    }
    const runs = await runBoth(artifact, texts, options, notes)
    const judged = smokeOf(artifact, runs, texts, reader, own, options)
    // The graph is what runs, and what others run it by is the configuration.
    judged.smoke.faults.push(...(artifact.checkpoint.disagreements ?? []))
    faults.push(...(against?.checkpoint.disagreements ?? []).map((each) => `the source: ${each}`))
    const compared =
      against === undefined || runs.source === undefined
        ? undefined
        : await compare(
            { artifact, source: against, runs: { ...runs, source: runs.source } },
            texts,
            options,
            faults,
          )
    const passed =
      judged.smoke.faults.length === 0 &&
      (compared === undefined ||
        (compared.record.faults.length === 0 && exceededMetrics(compared.record).length === 0))
    return {
      record: {
        verdict: passed ? 'passed' : 'failed',
        engine: engineFor(artifact),
        device: runs.device,
        smoke: judged.smoke,
        ...(compared ? { parity: compared.record } : {}),
        notes: [...new Set(notes)],
      },
      type: artifact.opaque?.type ?? roundingOf(artifact).type,
      tokensPerSecond:
        runs.artifact.secondsPerToken === undefined ? undefined : 1 / runs.artifact.secondsPerToken,
      positions: compared?.parity?.positions ?? [],
      continuations: judged.continuations,
    }
  } finally {
    await reader?.close()
  }
}

/** Where the user says nothing of positions: enough to see all that changes with the length of a text. */
function reachOf(
  artifact: Runnable,
  { against, positions, maxMemory = availableMemory() }: CheckOptions,
): Reach {
  if (positions !== undefined) return { positions, notes: [] }
  const configs = [artifact, ...(against ? [against] : [])].map(
    ({ checkpoint }) => checkpoint.config,
  )
  return positionsToSee(
    configs,
    { least: defaultPositions, most: mostPositions },
    (count) => memoryToCheck(artifact, against, count),
    maxMemory,
  )
}

/** Running a large model over more than this takes hours on a CPU. */
const mostPositions = 8192

/**
 * What gives texts to both models: the source's tokenizer, or the artifact's where that is known to
 * be the same and starts sooner (a tokenizer.json of 128,000 tokens takes seconds).
 */
async function openReader(
  own: ReadTokenizer | undefined,
  its: ReadTokenizer | undefined,
): Promise<TextTokenizer | undefined> {
  if (own?.engine === 'llama.cpp' && its?.engine === 'tokenizers.js') {
    const { faults } = await compareTokenizers(own, its, '')
    if (faults.length === 0) return own.open()
  }
  return (its ?? own)?.open()
}

function checkMemory(
  artifact: Runnable,
  { passage, prompt, tokens }: Texts,
  { against, maxMemory = availableMemory() }: CheckOptions,
): void {
  const longest = Math.max(passage.length, prompt.length + tokens)
  const needed = memoryToCheck(artifact, against, longest)
  if (needed <= maxMemory) return
  throw new OpenLlamaError(
    'resources',
    `the check takes ${formatBytes(needed)} of memory, ${formatBytes(maxMemory)} are allowed or free`,
    {
      path: artifact.checkpoint.path,
      suggestions: ['Allow more with `maxMemory`, or compare at fewer `positions`.'],
    },
  )
}

function smokeOf(
  artifact: Runnable,
  runs: Runs,
  { promptText, prompt, vocabulary, passage }: Texts,
  reader: TextTokenizer | undefined,
  own: ReadTokenizer | undefined,
  { against }: CheckOptions,
): { smoke: CheckRecord['smoke']; continuations: CheckResult['continuations'] } {
  const made = runs.artifact.made
  const { config } = artifact.checkpoint
  const faults = smokeFaults(runs.artifact, vocabulary, runs.source)
  // Without BOS those trained with one answer nonsense; whether the tokenizer files say so is their
  // check's.
  const bos = own?.bos
  const wanted = defaultsOf(config.model_type).bos_token_id !== null || bos !== null
  const begins = bos !== null && (against !== undefined || passage[0] === bos)
  if (own !== undefined && wanted && !begins) {
    faults.push('neither its configuration nor its tokenizer has a BOS token')
  }
  const spell = (tokens: readonly number[]) => continuation(prompt, tokens, reader)
  const shown = spell(made)
  return {
    smoke: {
      prompt: reader === undefined ? prompt.join(' ') : promptText,
      continuation: shown,
      tokens: made.length,
      faults,
    },
    continuations: {
      artifact: shown,
      ...(runs.source ? { source: spell(runs.source.made) } : {}),
    },
  }
}

/** The text of new tokens: of all tokens, without the prompt's, since a first piece loses its space. */
function continuation(
  prompt: readonly number[],
  made: readonly number[],
  tokenizer: TextTokenizer | undefined,
): string {
  if (tokenizer === undefined) return made.join(' ')
  const special = new Set([tokenizer.bos])
  const text = prompt.filter((token) => !special.has(token))
  const before = tokenizer.decode(text)
  const whole = tokenizer.decode([...text, ...made])
  return whole.startsWith(before) ? whole.slice(before.length) : tokenizer.decode(made)
}

interface Compared {
  artifact: Runnable
  source: Runnable
  runs: Runs & { source: SmokeRun }
}

async function compare(
  { artifact, source, runs }: Compared,
  texts: Texts,
  options: CheckOptions,
  tokenizerFaults: readonly string[],
): Promise<{ record: ParityRecord; parity?: Parity }> {
  const [ours, theirs] = [artifact.checkpoint, source.checkpoint]
  const converted = options.converted ?? false
  const engine = runs.exact === undefined ? engineFor(artifact) : exactEngineFor(artifact)
  const mine = roundingOf(artifact, engine)
  const its = roundingOf(source, exactEngineFor(source))
  const sameVocabulary = ours.config.vocab_size === theirs.config.vocab_size
  const logits = runs.exact ?? runs.artifact.logits
  const strange = [
    ...(runs.source.notFinite ? ['the source gives logits that are not finite'] : []),
    ...(runs.exact && !allFinite(runs.exact) ? ['in f32 its logits are not finite'] : []),
  ]
  const comparable = sameVocabulary && strange.length === 0 && runs.artifact.notFinite === undefined
  const held = (of: Float32Array) =>
    compareLogits(of, runs.source.logits, texts.vocabulary, texts.following, options.signal)
  const parity = comparable ? await held(logits) : undefined
  const between = coarsestRounding(artifact, source, converted)
  const limits = { ...limitsFor(mine, its, between), ...options.limits }
  const metrics = parity === undefined ? [] : judge(parity, limits)
  const rounded =
    comparable && runs.exact !== undefined
      ? judge(await held(runs.artifact.logits), limitsFor(roundingOf(artifact), its, between))
      : undefined
  const config = configFaults(ours, theirs)
  options.onProgress?.('comparing the weights')
  const wrong = await compareWeights(ours, theirs, {
    limitOf: (a, s) => weightLimit(roundingBetween(floatOr(s.dtype), floatOr(a.dtype), converted)),
    maxMemory: 96 * 1024 * 1024,
    ...(options.signal ? { signal: options.signal } : {}),
  })
  const weights = await weightFaults(wrong, ours, theirs, options.signal)
  const record: ParityRecord = {
    against: {
      name: basename(parseSource(theirs.path).path),
      format: theirs.format,
      dtype: its.type,
      engine: exactEngineFor(source),
    },
    engine,
    positions: texts.following.length,
    metrics,
    ...(rounded ? { rounded } : {}),
    faults: [...tokenizerFaults, ...config, ...weights, ...strange],
    greedy: {
      common: commonTokens(runs.artifact.made, runs.source.made),
      of: Math.max(runs.artifact.made.length, runs.source.made.length),
    },
  }
  const failed = record.faults.length > tokenizerFaults.length || exceededMetrics(record).length > 0
  const layer =
    failed && comparable && config.length === 0
      ? await firstDepartingLayer(ours, theirs, texts.passage, {
          device: 'cpu',
          signal: options.signal,
        })
      : null
  return {
    record: {
      ...record,
      ...(failed ? { departure: departureOf([...config, ...weights], layer) } : {}),
    },
    ...(parity ? { parity } : {}),
  }
}

function allFinite(logits: Float32Array): boolean {
  return logits.every(Number.isFinite)
}

/** f64 is computed in as f32. */
function floatOr(dtype: DType): Parameters<typeof weightLimit>[0] {
  return coarsestOf([dtype])
}
