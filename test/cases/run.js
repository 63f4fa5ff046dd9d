// Runs the cases from public reports and holds them against what their `# expect` lines say:
//   npm run test:cases [-- PATTERN]
// with a regular expression for the names. Needs the cases beside the project, bash and Python 3.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expectations } from './expectations.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const folder = join(root, '..', 'shared', 'cases')
/** A case that hangs is cut off; the longest takes some 15 s. */
const limitSeconds = 180
const atOnce = 2

const lacking = [
  existsSync(folder) ? undefined : '../shared/cases',
  ...['bash', 'python3'].filter((tool) => spawnSync(tool, ['--version']).status !== 0),
].filter((each) => each !== undefined)

if (lacking.length > 0)
  console.log(`skipped: ${lacking.join(', ')} not there: the cases from reports`)
else await runAll(new RegExp(process.argv[2] ?? ''))

async function runAll(pattern) {
  const there = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'run.sh')))
  const names = [...new Set([...there, ...Object.keys(expectations)])]
  const queue = names.filter((name) => pattern.test(name)).sort()
  const counts = { passed: 0, failed: 0 }
  await Promise.all(Array.from({ length: atOnce }, work))
  console.log(`${counts.passed} passed, ${counts.failed} failed`)
  process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1

  async function work() {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const output = there.includes(name) ? await run(name) : ''
      const faults = faultsOf(name, output)
      counts[faults.length === 0 ? 'passed' : 'failed'] += 1
      console.log(`${faults.length === 0 ? 'passed' : 'FAILED'} ${name}`)
      if (faults.length > 0) console.log(indented([...faults, output.trim()].join('\n')))
    }
  }
}

/** Both streams of a case, as its script puts them together. */
function run(name) {
  return new Promise((resolve) => {
    const child = spawn('bash', [join(folder, name, 'run.sh')], {
      env: { ...process.env, OL: `node ${join(root, 'bin', 'run.js')}`, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: limitSeconds * 1000,
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        output += chunk
      })
    }
    child.on('close', () => resolve(output))
  })
}

/** What a case does that it should not, a line each. */
function faultsOf(name, output) {
  const expected = expectations[name]
  if (expected === undefined) return ['there is no expectation of it in expectations.js']
  // Every run starts with the command that it shows.
  const runs = output.split(/^\$ openllama /m).slice(1)
  if (runs.length !== expected.length) {
    return [`${expected.length} runs are expected, there are ${runs.length}`]
  }
  return expected.flatMap((ways, i) => {
    const faults = ways.map((way) => faultsOfRun(way, runs[i]))
    if (faults.some((each) => each.length === 0)) return []
    return faults.flatMap((each, way) =>
      each.map((fault) => `run ${i + 1}, way ${way + 1}: ${fault}`),
    )
  })
}

function faultsOfRun({ exit, says = [], never = [] }, text) {
  const faults = []
  const code = Number(/^exit (\d+)$/m.exec(text)?.[1] ?? Number.NaN)
  // What was asked is no part of the answer.
  const answer = text.slice(text.indexOf('\n') + 1)
  if (![exit].flat().includes(code))
    faults.push(`it ends with ${code}, not ${[exit].flat().join(' or ')}`)
  for (const pattern of says) if (!pattern.test(answer)) faults.push(`it does not say ${pattern}`)
  for (const pattern of never) if (pattern.test(answer)) faults.push(`it says ${pattern}`)
  return faults
}

function indented(text) {
  return text.replace(/^/gm, '    ')
}
