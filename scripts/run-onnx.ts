// Loads a checkpoint of any size in ONNX Runtime, as it lies or, with --graph, an exported graph, and
// measures what that takes:
//   npx tsx scripts/run-onnx.ts <checkpoint> [--config PRESET|FILE] [--graph FILE] [--tokens N]
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { openCheckpointEngine, openGraphEngine } from '../src/engines/onnx.js'
import { openCheckpoint } from '../src/open/open.js'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    config: { type: 'string' },
    graph: { type: 'string' },
    tokens: { type: 'string', default: '64' },
  },
})
const [source] = positionals
if (source === undefined) {
  console.error('usage: run-onnx <checkpoint> [--config PRESET|FILE] [--graph FILE] [--tokens N]')
  process.exit(2)
}
let start = performance.now()
const { config } = values
const checkpoint = await openCheckpoint(source, config === undefined ? {} : { config })
const engine =
  values.graph === undefined
    ? await openCheckpointEngine(checkpoint, { device: 'cpu' })
    : await openGraphEngine(values.graph, checkpoint.config, { device: 'cpu' })
for (const note of engine.notes) console.log(note)
report('loaded')
const vocabulary = checkpoint.config.vocab_size
const tokens = Array.from({ length: Number(values.tokens) }, (_, i) => (i * 7919) % vocabulary)
const logits = await engine.logits(tokens)
const finite = logits.every(Number.isFinite)
report(`${tokens.length} tokens at once, logits ${finite ? 'finite' : 'NOT FINITE'}`)
const made = await engine.generate(tokens.slice(0, 1), 8)
report(`${made.length} tokens one by one`)
await engine.dispose()
process.exitCode = finite ? 0 : 1

/** Seconds since the last report; memory from the system, where it tells (Linux). */
function report(what: string): void {
  const seconds = (performance.now() - start) / 1000
  console.log(`${what}: ${seconds.toFixed(1)} s; ${memory()}`)
  start = performance.now()
}

function memory(): string {
  if (process.platform !== 'linux') return `${process.memoryUsage.rss()} bytes resident`
  const status = readFileSync('/proc/self/status', 'utf8')
  const read = (key: string) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
  const mega = (key: string) => `${Math.round(read(key) / 1000)} MB`
  return `peak ${mega('VmHWM')}, own ${mega('RssAnon')}, mapped ${mega('RssFile')}`
}
