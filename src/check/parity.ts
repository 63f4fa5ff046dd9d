import { likeliest } from '../engines/engine.js'
import { giveWay } from '../io/interruption.js'

/** What two models have and have not in common at one position. */
export interface Position {
  /** KL divergence of the artifact's distribution from the source's, in nats. */
  kld: number
  /** Both give the same token the highest probability. */
  agrees: boolean
}

/** The distance of two models over a text that both were made to read. */
export interface Parity {
  positions: Position[]
  kldMean: number
  kldMedian: number
  /** The 99.9th percentile; of fewer than 1000 positions, the largest. */
  kldP999: number
  /** The share of positions. */
  top1Agreement: number
  /** Of logits whose mean at each position is zero: a constant there changes nothing. */
  logitMaxDifference: number
  /** Σ (a − s)² / Σ s², of the same logits. */
  nmse: number
  /** Of the tokens that follow, by the artifact and by the source. */
  perplexity: number
  perplexitySource: number
}

/**
 * Compares the logits of two models over the same tokens. Rows may be off by a constant each, as
 * logarithms of probabilities are.
 * @param artifact [positions, vocabulary], `source` likewise
 * @param following the token that comes after each position
 */
export async function compareLogits(
  artifact: Float32Array,
  source: Float32Array,
  vocabulary: number,
  following: readonly number[],
  signal?: AbortSignal,
): Promise<Parity> {
  const positions: Position[] = []
  let largest = 0
  let squares = 0
  let total = 0
  let loss = 0
  let lossSource = 0
  for (const [i, next] of following.entries()) {
    if (i % rowsAtOnce === 0) await giveWay(signal)
    const ours = artifact.subarray(i * vocabulary, (i + 1) * vocabulary)
    const theirs = source.subarray(i * vocabulary, (i + 1) * vocabulary)
    const [zeroOurs, zeroTheirs] = [logSumExp(ours), logSumExp(theirs)]
    const [meanOurs, meanTheirs] = [mean(ours), mean(theirs)]
    let kld = 0
    for (let j = 0; j < vocabulary; j++) {
      const a = ours[j] ?? 0
      const s = theirs[j] ?? 0
      const logOurs = a - zeroOurs
      const logTheirs = s - zeroTheirs
      kld += Math.exp(logTheirs) * (logTheirs - logOurs)
      const centred = s - meanTheirs
      const difference = a - meanOurs - centred
      largest = Math.max(largest, Math.abs(difference))
      squares += difference * difference
      total += centred * centred
    }
    positions.push({ kld, agrees: likeliest(ours) === likeliest(theirs) })
    loss -= (ours[next] ?? 0) - zeroOurs
    lossSource -= (theirs[next] ?? 0) - zeroTheirs
  }
  const count = positions.length
  const sorted = positions.map(({ kld }) => kld).sort((a, b) => a - b)
  return {
    positions,
    kldMean: sorted.reduce((sum, kld) => sum + kld, 0) / count,
    kldMedian: quantile(sorted, 0.5),
    kldP999: quantile(sorted, 0.999),
    top1Agreement: positions.filter(({ agrees }) => agrees).length / count,
    logitMaxDifference: largest,
    nmse: total === 0 ? squares : squares / total,
    perplexity: Math.exp(loss / count),
    perplexitySource: Math.exp(lossSource / count),
  }
}

/** Rows of logits after which the thread looks up: some milliseconds of work each. */
const rowsAtOnce = 16

/** Entropy of each row's distribution, in nats. */
export async function entropies(
  logits: Float32Array,
  vocabulary: number,
  signal?: AbortSignal,
): Promise<number[]> {
  const all: number[] = []
  for (let i = 0; i < logits.length / vocabulary; i++) {
    if (i % rowsAtOnce === 0) await giveWay(signal)
    all.push(entropy(logits.subarray(i * vocabulary, (i + 1) * vocabulary)))
  }
  return all
}

function entropy(row: Float32Array): number {
  const zero = logSumExp(row)
  let entropy = 0
  for (const value of row) {
    const log = value - zero
    const share = Math.exp(log) * log
    // 0 × −∞ is no number, its limit is 0.
    if (share < 0) entropy -= share
  }
  return entropy
}

function logSumExp(row: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY
  for (const value of row) most = Math.max(most, value)
  let sum = 0
  for (const value of row) sum += Math.exp(value - most)
  return most + Math.log(sum)
}

function mean(row: Float32Array): number {
  let sum = 0
  for (const value of row) sum += value
  return sum / row.length
}

/** The value that so large a share of sorted ones is not above. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
