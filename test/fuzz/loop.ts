import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startCoverage } from './coverage.js'
import { type Finding, faultOf } from './finding.js'
import { randomOf } from './random.js'
import type { Target } from './target.js'

/** How a target did. */
export interface Outcome {
  inputs: number
  seconds: number
  /** Inputs that ran what no other had. */
  kept: number
  blocks: number
  findings: Finding[]
}

export interface LoopOptions {
  seconds: number
  seed: number
  /** Where inputs of earlier runs are, and new ones go. */
  corpus: string
  /** Called with every input before it is read. */
  onInput(bytes: Uint8Array): void
}

/** Inputs between two looks at what ran. */
const batchSize = 64
/** A parser takes no longer, however small or large its input. */
const mostMilliseconds = 2000
/** Memory that an input may take: four times its bytes, and what the collector leaves lying. */
const memoryFactor = 4
const memoryBase = 256 * 1024 * 1024
const mostFindings = 20

/** Reads mutated inputs until the time is over; those that run something new are mutated further. */
export async function fuzz(target: Target, options: LoopOptions): Promise<Outcome> {
  const { seconds, seed, corpus } = options
  const random = randomOf(seed)
  const coverage = await startCoverage('/build/src/')
  const findings = new Map<string, Finding>()
  const kept: Uint8Array[] = []
  let inputs = 0
  let memory = process.memoryUsage.rss()

  const read = async (bytes: Uint8Array): Promise<void> => {
    inputs++
    options.onInput(bytes)
    const begin = performance.now()
    let fault: { key: string; detail: string } | undefined
    try {
      await target.run(bytes)
    } catch (error) {
      fault = faultOf(error)
    }
    const took = performance.now() - begin
    if (took > mostMilliseconds) fault ??= await slowness(target, bytes)
    if (took > 5) {
      const now = process.memoryUsage.rss()
      if (now - memory > memoryBase + memoryFactor * bytes.length) {
        fault ??= { key: 'memory', detail: `${now - memory} more for ${bytes.length} bytes` }
      }
      memory = now
    }
    if (fault === undefined || findings.has(fault.key) || findings.size >= mostFindings) return
    findings.set(fault.key, { ...fault, bytes: Uint8Array.from(bytes) })
  }

  /** The inputs of a batch that run what is new, found by halves. */
  const owners = async (
    batch: readonly Uint8Array[],
    wanted: ReadonlySet<string>,
  ): Promise<Uint8Array[]> => {
    if (wanted.size === 0) return []
    const [only] = batch
    if (batch.length <= 1) return only === undefined ? [] : [only]
    const half = Math.ceil(batch.length / 2)
    const [left, right] = [batch.slice(0, half), batch.slice(half)]
    await coverage.fresh()
    for (const bytes of left) await read(bytes)
    const inLeft = new Set([...(await coverage.fresh())].filter((key) => wanted.has(key)))
    const rest = new Set([...wanted].filter((key) => !inLeft.has(key)))
    return [...(await owners(left, inLeft)), ...(await owners(right, rest))]
  }

  const earlier = existsSync(corpus) ? readdirSync(corpus) : []
  const seeds = [
    ...(await target.seeds()).map((seed) => (typeof seed === 'string' ? Buffer.from(seed) : seed)),
    ...earlier.map((name) => readFileSync(join(corpus, name))),
  ]
  mkdirSync(corpus, { recursive: true })
  for (const bytes of seeds) {
    await read(bytes)
    const fresh = await coverage.fresh()
    if (fresh.size > 0 || kept.length === 0) kept.push(bytes)
    coverage.see(fresh)
  }

  const begin = performance.now()
  const pick = () => {
    // What was found last leads on more often.
    const recent = random.oneIn(3) ? Math.min(kept.length, 32) : kept.length
    return kept[kept.length - 1 - random.below(recent)] ?? new Uint8Array()
  }
  while (performance.now() - begin < seconds * 1000 && findings.size < mostFindings) {
    const batch = Array.from({ length: batchSize }, () => target.mutate(pick(), pick(), random))
    for (const bytes of batch) await read(bytes)
    const fresh = await coverage.fresh()
    for (const bytes of await owners(batch, fresh)) {
      kept.push(bytes)
      writeFileSync(join(corpus, nameOf(bytes)), bytes)
    }
    // What a second run does not show again counts as seen all the same.
    coverage.see(fresh)
    await coverage.fresh()
  }
  return {
    inputs,
    seconds: (performance.now() - begin) / 1000,
    kept: kept.length,
    blocks: coverage.size(),
    findings: await Promise.all([...findings.values()].map((each) => shrink(target, each))),
  }
}

/** Once more, by the processor's time: what loads first, or waits for others, is no parser's fault. */
async function slowness(
  target: Target,
  bytes: Uint8Array,
): Promise<{ key: string; detail: string } | undefined> {
  const before = process.cpuUsage()
  await faultIn(target, bytes)
  const { user, system } = process.cpuUsage(before)
  const milliseconds = Math.round((user + system) / 1000)
  if (milliseconds <= mostMilliseconds) return undefined
  return { key: 'slow', detail: `${milliseconds} ms for ${bytes.length} bytes` }
}

/** A shorter input with the same fault, by leaving parts out. */
async function shrink(target: Target, finding: Finding): Promise<Finding> {
  let { bytes } = finding
  const until = performance.now() + 3000
  for (let size = bytes.length >> 1; size >= 1 && performance.now() < until; size >>= 1) {
    for (let at = 0; at + size <= bytes.length && performance.now() < until; ) {
      const shorter = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)])
      if ((await faultIn(target, shorter)) === finding.key) bytes = shorter
      else at += size
    }
  }
  return { ...finding, bytes }
}

async function faultIn(target: Target, bytes: Uint8Array): Promise<string | undefined> {
  try {
    await target.run(bytes)
    return undefined
  } catch (error) {
    return faultOf(error)?.key
  }
}

export function nameOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}
