// Measures conversions of a release-size checkpoint, in turns with `cp` of the same bytes and with
// the programs that users have today:
//   npm run bench [-- --preset llama_1b] [--rounds 3] [--dir DIR]
//                 [--converter convert_hf_to_gguf.py] [--python python3]
// llama.cpp's quantizer is the one that node-llama-cpp brings; its converter runs where --converter
// names it. Neither of them hashes or checks anything, so our own runs do not either; the first row
// of ours is given both ways. Wall times of writes vary several-fold from minute to minute: reported
// are the medians of CPU seconds, of the wall time over that of `cp` in the same round, and of peak
// memory. Needs some four times the checkpoint's size on disk.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
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
    converter: { type: 'string' },
    python: { type: 'string', default: 'python3' },
  },
})
if (values.dir !== undefined) mkdirSync(values.dir, { recursive: true })
const folder = mkdtempSync(join(values.dir ?? tmpdir(), 'openllama-bench-'))
const source = join(folder, 'streaming_params')
const hf = join(folder, 'hf')
const gguf = join(folder, 'f16.gguf')
const out = join(folder, 'out.gguf')

interface Measured {
  wall: number
  cpu: number
  /** Bytes; of Node.js programs only. */
  peak: number
}

interface Work {
  name: string
  run(): Measured
}

const bare = ['--no-check']
const works: Work[] = [
  { name: 'cp', run: () => measure('cp', [source, out]) },
  {
    name: 'EasyLM bf16 → safetensors f16, with SHA-256 of both',
    run: () => ours(source, 'safetensors', 'f16', ['--no-check', '--sha256']),
  },
  {
    name: 'EasyLM bf16 → safetensors f16',
    run: () => ours(source, 'safetensors', 'f16', bare),
  },
  { name: 'HF f16 → GGUF f16', run: () => ours(hf, 'gguf', 'f16', bare) },
  ...converters(),
  { name: 'EasyLM bf16 → GGUF q4_k_m', run: () => ours(source, 'gguf', 'q4_k_m', bare) },
  {
    name: 'llama.cpp: GGUF f16 → q4_k_m',
    run: () => measureNode(['--import', 'tsx', 'scripts/llama-quantize.ts', gguf, out]),
  },
]

function converters(): Work[] {
  const { converter, python } = values
  if (converter === undefined) return []
  const args = [converter, hf, '--outtype', 'f16', '--outfile', out]
  return [{ name: 'llama.cpp: HF f16 → GGUF f16', run: () => measure(python, args) }]
}

try {
  run('npx', ['tsx', 'scripts/make-checkpoint.ts', values.preset, source])
  // llama.cpp's converter wants a tokenizer; any will do.
  const tokenizer = ['--tokenizer', 'test/fixtures/tiny-v2/easylm/tokenizer.model']
  run('node', [
    'bin/run.js',
    ...conversion(source, 'safetensors', 'f16', hf),
    ...tokenizer,
    '--no-check',
  ])
  run('node', ['bin/run.js', ...conversion(hf, 'gguf', 'f16', gguf), '--no-check'])
  const runs = works.map((): Measured[] => [])
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [i, work] of works.entries()) {
      runs[i]?.push(work.run())
      for (const path of [out, `${out}.openllama.json`])
        rmSync(path, { recursive: true, force: true })
    }
  }
  console.log(
    formatTable(
      [
        ['work', 'wall s', 'CPU s', 'wall / cp', 'peak'],
        ...works.map(({ name }, i) => row(name, runs[i] ?? [], runs[0] ?? [])),
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

function row(name: string, runs: readonly Measured[], copies: readonly Measured[]): string[] {
  const ratios = runs.map(({ wall }, i) => wall / (copies[i]?.wall ?? Number.NaN))
  const peak = median(runs.map((each) => each.peak))
  return [
    name,
    median(runs.map(({ wall }) => wall)).toFixed(1),
    median(runs.map(({ cpu }) => cpu)).toFixed(1),
    median(ratios).toFixed(2),
    peak === 0 ? '' : formatBytes(peak),
  ]
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

function conversion(from: string, to: string, dtype: string, path: string): string[] {
  return ['convert', from, '--to', to, '--dtype', dtype, '--out', path]
}

function ours(from: string, to: string, dtype: string, flags: string[]): Measured {
  return measureNode(['bin/run.js', ...conversion(from, to, dtype, out), ...flags])
}

/** The shell's `times` tells what its children used. */
function measure(command: string, args: string[]): Measured {
  const start = performance.now()
  const { stdout, status, stderr } = spawnSync(
    'sh',
    ['-c', '"$@" >&2; code=$?; times; exit $code', 'sh', command, ...args],
    { encoding: 'utf8', maxBuffer: 2 ** 26 },
  )
  const wall = (performance.now() - start) / 1000
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`)
  const [user = '', system = ''] = (stdout.trim().split('\n')[1] ?? '').split(' ')
  return { wall, cpu: shellSeconds(user) + shellSeconds(system), peak: 0 }
}

/** A Node.js program writes its peak memory down as it ends. */
function measureNode(args: string[]): Measured {
  const hook = join(folder, 'peak.mjs')
  const noted = join(folder, 'peak')
  writeFileSync(
    hook,
    `import { writeFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
if (isMainThread) process.on('exit', () =>
  writeFileSync(${JSON.stringify(noted)}, String(process.resourceUsage().maxRSS)))
`,
  )
  const measured = measure(process.execPath, ['--import', hook, ...args])
  return { ...measured, peak: Number(readFileSync(noted, 'utf8')) * 1024 }
}

/** `1m2.34s` in seconds. */
function shellSeconds(text: string): number {
  const match = /^(\d+)m([\d.]+)s$/.exec(text)
  return Number(match?.[1]) * 60 + Number(match?.[2])
}

function run(command: string, args: string[]): void {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}`)
}
