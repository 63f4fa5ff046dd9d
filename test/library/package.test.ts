import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fixture, root } from '../support/paths.js'
import { tempDir } from '../support/temp.js'
import { modelPath } from '../support/tokenizers.js'

// What users get: the packed package, in a project of its own. Its dependencies are links to those
// that are here, since installing them anew takes minutes and the network.

const test = suite('package')

/** An empty project with the package installed, and a checkpoint. */
function project(): string {
  const folder = tempDir()
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'openllama'), { recursive: true })
  const [packed] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  )
  execFileSync('tar', [
    'xzf',
    join(folder, packed.filename),
    '-C',
    join(modules, 'openllama'),
    '--strip-components=1',
  ])
  for (const name of readdirSync(join(root, 'node_modules'))) {
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  copyFileSync(
    fixture('tiny-v2', 'easylm', 'streaming_params_bf16'),
    join(folder, 'streaming_params'),
  )
  copyFileSync(fixture('tiny-v2', 'config.json'), join(folder, 'config.json'))
  copyFileSync(modelPath('tiny-v2'), join(folder, 'tokenizer.model'))
  return folder
}

/** The programs of docs/library.md, in their order. */
const programs = [
  ...readFileSync(join(root, 'docs', 'library.md'), 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm),
].map(([, program = '']) => program)

const folder = project()

test('tsc --strict takes its types in programs, and in the declarations themselves', () => {
  for (const [i, program] of programs.entries()) {
    writeFileSync(join(folder, `program${i}.ts`), program)
  }
  const compiler = join(root, 'node_modules', '.bin', 'tsc')
  const flags = ['--strict', '--module', 'nodenext', '--target', 'es2022', '--types', 'node']
  const files = programs.map((_, i) => `program${i}.ts`)
  const { status, stdout } = spawnSync(compiler, [...flags, ...files], {
    cwd: folder,
    encoding: 'utf8',
  })
  assert.is(status, 0, stdout)
})

test('a program of ten lines converts and checks the demo’s checkpoint', () => {
  const [program = ''] = programs
  const lines = program.split('\n').filter((line) => line !== '')
  assert.ok(lines.length <= 10, `${lines.length} lines`)
  assert.match(run(0), /^model\.safetensors, config\.json, .*tokenizer\.json.* passed\n$/)
})

test('the other programs of docs/library.md run', () => {
  for (let i = 1; i < programs.length; i++) assert.ok(run(i).length > 0)
})

/** Runs a compiled program: it prints nothing but what it prints itself. */
function run(i: number): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`program${i}.js`], {
    cwd: folder,
    encoding: 'utf8',
  })
  assert.is(status, 0, stderr)
  assert.is(stderr, '')
  return stdout
}

test.run()
