// Runs the built tests, each file in a process of its own, some at a time:
//   node scripts/test.js [PATTERN]
// with a regular expression for the files. Ends with the sums over all files, as uvu prints them.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const folder = join('build', 'test')
const pattern = new RegExp(process.argv[2] ?? '')
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.js') && pattern.test(name))
  .sort()
// What takes long comes first: at the end one long file would leave the other cores idle.
const long = ['commands', 'convert', 'check', 'hub', 'formats']
const rank = (name) => (long.indexOf(name.split(/[\\/]/)[0]) + long.length + 1) % (long.length + 1)
const queue = files.sort((a, b) => rank(a) - rank(b))

const start = performance.now()
const sums = { Total: 0, Passed: 0, Skipped: 0 }
const broken = []
// Two more than there are cores: some tests wait, for faults that take their time.
const threads = availableParallelism() + 2
await Promise.all(Array.from({ length: threads }, () => work()))

console.log()
for (const [name, sum] of Object.entries(sums)) console.log(`  ${`${name}:`.padEnd(10)} ${sum}`)
console.log(`  Duration:  ${Math.round(performance.now() - start)}ms`)
for (const name of broken) console.log(`FAILED: ${name}`)
process.exitCode = broken.length === 0 && sums.Total > 0 ? 0 : 1

async function work() {
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const began = performance.now()
    const { code, output } = await run(name)
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    console.log(`${name} (${seconds} s)\n${output.trim()}\n`)
    const counts = Object.keys(sums).map((key) => countOf(output, key))
    for (const [i, key] of Object.keys(sums).entries()) sums[key] += counts[i]
    // A file that runs no test has forgotten its .run(), unless it says what it lacks.
    const excused = /^\s*skipped[,:]/im.test(output)
    if (code !== 0 || (counts[0] === 0 && !excused)) broken.push(name)
  }
}

/** What uvu counted; colours stand around the numbers. */
function countOf(output, key) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are control characters
  const plain = output.replace(/\x1b\[\d+m/g, '')
  return Number(new RegExp(`^ *${key}: *(\\d+)`, 'm').exec(plain)?.[1] ?? 0)
}

function run(name) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(folder, name)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += chunk
    })
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    child.on('close', (code) => resolve({ code, output }))
  })
}
