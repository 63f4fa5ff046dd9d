// Compiles the kernels to WebAssembly and src/ to dist/; with --tests, src/ and test/ to build/ too.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'

const kernels = 'dist/kernels/kernels.wasm'
const tests = process.argv.includes('--tests')

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

function run(command, ...args) {
  const { status } = spawnSync(join('node_modules', '.bin', command), args, {
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (status !== 0) process.exit(status ?? 1)
}
