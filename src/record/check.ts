/** What can run a model. */
export type EngineName = 'onnxruntime' | 'llama.cpp'

/**
 * What a check found, as it stands in openllama.json and in the JSON of
 * `openllama check`. Without anything that differs from run to run: no times.
 */
export interface CheckRecord {
  verdict: 'passed' | 'failed'
  /** What ran the artifact, and on what. */
  engine: EngineName
  device: string
  smoke: SmokeRecord
  /** Absent where there was nothing to hold the artifact against. */
  parity?: ParityRecord
  /** What the user should know, in sentences. */
  notes: string[]
}

interface SmokeRecord {
  prompt: string
  /** The greedy continuation, without the prompt. */
  continuation: string
  tokens: number
  /** What is wrong with it, in sentences; none where it is sound. */
  faults: string[]
}

export interface ParityRecord {
  /** What ran the source. */
  against: { name: string; format: string; dtype: string; engine: EngineName }
  /** What ran the artifact for the metrics: where the other engine rounds activations, the exact one. */
  engine: EngineName
  /** Positions whose distributions were compared. */
  positions: number
  /** None where the two cannot be compared: of other vocabularies, or not finite. */
  metrics: MetricRecord[]
  /**
   * The metrics of the artifact as the engine computes it that it is made for; absent where those
   * above are of the same.
   */
  rounded?: MetricRecord[]
  /** What the comparison of tensors and tokenizers found to be wrong, in sentences. */
  faults: string[]
  /** Greedy tokens that both continuations begin with, of how many. */
  greedy: { common: number; of: number }
  /** Where the two depart, and the likely cause, where it can be told. */
  departure?: { layer: number | null; cause: string | null; detail: string }
}

/** A figure and the limit it is held to; a metric without a limit only informs. */
export interface MetricRecord {
  name:
    | 'kld_mean'
    | 'kld_median'
    | 'kld_p999'
    | 'top1_agreement'
    | 'logit_max_difference'
    | 'nmse'
    | 'perplexity'
    | 'perplexity_source'
  value: number
  limit: number | null
  passed: boolean
}

/** Metrics that exceed their limits, in both comparisons. */
export function exceededMetrics({ metrics, rounded = [] }: ParityRecord): MetricRecord[] {
  return [...metrics, ...rounded].filter(({ passed }) => !passed)
}

/** For a file that is to be the same wherever it is made, as far as arithmetic allows. */
export function roundFigures({ parity, ...rest }: CheckRecord): CheckRecord {
  if (parity === undefined) return rest
  const metrics = (all: readonly MetricRecord[]) =>
    all.map((metric) => ({
      ...metric,
      value: rounded(metric.value),
      limit: metric.limit === null ? null : rounded(metric.limit),
    }))
  return {
    ...rest,
    parity: {
      ...parity,
      metrics: metrics(parity.metrics),
      ...(parity.rounded ? { rounded: metrics(parity.rounded) } : {}),
    },
  }
}

/** Three figures: more are of one machine's arithmetic, as all are of what is nearly nothing. */
function rounded(value: number): number {
  return Math.abs(value) < 1e-9 ? 0 : Number(value.toPrecision(3))
}
