// Compiles the kernels to WebAssembly and src/ to dist/; with --tests, src/ and test/ to build/ too.
// What was built from the files as they are is not built again: several scripts begin with it.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

const kernels = 'dist/kernels/kernels.wasm'
const tests = process.argv.includes('--tests')

/** What two builds are made of, and make; that with the tests makes the program too. */
const configs = readdirSync('.').filter((name) => /^(tsconfig.*|package-lock)\.json$/.test(name))
const program = ['src', 'scripts/build.js', 'package.json', ...configs, 'dist']
const builds = tests ? { tests: [...program, 'test', 'build'], program } : { program }
const stamps = join('node_modules', '.cache', 'openllama')
const [wanted] = Object.keys(builds)
if (isBuilt(wanted)) process.exit(0)

rmSync('dist', { recursive: true, force: true })
if (tests) rmSync('build', { recursive: true, force: true })

run(
  'asc',
  'src/kernels/assembly/index.ts',
  '--outFile',
  kernels,
  '--runtime',
  'stub',
  '-O3',
  '--noAssert',
  '--enable',
  'simd',
  '--enable',
  'bulk-memory',
  // "Exported function uses a v128": true of helpers between files, never of what leaves the module.
  '--disableWarning',
  '112',
)
run('tsc', '-p', 'tsconfig.build.json')
if (tests) {
  run('tsc', '-p', 'tsconfig.test.json')
  const copy = 'build/src/kernels/kernels.wasm'
  mkdirSync(dirname(copy), { recursive: true })
  copyFileSync(kernels, copy)
  copyFileSync('package.json', 'build/package.json')
}

mkdirSync(stamps, { recursive: true })
for (const name of Object.keys(builds)) writeFileSync(join(stamps, name), stateOf(name))

function isBuilt(name) {
  const stamp = join(stamps, name)
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === stateOf(name)
}

/** Names, sizes and times of all files that say whether anything has changed. */
function stateOf(name) {
  const hash = createHash('sha256')
  for (const path of builds[name].flatMap(filesIn)) {
    const { size, mtimeMs } = statSync(path)
    hash.update(`${path} ${size} ${mtimeMs}\n`)
  }
  return hash.digest('hex')
}

function filesIn(path) {
  if (!existsSync(path)) return []
  if (!statSync(path).isDirectory()) return [path]
  const entries = readdirSync(path, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, path: before, name }) => join(parentPath ?? before, name))
    .sort()
}

function run(command, ...args) {
  const { status } = spawnSync(join('node_modules', '.bin', command), args, {
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (status !== 0) process.exit(status ?? 1)
}
