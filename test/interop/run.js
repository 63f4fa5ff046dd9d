// The live cross-checks: our output in the formats' own software. Needs Python 3; its packages are
// installed on first use. Prints a line a check, and fails if any does.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pythonWithTransformers4, pythonWithTransformers5 } from './python.js'

const fixtures = 'test/fixtures'
const models = ['tiny-v1', 'tiny-v2']
const temporary = mkdtempSync(join(tmpdir(), 'openllama-interop-'))
let passed = 0
let failed = 0

try {
  const pythons = [pythonWithTransformers5(), pythonWithTransformers4()]
  for (const model of models) {
    const source = `${fixtures}/${model}/easylm/streaming_params_bf16`
    const config = `${fixtures}/${model}/config.json`
    const folder = (name) => join(temporary, model, name)
    const to = (name, ...args) => {
      openllama('convert', source, '--config', config, '--out', folder(name), ...args)
      return folder(name)
    }
    const exact = [
      to('bf16', '--to', 'safetensors'),
      to('f32', '--to', 'safetensors', '--dtype', 'f32'),
      to('sharded', '--to', 'safetensors', '--max-shard-size', '500KB'),
    ]
    const onnx = {
      '1e-4': [to('onnx-f32', '--to', 'onnx', '--dtype', 'f32')],
      '2e-2': [to('onnx-f16', '--to', 'onnx', '--dtype', 'f16')],
    }
    for (const [limit, folders] of Object.entries(onnx)) {
      check(pythons[0], 'check_onnx.py', limit, `${fixtures}/${model}/expected`, ...folders)
    }
    const rounded = [to('f16', '--to', 'safetensors', '--dtype', 'f16')]
    for (const python of pythons) {
      check(python, 'check_transformers.py', '1e-4', `${fixtures}/${model}/expected`, ...exact)
      check(python, 'check_transformers.py', '2e-2', `${fixtures}/${model}/expected`, ...rounded)
    }
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
console.log(`interop: ${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function openllama(...args) {
  const { status, stderr } = spawnSync(process.execPath, ['bin/run.js', ...args], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`openllama ${args.join(' ')} ended with ${status}\n${stderr}`)
}

/** A script prints `ok …` or `FAILED …` for each of its checks. */
function check(python, script, ...args) {
  const { status, stdout, stderr } = spawnSync(python, [join('test/interop', script), ...args], {
    encoding: 'utf8',
    env: { ...process.env, HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false' },
  })
  process.stdout.write(stdout)
  const lines = stdout.split('\n')
  passed += lines.filter((line) => line.startsWith('ok ')).length
  const failures = lines.filter((line) => line.startsWith('FAILED ')).length
  failed += failures
  if (status !== 0 && failures === 0) {
    failed++
    console.log(`FAILED ${script} ${args.join(' ')}: exit ${status}\n${stderr}`)
  }
}
