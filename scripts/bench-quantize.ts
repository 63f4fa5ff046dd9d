// How fast the quantization kernels are against libggml's on the same rows: one thread each, CPU
// time, in turns within one run. `node scripts/build.js && npx tsx scripts/bench-quantize.ts
// [--importance] [TYPE…]`. On a busy machine compare the ratios, not the rates.
import { dtypes, isBlock } from '../src/types/dtype.js'
import { type GgmlType, parseGgmlType } from '../src/types/ggml.js'
import { distributions, sample, sampleImportance } from '../test/kernels/distributions.js'
import { openLibGgml } from '../test/kernels/libggml.js'

const rows = 128
const columns = 2048
const count = rows * columns
const rounds = 9

const arguments_ = process.argv.slice(2)
const importance = arguments_.includes('--importance')
const named = arguments_.filter((text) => !text.startsWith('--')).map(parseGgmlType)
const all: GgmlType[] = [
  'q4_0',
  'q4_1',
  'q5_0',
  'q5_1',
  'q8_0',
  'q2_k',
  'q3_k',
  'q4_k',
  'q5_k',
  'q6_k',
]
const types = (named.length > 0 ? named : all).filter(isBlock)

const libggml = openLibGgml()
if (typeof libggml === 'string') throw new Error(libggml)
// The compiled kernels lie beside the built module only.
const built: typeof import('../src/kernels/kernels.js') = await import(
  new URL('../dist/kernels/kernels.js', import.meta.url).href
)
const kernels = built.loadKernels(12 * count)
const src = kernels.base
const weightsAt = src + 4 * count
const dst = weightsAt + 4 * count

const { normal } = distributions
if (normal === undefined) throw new Error('no normal distribution')
const elements = sample(normal, count, 1)
const weights = importance ? sampleImportance(columns, 2) : undefined
kernels.bytes(src, 4 * count).set(new Uint8Array(elements.buffer))
if (weights) kernels.bytes(weightsAt, 4 * columns).set(new Uint8Array(weights.buffer))

/** CPU seconds, user and system, that `run` takes at the least in `rounds`, with another in turns. */
function compete(ours: () => void, theirs: () => void): { ours: number; theirs: number } {
  const best = { ours: Number.POSITIVE_INFINITY, theirs: Number.POSITIVE_INFINITY }
  for (let round = 0; round < rounds; round++) {
    best.theirs = Math.min(best.theirs, seconds(theirs))
    best.ours = Math.min(best.ours, seconds(ours))
  }
  return best
}

function seconds(run: () => void): number {
  // As often as fills a tenth of a second: the CPU clock is coarse.
  let runs = 0
  const start = process.cpuUsage()
  for (;;) {
    run()
    runs += 1
    const { user, system } = process.cpuUsage(start)
    if (user + system > 1e5) return (user + system) / 1e6 / runs
  }
}

console.log(`type   ours M/s  libggml M/s  ratio   (${importance ? 'with' : 'without'} importance)`)
for (const type of types) {
  const quantize = kernels[dtypes[type].quantize]
  const ours = () => quantize(src, dst, rows, columns, weights ? weightsAt : 0)
  // The first runs are interpreted, until the compiled code is ready.
  for (let warm = 0; warm < 20; warm++) ours()
  await new Promise((ready) => setTimeout(ready, 200))
  const best = compete(ours, () => libggml.quantize(type, elements, columns, weights))
  const rate = (time: number) => (count / time / 1e6).toFixed(1)
  console.log(
    `${dtypes[type].ggml.name.padEnd(5)}${rate(best.ours).padStart(10)}${rate(best.theirs).padStart(13)}${(
      best.theirs / best.ours
    )
      .toFixed(2)
      .padStart(7)}`,
  )
}
