// Fuzzes parsers: mutated inputs, led by what they run in the program.
//   npm run fuzz -- TARGET|all SECONDS [--seed N]
// What ran something new is kept in .fuzz/TARGET/corpus and goes on next time; what must not be (an
// error that is none of ours, more than two seconds, memory beyond all measure, a message of more than
// 2,000 characters) is written to .fuzz/TARGET/findings, and the command fails.
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { root } from '../support/paths.js'
import type { Finding } from './finding.js'
import { nameOf, type Outcome } from './loop.js'
import { targets } from './targets.js'

/** Milliseconds without a new input after which a parser counts as hanging. */
const hangs = 20_000
const longestInput = 1024 * 1024
/** Of a thread's own heap; an input has some kilobytes. */
const heapMegabytes = 1024

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string', default: '1' } },
})
const [wanted = '', time = '10'] = positionals
const queue = targets.map(({ name }) => name).filter((name) => wanted === 'all' || name === wanted)
const seconds = Number(time)
if (queue.length === 0 || !(seconds > 0)) {
  console.error('npm run fuzz -- TARGET SECONDS [--seed N], where TARGET is all or one of:')
  console.error(targets.map(({ name }) => `  ${name}`).join('\n'))
  process.exit(2)
}

let inputs = 0
let found = 0
const atOnce = Math.min(queue.length, availableParallelism())
await Promise.all(Array.from({ length: atOnce }, work))
console.log(`${inputs} inputs, ${found} findings`)
process.exitCode = found === 0 ? 0 : 1

async function work(): Promise<void> {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const outcome = await runTarget(name)
    inputs += outcome.inputs
    found += outcome.findings.length
    const rate = Math.round(outcome.inputs / outcome.seconds)
    console.log(
      `${name}: ${outcome.inputs} inputs, ${rate}/s, ${outcome.kept} kept, ${outcome.blocks} blocks, ${outcome.findings.length} findings`,
    )
    for (const finding of outcome.findings) report(name, finding)
  }
}

function runTarget(name: string): Promise<Outcome> {
  const shared = new SharedArrayBuffer(8 + longestInput)
  const [count, length] = [new Int32Array(shared, 0, 1), new Int32Array(shared, 4, 1)]
  const corpus = join(root, '.fuzz', name, 'corpus')
  const worker = new Worker(new URL('worker.js', import.meta.url), {
    workerData: { name, seconds, seed: Number(values.seed), corpus, shared },
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
  })
  const start = performance.now()
  const failed = (key: string, detail: string): Outcome => ({
    inputs: count[0] ?? 0,
    seconds: (performance.now() - start) / 1000,
    kept: 0,
    blocks: 0,
    findings: [{ key, detail, bytes: Uint8Array.from(new Uint8Array(shared, 8, length[0])) }],
  })
  return new Promise((resolve) => {
    let last = -1
    const watch = setInterval(() => {
      const now = Atomics.load(count, 0)
      if (now === last) void end(failed('hang', `no end in ${hangs} ms`))
      last = now
    }, hangs)
    const end = async (outcome: Outcome) => {
      clearInterval(watch)
      await worker.terminate()
      resolve(outcome)
    }
    worker.on('message', (outcome: Outcome) => void end(outcome))
    worker.on(
      'error',
      (error) => void end(failed(`ended: ${error.name}`, error.stack ?? error.message)),
    )
  })
}

function report(name: string, { key, detail, bytes }: Finding): void {
  const folder = join(root, '.fuzz', name, 'findings')
  mkdirSync(folder, { recursive: true })
  const path = join(folder, nameOf(bytes))
  writeFileSync(path, bytes)
  writeFileSync(`${path}.txt`, `${key}\n${detail}\n`)
  console.log(
    `  FOUND ${key}\n    ${detail.split('\n').slice(0, 6).join('\n    ').slice(0, 1000)}\n    ${path}`,
  )
}
