// Rotary scalings of odd constants, and a sliding window: the same model in transformers, in our ONNX
// graph, and in llama.cpp, over a text that goes beyond the original context and the window. With a
// regular expression behind `rope`, those cases that match.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { largestDifference, llamaLogits } from './llama.js'
import { check, fixtures, openllama, report, temporary } from './session.js'

/** Seeded, so that every run has the same constants. */
const random = seeded(7)
const factors = () => Array.from({ length: 16 }, (_, i) => round(1 + i * random()))

const yarn = { rope_type: 'yarn', factor: 3.7, original_max_position_embeddings: 56 }
const longrope = () => ({
  rope_type: 'longrope',
  short_factor: factors(),
  long_factor: factors(),
  original_max_position_embeddings: 72,
})

/** Fields of config.json; llama.cpp does not run those that GGUF cannot say. */
const cases = {
  linear: { rope_scaling: { rope_type: 'linear', factor: 2.3 } },
  dynamic: {
    max_position_embeddings: 90,
    rope_scaling: { rope_type: 'dynamic', factor: 2.7 },
    lost: true,
  },
  yarn: { rope_scaling: yarn },
  'yarn-old': { rope_scaling: { type: 'yarn', factor: 2.1 }, max_position_embeddings: 200 },
  'yarn-attention': { rope_scaling: { ...yarn, attention_factor: 0.83 } },
  'yarn-mscale': { rope_scaling: { ...yarn, mscale: 1.21, mscale_all_dim: 0.64 } },
  'yarn-betas': { rope_scaling: { ...yarn, beta_fast: 7, beta_slow: 0.6 } },
  'yarn-no-truncation': {
    rope_scaling: { ...yarn, truncate: false, attention_factor: 1.4 },
    rope_theta: 770,
  },
  longrope: { rope_scaling: { ...longrope(), factor: 3.1 } },
  'longrope-ratio': { rope_scaling: longrope(), rope_theta: 3000 },
  'longrope-attention': { rope_scaling: { ...longrope(), attention_factor: 1.09 } },
  llama3: {
    rope_scaling: {
      rope_type: 'llama3',
      factor: 6.3,
      low_freq_factor: 1.3,
      high_freq_factor: 3.9,
      original_max_position_embeddings: 61,
    },
  },
  // Where version 5 has the base: in the scaling, and beside nothing.
  'theta-inside': { rope_theta: undefined, rope_scaling: { ...yarn, rope_theta: 650 } },
  parameters: { rope_theta: undefined, rope_parameters: { ...yarn, rope_theta: 1234.5 } },
  'parameters-plain': {
    rope_theta: undefined,
    rope_parameters: { rope_type: 'default', rope_theta: 777 },
  },
  window: {
    architectures: ['MistralForCausalLM'],
    model_type: 'mistral',
    sliding_window: 37,
    lost: true,
  },
}

const model = 'tiny-v2'
const positions = 160

export async function checkRope(pythons) {
  const root = join(temporary, 'rope')
  mkdirSync(root, { recursive: true })
  const ids = [1, ...Array.from({ length: positions - 1 }, () => 3 + Math.floor(509 * random()))]
  writeFileSync(join(root, 'ids.json'), JSON.stringify(ids))
  const { rope_parameters: _, ...sizes } = JSON.parse(
    readFileSync(join(fixtures, model, 'config.json'), 'utf8'),
  )
  const folders = []
  const only = new RegExp(process.argv[3] ?? '')
  for (const [name, { lost, ...fields }] of Object.entries(cases)) {
    if (!only.test(name)) continue
    const folder = join(root, name)
    mkdirSync(folder)
    const config = join(folder, 'given.json')
    writeFileSync(config, JSON.stringify({ ...sizes, rope_theta: 10000, ...fields }))
    const source = `${fixtures}/${model}/easylm/streaming_params_bf16`
    const to = (format, out) => {
      const args = ['--config', config, '--to', format, '--dtype', 'f32']
      openllama(['convert', source, '--out', join(folder, out), ...args])
    }
    to('safetensors', 'hf')
    to('onnx', 'onnx')
    if (!lost) to('gguf', 'model.gguf')
    folders.push(folder)
  }
  // The last to write logits is the one that decides.
  for (const python of pythons.toReversed()) check(python, 'check_rope.py', '1e-4', ...folders)
  for (const folder of folders) {
    const name = folder.slice(root.length + 1)
    if (!cases[name].lost) await checkLlama(name, folder, ids)
  }
}

async function checkLlama(name, folder, ids) {
  const { rows, vocabulary } = await llamaLogits(join(folder, 'model.gguf'), [ids])
  const file = readFileSync(join(folder, 'logits.safetensors'))
  const begin = 8 + Number(file.readBigUInt64LE(0))
  const theirs = new Float32Array(file.buffer.slice(file.byteOffset + begin))
  const worst = largestDifference(rows[0], theirs, vocabulary)
  report(worst < 1e-3, `llama.cpp ${name}: logits within ${worst.toExponential(1)}`)
}

function round(value) {
  return Number(value.toFixed(3))
}

function seeded(seed) {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
