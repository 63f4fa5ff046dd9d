// Every format that we write, read and run by its own software.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { check, convert, fixtures, openllama, report, temporary } from './session.js'

/** Converts a fixture to each format, and holds what comes of it against the fixture's own answers. */
export function checkFormats([python, older], model) {
  const config = `${fixtures}/${model}/config.json`
  const expected = `${fixtures}/${model}/expected`
  const folder = (name) => join(temporary, model, name)
  const to = (name, ...args) => convert(model, folder(name), ...args)
  const exact = [
    to('bf16', '--to', 'safetensors'),
    to('f32', '--to', 'safetensors', '--dtype', 'f32'),
    to('sharded', '--to', 'safetensors', '--max-shard-size', '500KB'),
  ]
  const onnx = {
    '1e-4': [to('onnx-f32', '--to', 'onnx', '--dtype', 'f32')],
    '2e-2': [to('onnx-f16', '--to', 'onnx', '--dtype', 'f16')],
    // Rounding to levels moves logits; the answers are what must stay.
    0.2: [to('onnx-q8', '--to', 'onnx', '--dtype', 'q8')],
    2: ['q4', 'q4f16'].map((dtype) => to(`onnx-${dtype}`, '--to', 'onnx', '--dtype', dtype)),
  }
  for (const [limit, folders] of Object.entries(onnx)) {
    check(python, 'check_onnx.py', limit, expected, ...folders)
  }
  const quantized = [...onnx[0.2], ...onnx[2]]
  check(python, 'check_onnx_quantized.py', ...onnx['1e-4'], ...quantized)
  check(
    python,
    'check_easylm.py',
    expected,
    config,
    join(to('easylm', '--to', 'easylm'), 'streaming_params'),
    join(to('easylm-f32', '--to', 'easylm', '--dtype', 'f32'), 'streaming_params'),
    join(to('flax', '--to', 'flax'), 'params.msgpack'),
  )
  check(
    python,
    'check_pytorch.py',
    expected,
    to('pytorch', '--to', 'pytorch'),
    to('pytorch-sharded', '--to', 'pytorch', '--dtype', 'f32', '--max-shard-size', '500KB'),
    to('meta', '--to', 'meta'),
    to('meta-2', '--to', 'meta', '--model-parallel', '2'),
  )
  const files = ['f32', 'f16', 'bf16', 'q8_0', 'q4_k_m', 'q2_k'].map((dtype) =>
    to(`${dtype}.gguf`, '--to', 'gguf', '--dtype', dtype),
  )
  check(python, 'check_gguf.py', ...files)
  checkParity(python, model, to)
  checkExport(older, folder('f32'), folder('optimum'))
  const rounded = [to('f16', '--to', 'safetensors', '--dtype', 'f16')]
  for (const each of [python, older]) {
    check(each, 'check_transformers.py', '1e-4', expected, ...exact)
    check(each, 'check_transformers.py', '2e-2', expected, ...rounded)
  }
}

/** The check's figures against transformers' logits: of a model that went through q4_0, in f32. */
function checkParity(python, model, to) {
  const coarse = to('coarse', '--to', 'gguf', '--dtype', 'q4_0')
  const artifact = join(temporary, model, 'coarse-f32')
  openllama(['convert', coarse, '--to', 'safetensors', '--dtype', 'f32', '--out', artifact])
  const source = join(temporary, model, 'f32')
  const corpus = 'CONTRIBUTING.md'
  const json = join(temporary, model, 'check.json')
  const args = ['check', artifact, '--against', source, '--corpus', corpus, '--json']
  // 4 where a limit is exceeded, as one may be: the figures are what is looked at.
  const { status, stdout, stderr } = spawnSync(process.execPath, ['bin/run.js', ...args], {
    encoding: 'utf8',
  })
  if (status !== 0 && status !== 4) throw new Error(`check ended with ${status}\n${stderr}`)
  writeFileSync(json, stdout)
  check(python, 'check_parity.py', json, artifact, source, corpus)
}

/** A graph that optimum made of our weights runs as it is, holds the same tensors, and converts. */
function checkExport(python, source, graph) {
  check(python, 'export_optimum.py', source, graph)
  const again = `${graph}-again`
  for (const args of [
    ['check', graph, '--against', source],
    ['diff', graph, source],
    ['convert', graph, '--to', 'safetensors', '--out', again],
    ['diff', again, source],
  ]) {
    openllama(args)
    report(true, `optimum's graph: openllama ${args[0]}`)
  }
}
