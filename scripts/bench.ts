// Measures conversions of a release-size checkpoint against `cp` of the same bytes in the same run:
//   npm run bench [-- --preset llama_1b] [--rounds 3] [--dir DIR]
// Wall times of writes vary several-fold from minute to minute, so each round runs both, one after
// the other, and what is reported is the median of CPU seconds, of the ratio of wall times, and of
// peak memory. Needs some three times the checkpoint's size on disk.
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatTable } from '../src/cli/table.js'
import { formatBytes } from '../src/io/units.js'

const { values } = parseArgs({
  options: {
    preset: { type: 'string', default: 'llama_1b' },
    rounds: { type: 'string', default: '3' },
    dir: { type: 'string' },
  },
})
if (values.dir !== undefined) mkdirSync(values.dir, { recursive: true })
const folder = mkdtempSync(join(values.dir ?? tmpdir(), 'openllama-bench-'))
const source = join(folder, 'streaming_params')
const out = join(folder, 'out')

interface Measured {
  wall: number
  cpu: number
  /** Bytes; only of our own runs. */
  peak: number
}

try {
  run('npx', ['tsx', 'scripts/make-checkpoint.ts', values.preset, source])
  const copies: Measured[] = []
  const conversions: Measured[] = []
  for (let round = 0; round < Number(values.rounds); round++) {
    copies.push(measure('cp', [source, out]))
    rmSync(out)
    conversions.push(
      measureOurs([
        ...['convert', source, '--to', 'safetensors', '--dtype', 'f16', '--out', out],
        '--no-check',
      ]),
    )
    rmSync(out, { recursive: true })
  }
  const ratio = conversions.map(({ wall }, i) => wall / (copies[i]?.wall ?? Number.NaN))
  console.log(
    formatTable(
      [
        ['work', 'wall s', 'CPU s', 'wall / cp', 'peak'],
        ['cp', seconds(copies, 'wall'), seconds(copies, 'cpu'), '1', ''],
        [
          `EasyLM bf16 → safetensors f16`,
          seconds(conversions, 'wall'),
          seconds(conversions, 'cpu'),
          median(ratio).toFixed(2),
          formatBytes(median(conversions.map(({ peak }) => peak))),
        ],
      ],
      [1, 2, 3, 4],
    ),
  )
  console.log(
    `${values.preset}, ${formatBytes(statSync(source).size)}, median of ${values.rounds} rounds`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function seconds(runs: readonly Measured[], field: 'wall' | 'cpu'): string {
  return median(runs.map((each) => each[field])).toFixed(1)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** The shell's `times` tells what its children used. */
function measure(command: string, args: string[]): Measured {
  const start = performance.now()
  const { stdout, status, stderr } = spawnSync(
    'sh',
    ['-c', '"$@" >&2; times', 'sh', command, ...args],
    {
      encoding: 'utf8',
    },
  )
  const wall = (performance.now() - start) / 1000
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`)
  const [user = '', system = ''] = (stdout.trim().split('\n')[1] ?? '').split(' ')
  return { wall, cpu: shellSeconds(user) + shellSeconds(system), peak: 0 }
}

/** Our own peak memory: the process writes it down as it ends. */
function measureOurs(args: string[]): Measured {
  const hook = join(folder, 'peak.mjs')
  const noted = join(folder, 'peak')
  if (!existsSync(hook)) {
    writeFileSync(
      hook,
      `import { writeFileSync } from 'node:fs'
process.on('exit', () => writeFileSync(${JSON.stringify(noted)}, String(process.resourceUsage().maxRSS)))
`,
    )
  }
  const measured = measure(process.execPath, ['--import', hook, 'bin/run.js', ...args])
  return { ...measured, peak: Number(readFileSync(noted, 'utf8')) * 1024 }
}

/** `1m2.34s` in seconds. */
function shellSeconds(text: string): number {
  const match = /^(\d+)m([\d.]+)s$/.exec(text)
  return Number(match?.[1]) * 60 + Number(match?.[2])
}

function run(command: string, args: string[]): void {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
