// Kills conversions at random, alone and two at once, damages what they leave, goes on from it with
// wrong and with right options, and holds every output that stands at a path against that of an
// uncut run:
//   npm run test:kills -- N [SEED]
import { type ChildProcess, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { bytesOf, seeded, sha256 } from '../test/support/bytes.js'
import { configJson } from '../test/support/listing.js'
import { easylmShape, type Model, tensorsOf } from '../test/support/llama.js'
import { streamOf } from '../test/support/stream.js'

const wanted = Number(process.argv[2] ?? 100)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
console.log(`seed ${seed}`)

const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'openllama-kills-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(130))

/** Enough for several threads in f32, of many small tensors: tiles to go on from. */
const model: Model = {
  vocab: 2048,
  hidden: 512,
  intermediate: 512,
  layers: 4,
  heads: 8,
  kvHeads: 8,
  headDim: 64,
}

interface Target {
  /** How the output ends where it is one file. */
  extension: '' | '.gguf'
  options: { to: string; dtype: string; maxShardSize?: number; modelParallel?: number }
}

const targets: Target[] = [
  { extension: '', options: { to: 'safetensors', dtype: 'f32' } },
  { extension: '', options: { to: 'safetensors', dtype: 'f16', maxShardSize: 4e6 } },
  { extension: '', options: { to: 'pytorch', dtype: 'f32', maxShardSize: 2e7 } },
  { extension: '', options: { to: 'meta', dtype: 'bf16', modelParallel: 2 } },
  { extension: '', options: { to: 'flax', dtype: 'f32' } },
  { extension: '', options: { to: 'onnx', dtype: 'q8' } },
  { extension: '.gguf', options: { to: 'gguf', dtype: 'q4_k_m' } },
  { extension: '.gguf', options: { to: 'gguf', dtype: 'f32' } },
  { extension: '.gguf', options: { to: 'gguf', dtype: 'q8_0' } },
]

/** Names and hashes of an output's files, its record among them. */
type Content = ReadonlyMap<string, string>

/** A conversion, and what an uncut run of it makes. */
interface Job {
  source: string
  target: Target
  /** The output is run before it appears, which only the command line does. */
  checked: boolean
  sha256: boolean
  whole: Content
  /** An output of it to begin from. */
  made: string
  /** Milliseconds from the plan to the end. */
  takes: number
  /** Operations on files until the plan stands, and until the end. */
  operations: [number, number]
}

const source = makeSource()

function makeSource(): string {
  const folder = join(root, 'in')
  mkdirSync(folder)
  const next = seeded(23)
  // Of both signs, around a hundredth: small enough for every type.
  const pattern = bytesOf(
    Uint16Array.from({ length: 65_521 }, () => ((next() >>> 16) & 0x80ff) | 0x3c00),
  )
  const arrays = tensorsOf(model).map((tensor, i) => {
    const bytes = 2 * tensor.shape.reduce((product, n) => product * n, 1)
    const data = Buffer.alloc(bytes, pattern.subarray(2 * i))
    return { key: tensor.easylm, dtype: 'bfloat16', shape: easylmShape(tensor), data }
  })
  writeFileSync(join(folder, 'stream'), streamOf(arrays))
  writeFileSync(join(folder, 'config.json'), configJson(model))
  return join(folder, 'stream')
}

/** How a run is to end, and what is done to it. */
interface Fate {
  signal?: NodeJS.Signals
  /** Milliseconds after its plan stands. */
  after?: number
  end?: { operation?: number; after?: boolean; worker?: number }
}

interface Ended {
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
  /** Milliseconds since its plan stood. */
  took: number
}

type Flags = { resume?: boolean; force?: boolean }

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

function run(job: Job, out: string, flags: Flags, fate: Fate = {}): Promise<Ended> {
  const { source, target, sha256, checked } = job
  if (checked) return runCommand(job, out, flags, fate)
  const given = JSON.stringify({
    source,
    options: { ...target.options, out, maxMemory: 32e6, threads: 2 },
    run: {
      resume: false,
      force: false,
      allowNonFinite: false,
      allowOverflow: false,
      sha256,
      ...flags,
    },
    end: fate.end,
  })
  return started([join('scripts', 'kills', 'run.js'), given], fate)
}

/** The same by the command line, whose signals are its own. */
function runCommand(job: Job, out: string, flags: Flags, fate: Fate): Promise<Ended> {
  const { to, dtype, maxShardSize, modelParallel } = job.target.options
  const args = ['bin/run.js', 'convert', job.source, '--to', to, '--dtype', dtype, '--out', out]
  if (job.checked) args.push('--config', join(fixture, 'config.json'), '--threads', '1')
  else args.push('--no-check', '--max-memory', '32MB', '--threads', '2')
  if (job.sha256) args.push('--sha256')
  if (maxShardSize !== undefined) args.push('--max-shard-size', String(maxShardSize))
  if (modelParallel !== undefined) args.push('--model-parallel', String(modelParallel))
  if (flags.resume) args.push('--resume')
  if (flags.force) args.push('--force')
  return started(args, fate)
}

function started(args: string[], { signal, after = 0 }: Fate): Promise<Ended> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  let stdout = ''
  let stderr = ''
  let begun = performance.now()
  const begin = () => {
    begun = performance.now()
    if (signal) setTimeout(() => child.kill(signal), after)
  }
  // The command line says nothing before its end: its start-up takes the first part.
  if (args[0] === 'bin/run.js') setTimeout(begin, 350)
  else child.stdout.once('data', begin)
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      running.delete(child)
      resolve({ code, signal, stdout, stderr, took: performance.now() - begun })
    })
  })
}

function contentOf(out: string): Content {
  const content = new Map<string, string>()
  const add = (name: string, path: string) => content.set(name, sha256(readFileSync(path)))
  if (statSync(out).isFile()) {
    add(basename(out), out)
    const record = `${out}.openllama.json`
    if (existsSync(record)) add(basename(record), record)
    return content
  }
  for (const name of readdirSync(out, { recursive: true, encoding: 'utf8' })) {
    if (statSync(join(out, name)).isFile()) add(name, join(out, name))
  }
  return content
}

function areEqual(a: Content, b: Content): boolean {
  return a.size === b.size && [...a].every(([name, hash]) => b.get(name) === hash)
}

/** A small trained model, whose check passes. */
const fixture = join('test', 'fixtures', 'tiny-v2')

async function prepareJobs(): Promise<Job[]> {
  const made: Job[] = []
  const make = async (given: Pick<Job, 'source' | 'target' | 'checked' | 'sha256'>) => {
    const { target } = given
    const folder = mkdtempSync(join(root, 'whole-'))
    const out = join(folder, `out${target.extension}`)
    const none = { whole: new Map(), made: folder, takes: 0 }
    const job: Job = { ...given, ...none, operations: [0, 0] }
    const { code, stdout, stderr, took } = await run(job, out, {})
    if (code !== 0) throw new Error(`${target.options.to} does not convert: ${stderr}`)
    const [, from, to] = /(\d+) (\d+) operations/.exec(stdout) ?? []
    const operations: [number, number] = [Number(from), Number(to)]
    made.push({ ...job, whole: contentOf(out), takes: took, operations })
    return out
  }
  let folder = ''
  for (const target of targets) {
    const out = await make({ source, target, checked: false, sha256: true })
    folder ||= out
    await make({ source: folder, target, checked: false, sha256: false })
  }
  const stream = join(fixture, 'easylm', 'streaming_params_bf16')
  for (const dtype of ['f16', 'f32']) {
    const target: Target = { extension: '', options: { to: 'safetensors', dtype } }
    await make({ source: stream, target, checked: true, sha256: true })
  }
  return made
}

let kills = 0
let wrong = 0
let resumed = 0
let refused = 0
let goneOn = 0
const seconds = performance.now()

/** One story: a run that is killed, once or several times, and what comes after. */
class Story {
  readonly log: string[] = []
  readonly folder: string
  readonly out: string

  constructor(
    readonly random: () => number,
    readonly job: Job,
    readonly other: Job,
  ) {
    this.folder = mkdtempSync(join(root, 'story-'))
    this.out = join(this.folder, `out${job.target.extension}`)
  }

  chance(share: number): boolean {
    return this.random() < share
  }

  pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.random() * items.length)]
    if (item === undefined) throw new Error('nothing to pick from')
    return item
  }

  fail(what: string): void {
    wrong++
    console.log(`WRONG: ${what}\n  ${this.log.join('\n  ')}`)
    console.log(`  there: ${readdirSync(this.folder, { recursive: true }).join(' ')}`)
  }

  note(what: string, { code, signal, stderr }: Ended): void {
    const said = stderr.trim().split('\n').at(0)?.slice(0, 200) ?? ''
    this.log.push(`${what}: ${signal ?? code} ${said}`)
    if (code === 1 || signal === 'SIGSEGV' || signal === 'SIGABRT') {
      this.fail(`ended with ${signal ?? code}: ${stderr}`)
    }
  }

  /** Whatever stands at the path is whole, and has its own record. */
  hold(): Job | undefined {
    if (!existsSync(this.out)) return undefined
    const content = contentOf(this.out)
    const whole = [this.job, this.other].find((job) => areEqual(job.whole, withoutJournal(content)))
    if (whole === undefined) this.fail(`what stands at the path is not whole: ${this.out}`)
    return whole
  }

  fate(): Fate {
    const { takes, operations } = this.job
    const [first, last] = operations
    const after = this.random() * takes
    const kind = this.random() * (this.job.checked ? 0.6 : 1)
    if (kind < 0.3) return { signal: 'SIGKILL', after }
    if (kind < 0.5) return { signal: 'SIGTERM', after }
    if (kind < 0.6) return { signal: 'SIGHUP', after }
    if (kind < 0.75) return { end: { worker: after / 2 }, signal: 'SIGKILL', after: 3 * takes }
    const operation = first + Math.ceil(this.random() * 1.2 * (last - first))
    return { end: { operation, after: this.chance(0.5) }, signal: 'SIGKILL', after: 3 * takes }
  }

  async killed(flags: Flags): Promise<void> {
    const fate = this.fate()
    const plain = fate.end === undefined && this.chance(0.15)
    const ended = await (plain ? runCommand : run)(this.job, this.out, flags, fate)
    kills++
    this.note(`${JSON.stringify(flags)} ${JSON.stringify(fate)}`, ended)
    this.hold()
  }

  /** Another run to the same path, beside one that is killed or is not. */
  async besides(flags: Flags): Promise<void> {
    const fate = this.chance(0.6) ? this.fate() : {}
    const first = run(this.job, this.out, flags, fate)
    await wait(this.chance(0.5) ? this.random() * 20 : this.random() * this.job.takes)
    const others = this.pick<Flags>([{}, { force: true }, { resume: true }])
    const second = run(this.chance(0.7) ? this.other : this.job, this.out, others)
    this.note(`${JSON.stringify(flags)} ${JSON.stringify(fate)}`, await first)
    this.note(`beside it ${JSON.stringify(others)}`, await second)
    if (Object.keys(fate).length > 0) kills++
    this.hold()
  }

  damage(): void {
    const partial = `${this.out}.partial`
    if (!existsSync(partial)) return
    const files = readdirSync(partial, { recursive: true, encoding: 'utf8' }).filter((name) =>
      statSync(join(partial, name)).isFile(),
    )
    if (files.length === 0) return
    const journal = files.filter((each) => each.startsWith('.'))
    const name = this.pick(journal.length > 0 && this.chance(0.25) ? journal : files)
    const path = join(partial, name)
    const bytes = readFileSync(path)
    const at = Math.floor(this.random() * bytes.length)
    const how = this.pick(['zeroed', 'noise', 'cut', 'deleted', 'longer'])
    this.log.push(`${how} at ${at}: ${name}`)
    if (how === 'zeroed')
      writeFileSync(path, bytes.fill(0, at, Math.min(bytes.length, at + 100_000)))
    if (how === 'noise') {
      const end = Math.min(bytes.length, at + 1 + Math.floor(this.random() * 50))
      writeFileSync(path, bytes.fill(this.pick(['x', '1', '}', '\n']), at, end))
    }
    if (how === 'cut') truncateSync(path, at)
    if (how === 'deleted') rmSync(path)
    if (how === 'longer') writeFileSync(path, Buffer.concat([bytes, bytes.subarray(at)]))
  }

  /** Refused, a run has changed nothing of what is there. */
  async wrongly(): Promise<void> {
    const partial = `${this.out}.partial`
    // What was killed while it was published is put in order by whoever comes next.
    const begun = ['', '.openllama.json', '.openllama.replaced']
    const published = begun.some((name) => existsSync(`${this.out}${name}`))
    const before = existsSync(partial) ? contentOf(partial) : undefined
    const ended = await run(this.other, this.out, { resume: true })
    this.note('wrong options {"resume":true}', ended)
    if (ended.code === 0) return
    refused++
    const after = existsSync(partial) ? contentOf(partial) : undefined
    const same = before === undefined ? after === undefined : after && areEqual(before, after)
    if (!same && !published) this.fail('a refused --resume has changed what was there')
  }

  async end(): Promise<void> {
    for (let tries = 0; tries < 3; tries++) {
      if (hasTiles(`${this.out}.partial`)) goneOn++
      const ended = await run(this.job, this.out, { resume: true })
      this.note('right options {"resume":true}', ended)
      const there = this.hold()
      if (ended.code === 0) {
        resumed++
        if (there !== this.job) this.fail('a run that succeeded has left another output')
        break
      }
      // It had arrived, or that of the other run, or that which was to be replaced.
      if (ended.code === 2 && there !== undefined && /exists already/.test(ended.stderr)) break
      // What was damaged beyond recognition is told, and removed by who is told.
      const told =
        (ended.code === 3 || ended.code === 2) &&
        /damaged|no conversion made|other options/.test(ended.stderr)
      if (!told || tries === 2) {
        this.fail(`it cannot be gone on from: ${ended.code} ${ended.stderr}`)
        break
      }
      rmSync(`${this.out}.partial`, { recursive: true, force: true })
    }
    const left = readdirSync(this.folder).filter(
      (name) => !/^out(\.gguf(\.openllama\.json)?)?$/.test(name),
    )
    const partial = `${basename(this.out)}.partial`
    if (left.some((name) => name !== partial && !name.includes('.openllama.lock.'))) {
      this.log.push(`left behind: ${left.join(' ')}`)
      this.fail('something was left behind')
    }
  }

  async tell(): Promise<void> {
    const over = this.chance(0.35)
    if (over) cpSync(this.other.made, this.folder, { recursive: true, preserveTimestamps: true })
    const flags: Flags = over ? { force: true } : {}
    if (this.chance(0.25)) await this.besides(flags)
    else await this.killed(flags)
    for (let again = 0; again < 2 && this.chance(0.35); again++) {
      if (this.chance(0.3)) this.damage()
      if (this.chance(0.3)) await this.wrongly()
      const next: Flags = this.chance(0.8) ? { resume: true } : { force: true }
      if (this.chance(0.2)) await this.besides(next)
      else await this.killed(next)
    }
    if (this.chance(0.4)) this.damage()
    if (this.chance(0.3)) await this.wrongly()
    await this.end()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Whether an unfinished output has tiles that need not be made again. */
function hasTiles(partial: string): boolean {
  const journal = join(partial, '.journal.jsonl')
  return existsSync(journal) && readFileSync(journal, 'utf8').includes('"done"')
}

function withoutJournal(content: Content): Content {
  const rest = new Map(content)
  // Killed in the moment after the rename: the next run, or its reader, makes nothing of it.
  rest.delete('.journal.jsonl')
  return rest
}

const jobs = await prepareJobs()
let story = 0
let told = 0
async function tellStories(): Promise<void> {
  while (kills < wanted) {
    const next = seeded(seed + 7919 * story++)
    const random = () => next() / 2 ** 32
    for (let i = 0; i < 8; i++) random()
    const job = jobs[Math.floor(random() * jobs.length)]
    const others = jobs.filter(
      (each) =>
        each !== job &&
        each.checked === job?.checked &&
        each.target.extension === job.target.extension &&
        each.target.options.dtype !== job.target.options.dtype,
    )
    const other = others[Math.floor(random() * others.length)]
    if (job === undefined || other === undefined) throw new Error('no jobs')
    await new Story(random, job, other).tell()
    if (++told % 25 === 0) console.log(`${kills} kills, ${wrong} wrong`)
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, tellStories))
const each = (performance.now() - seconds) / 1000 / Math.max(1, kills)
console.log(
  `${story} stories, ${resumed} ended by --resume (${goneOn} of what had tiles), ${refused} refusals changed nothing, ${each.toFixed(2)} s a kill`,
)
console.log(`kills: ${kills}, wrong outputs: ${wrong}`)
process.exitCode = wrong === 0 ? 0 : 1
