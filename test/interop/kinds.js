// What training software and users save, read by us: every tensor has the values it was saved with.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { convert, fixtures, openllama, report, temporary } from './session.js'

export function checkKinds([python, older], model) {
  const source = convert(model, join(temporary, model, 'kinds-of'), '--to', 'safetensors')
  const expected = JSON.parse(readFileSync(`${fixtures}/${model}/expected/tensors.json`, 'utf8'))
  for (const [name, interpreter] of [
    ['transformers 5', python],
    ['transformers 4', older],
  ]) {
    const out = join(temporary, model, name.replace(' ', '-'))
    for (const kind of save(interpreter, source, out)) {
      const wrong = differences(join(out, kind), expected)
      report(wrong.length === 0, `${model}: ${kind} by ${name} is read${wrong.join(', ')}`)
    }
  }
}

function save(python, source, out) {
  const { status, stdout, stderr } = spawnSync(
    python,
    ['test/interop/save_kinds.py', source, out],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`save_kinds.py ended with ${status}\n${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

/** Tensors that came out otherwise than they are expected, or why none did. */
function differences(folder, expected) {
  const out = `${folder}-f32`
  try {
    openllama(['convert', folder, '--to', 'safetensors', '--dtype', 'f32', '--out', out])
  } catch (error) {
    return [`: ${error.message}`]
  }
  const found = hashes(join(out, 'model.safetensors'))
  return Object.entries(expected)
    .filter(([name, { sha256_f32 }]) => found.get(name) !== sha256_f32)
    .map(([name]) => name)
}

function hashes(path) {
  const bytes = readFileSync(path)
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString())
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            data_offsets: [begin, end],
          },
        ]) => [
          name,
          createHash('sha256')
            .update(bytes.subarray(8 + length + begin, 8 + length + end))
            .digest('hex'),
        ],
      ),
  )
}
