/**
 * What a check found, as it stands in openllama.json and in the JSON of
 * `openllama check`. Without anything that differs from run to run: no times.
 */
export interface CheckRecord {
  verdict: 'passed' | 'failed'
  /** What ran the artifact, and on what. */
  engine: 'onnxruntime' | 'llama.cpp'
  device: string
  smoke: SmokeRecord
  /** Absent where there was nothing to hold the artifact against. */
  parity?: ParityRecord
  /** What the user should know, in sentences. */
  notes: string[]
}

export interface SmokeRecord {
  prompt: string
  /** The greedy continuation, without the prompt. */
  continuation: string
  tokens: number
  /** What is wrong with it, in sentences; none where it is sound. */
  faults: string[]
}

export interface ParityRecord {
  against: { name: string; format: string; dtype: string; engine: 'onnxruntime' | 'llama.cpp' }
  /** Positions whose distributions were compared. */
  positions: number
  /** None where the two cannot be compared: of other vocabularies, or not finite. */
  metrics: MetricRecord[]
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
