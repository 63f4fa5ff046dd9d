import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { basename, join, relative } from 'node:path'
import { publishTiny, startSession, token } from '../support/hub/session.js'
import { tempDir } from '../support/temp.js'
import { type Ended, openllama } from './in-process.js'
import { callsOf, disarm, type Injection, type Kind, kinds, startCounting } from './inject.js'
import { hubScenarios, type Scenario, scenarios } from './scenarios.js'

// The process that runs the commands, one trial at a time: see errors.ts.

export interface Outcome {
  scenario: string
  /** The error and the call. */
  what: string
  /** The call was made. */
  hit: boolean
  code: number
  seconds: number
  faults: string[]
  said: string
}

/** Hashes of all files below a folder, by their paths. */
type Files = Map<string, string>

/** What a scenario does where nothing goes wrong. */
interface Known {
  template: string
  before: Files
  clean: Files
  code: number
  counts: ReadonlyMap<Kind, number>
}

const errors: Record<Kind, readonly string[]> = {
  open: ['EIO', 'ENOSPC', 'EDQUOT', 'EACCES', 'ENOMEM', 'EMFILE', 'EROFS'],
  read: ['EIO', 'ENOMEM', 'ESTALE', 'short'],
  write: ['ENOSPC', 'EIO', 'EDQUOT', 'short'],
  fsync: ['EIO', 'ENOSPC', 'EDQUOT'],
  rename: ['EBUSY', 'EACCES', 'EIO', 'ENOSPC', 'EXDEV'],
  unlink: ['EBUSY', 'EACCES', 'EIO'],
  mkdir: ['ENOSPC', 'EACCES', 'EDQUOT', 'EROFS'],
  truncate: ['ENOSPC', 'EFBIG', 'EIO'],
  stat: ['EIO', 'EACCES', 'ENOMEM'],
  readdir: ['EIO', 'EACCES', 'ENOMEM'],
  copy: ['ENOSPC', 'EIO', 'EACCES'],
  link: ['EACCES', 'ENOSPC', 'EIO'],
}

const folder = join(tempDir(), 'work')
const templates = tempDir()
const log = join(tempDir(), 'log')
const session = await startSession()
await publishTiny(session.hub)
const all = [
  ...scenarios,
  ...hubScenarios((at) => ({
    ...session.env,
    HF_HUB_DOWNLOAD_TIMEOUT: '5',
    HF_HOME: join(at, 'home'),
    HF_HUB_CACHE: join(at, 'home', 'hub'),
    HF_TOKEN: token,
  })),
]
const known = new Map<Scenario, Known>()

process.on('message', ({ number }: { number: number }) => {
  void tryOne(number).then((outcome) => process.send?.(outcome))
})
process.on('disconnect', () => process.exit())
process.send?.('ready')

async function tryOne(number: number): Promise<Outcome> {
  const random = generator(number)
  const scenario = draw(random)
  const facts = known.get(scenario) ?? (await learn(scenario))
  known.set(scenario, facts)
  const there = kinds.filter((kind) => (facts.counts.get(kind) ?? 0) > 0)
  const kind = there[Math.floor(random() * there.length)] ?? 'open'
  const choices = errors[kind]
  const error = choices[Math.floor(random() * choices.length)] ?? 'EIO'
  const nth = 1 + Math.floor(random() * (facts.counts.get(kind) ?? 1))
  const lasting = error !== 'short' && random() < 0.3
  const injection: Injection = { root: folder, kind, nth, error, lasting, log }
  const what = `trial ${number}: ${kind} ${nth} of ${facts.counts.get(kind)}${lasting ? ' and all after' : ''}`
  await restore(scenario, facts)
  rmSync(log, { force: true })
  const start = performance.now()
  const ended = await run(scenario, scenario.args(folder), injection)
  const seconds = (performance.now() - start) / 1000
  const hit = existsSync(log)
  const faults = hit ? judge(scenario, facts, ended) : []
  if (hit && ended.code !== 0)
    faults.push(...(await goOn(scenario, facts, ended, random() < 0.3, injection)))
  return {
    scenario: scenario.name,
    what: hit ? `${what}, ${readFileSync(log, 'utf8').replace(folder, '')}` : what,
    hit,
    code: ended.code,
    seconds,
    faults,
    said: faults.length > 0 ? `${ended.code}: ${ended.stderr}`.slice(0, 1500) : '',
  }
}

async function learn(scenario: Scenario): Promise<Known> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  await scenario.prepare(folder)
  const template = join(templates, String(known.size))
  cpSync(folder, template, { recursive: true, preserveTimestamps: true })
  const before = filesIn(folder, scenario)
  startCounting(folder)
  const { code, stderr } = await openllama(scenario.args(folder), {
    env: scenario.env?.(folder) ?? {},
    counting: true,
  })
  const counts = new Map(callsOf())
  disarm()
  if (code !== 0) throw new Error(`${scenario.name} ends with ${code}\n${stderr}`)
  return { template, before, clean: filesIn(folder, scenario), code, counts }
}

function run(scenario: Scenario, args: readonly string[], injection?: Injection): Promise<Ended> {
  return openllama(args, {
    ...(injection ? { injection } : {}),
    env: scenario.env?.(folder) ?? {},
  })
}

async function restore(scenario: Scenario, { template }: Known): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  if (!scenario.fresh)
    return cpSync(template, folder, { recursive: true, preserveTimestamps: true })
  mkdirSync(folder)
  await scenario.prepare(folder)
}

/** The next run is another process, to which the lock of one that has ended is nobody's. */
function dropLocks(): void {
  // A cache has its own below it.
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (name.includes('.openllama.lock')) rmSync(join(folder, name), { force: true })
  }
}

/** Temporary files that no later run has the names of. */
const ownName = /\.[0-9a-f]{8}\.(partial|before)$/

const leftovers = ['out.openllama.replaced', 'out.gguf.openllama.replaced', 'out.gguf.partial']

/** What is wrong after a run into which an error came. */
function judge(scenario: Scenario, { before, clean }: Known, { code, stderr }: Ended): string[] {
  const faults: string[] = []
  if (![0, 3, 6].includes(code)) faults.push(`it ended with ${code}`)
  if (/\n\s+at .*:\d+/.test(stderr)) faults.push('a stack trace')
  if (code !== 0 && !/^error: ./m.test(stderr)) faults.push('no sentence')
  const after = filesIn(folder, scenario)
  // What is kept or left for want of a permission is named.
  const said = (path: string) =>
    after.has(path) &&
    ((ownName.test(path) && stderr.includes(basename(path))) ||
      [path, ...leftovers].some((name) => path.startsWith(name) && stderr.includes(name)))
  let old = 0
  let made = 0
  for (const path of new Set([...before.keys(), ...clean.keys(), ...after.keys()])) {
    const now = after.get(path)
    if (before.get(path) === clean.get(path) && now === before.get(path)) continue
    if (code !== 0 && scenario.scratch?.test(path)) continue
    if (/\.openllama\.lock/.test(path) || (!before.has(path) && !clean.has(path) && said(path)))
      continue
    // Moved aside, and said where.
    const aside = path.replace(/^(out(\.gguf)?)/, '$1.openllama.replaced')
    if (now === undefined && after.get(aside) === before.get(path) && said(aside)) continue
    // What is where it should not be, and said to be.
    if (code !== 0 && stderr.includes('could not be moved back') && stderr.includes(path)) continue
    // A check that cannot be made is said, and leaves the record without it.
    if (code === 0 && stderr.includes('it is not checked') && path.endsWith('openllama.json'))
      continue
    if (now === clean.get(path)) made++
    else if (now === before.get(path)) old++
    else faults.push(`${path} is ${now === undefined ? 'gone' : 'neither old nor new'}`)
  }
  if (code === 0 && old > 0) faults.push(`it ended with 0, and ${old} files are not written`)
  const isPending = [...after.keys()].some((path) => scenario.undo?.test(path))
  if (isPending && code !== 0) {
    return /^ {2}Undo it with: openllama/m.test(stderr) ? faults : [...faults, 'undo what, unsaid']
  }
  if (scenario.together && old > 0 && made > 0) faults.push(`${made} files are new, ${old} old`)
  if (code !== 0 && scenario.together && made > 0 && old === 0 && !/whole|complete/.test(stderr)) {
    faults.push('the new output is there, unsaid')
  }
  return faults
}

/** The next run, which must bring what the first was to bring; perhaps after one more error. */
async function goOn(
  scenario: Scenario,
  { clean }: Known,
  first: Ended,
  again: boolean,
  injection: Injection,
): Promise<string[]> {
  const next = () => (scenario.again ?? scenario.args)(folder)
  const faults: string[] = []
  let said = first.stderr
  dropLocks()
  if (again) {
    const { code, stderr } = await run(scenario, next(), injection)
    said += stderr
    dropLocks()
    if (![0, 2, 3, 6].includes(code)) faults.push(`the second run ended with ${code}`)
  }
  const { code, stderr } = await run(scenario, next())
  if (code !== 0) {
    return [...faults, `the next run ended with ${code}: ${stderr.slice(0, 400)}`]
  }
  const after = filesIn(folder, scenario)
  for (const path of new Set([...clean.keys(), ...after.keys()])) {
    if (after.get(path) === clean.get(path)) continue
    // A temporary file of a name of its own, which could not be removed: no later run knows it.
    if (ownName.test(path) && said.includes(basename(path))) continue
    faults.push(
      `after the next run ${path} is ${after.has(path) ? 'another or too many' : 'missing'}`,
    )
  }
  return faults
}

function filesIn(root: string, { ignored }: Scenario): Files {
  const files: Files = new Map()
  for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    const path = join(root, name)
    if (!statSync(path).isFile() || ignored?.test(name)) continue
    files.set(relative(root, path), createHash('sha256').update(readFileSync(path)).digest('hex'))
  }
  return files
}

function draw(random: () => number): Scenario {
  let left = random() * all.reduce((sum, { weight }) => sum + weight, 0)
  for (const scenario of all) {
    left -= scenario.weight
    if (left <= 0) return scenario
  }
  throw new Error('there are no scenarios')
}

/** The same numbers for the same seed: Mulberry32, whose neighbouring seeds have nothing in common. */
function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
