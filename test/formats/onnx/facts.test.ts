import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { type NodeProto, NodeProtoSchema, TensorProto_DataType, TensorProtoSchema } from 'onnx-buf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkArtifact } from '../../../src/check/check.js'
import { checkConversion } from '../../../src/check/conversion.js'
import { graphDisagreements, thetaOf } from '../../../src/checkpoint/graph-facts.js'
import { runConversion } from '../../../src/convert/convert.js'
import { graphFacts } from '../../../src/formats/onnx/facts.js'
import type { Initializer } from '../../../src/formats/onnx/file.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { openRunnable } from '../../../src/open/runnable.js'
import { prepare, runOptions } from '../../support/conversion.js'
import { convert } from '../../support/convert.js'
import { fails } from '../../support/errors.js'
import { fixture } from '../../support/paths.js'
import { ropeConfig, ropeGoldens, ropeJson } from '../../support/rope.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: onnx, what a graph says of itself')

const source = fixture('graph', 'mistral', 'model.safetensors')

async function exported(options: { config?: string; dtype?: 'q8' } = {}): Promise<string> {
  const out = join(tempDir(), 'out')
  await convert(source, out, { to: 'onnx', onnxTarget: 'genai', ...options })
  return out
}

/** Changes the config.json, or the genai_config.json, of a folder. */
function edit(folder: string, fields: object, name = 'config.json'): void {
  const path = join(folder, name)
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...fields }))
}

const wrong: [fields: object, ...told: string[]][] = [
  [{ rms_norm_eps: 1e-5 }, 'rms_norm_eps is 0.000001 in the graph, and 0.00001 by'],
  [{ rope_theta: 500000 }, 'rope_theta is 10000 in the graph, and 500000 by'],
  [{ sliding_window: 9 }, 'sliding_window is 7 in the graph, and 9 by'],
  [{ sliding_window: null }, 'sliding_window is 7 in the graph, and null by'],
  [
    { rope_scaling: { type: 'linear', factor: 2 } },
    'turns pair 0 of a head by 1.00000',
    '0.500000',
  ],
  [
    { num_attention_heads: 12, num_key_value_heads: 6, head_dim: 4 },
    'num_attention_heads is 6 in the graph, and 12 by',
  ],
]

test('a configuration that is not its graph’s is refused, and a check fails for it', async () => {
  const folder = await exported()
  const original = tempDir()
  cpSync(folder, original, { recursive: true })
  await openCheckpoint(folder)
  const [first] = wrong
  assert.ok(first)
  for (const [fields, ...told] of wrong) {
    cpSync(original, folder, { recursive: true })
    edit(folder, fields)
    const error = await fails(() => openCheckpoint(folder), 'input', ...told)
    assert.ok(error.message.length < 2000)
    const { checkpoint } = await openRunnable(folder)
    assert.ok(checkpoint.disagreements?.some((text) => text.includes(told[0] ?? '')))
  }
  // Whatever runs the graph, it is held against the configuration too.
  edit(folder, { ...JSON.parse(readFileSync(join(original, 'config.json'), 'utf8')), ...first[0] })
  const artifact = await openRunnable(folder)
  const { record } = await checkArtifact(artifact, { device: 'cpu', tokens: 2 })
  assert.is(record.verdict, 'failed')
  assert.ok(record.smoke.faults.some((fault) => fault.includes('rms_norm_eps is 0.000001')))
  // The source's own graph runs, and is held against what is said of it.
  const against = await checkArtifact(await openRunnable(original), {
    against: artifact,
    device: 'cpu',
    tokens: 2,
  })
  assert.is(against.record.verdict, 'failed')
  assert.ok(against.record.parity?.faults.some((fault) => fault.startsWith('the source: rms_norm')))
})

test('sizes in genai_config.json are held against it, of quantized graphs too', async () => {
  const folder = await exported({ dtype: 'q8' })
  assert.is((await openRunnable(folder)).checkpoint.disagreements, undefined)
  edit(folder, { model: { vocab_size: 41, decoder: { head_size: 16 } } }, 'genai_config.json')
  edit(folder, { rms_norm_eps: 1e-5 })
  const told = (await openRunnable(folder)).checkpoint.disagreements ?? []
  for (const text of ['head_size is 16', 'vocab_size is 41', 'rms_norm_eps is 0.000001']) {
    assert.ok(
      told.some((each) => each.includes(text)),
      `${text}: ${told.join('; ')}`,
    )
  }
})

test('without a configuration beside it, a graph’s own is taken', async () => {
  const folder = await exported()
  rmSync(join(folder, 'config.json'))
  const { config, notes } = await openCheckpoint(folder)
  const { rms_norm_eps, rope_theta, num_attention_heads, head_dim, sliding_window } = config
  assert.equal([rms_norm_eps, rope_theta, num_attention_heads, head_dim], [1e-6, 10000, 6, 8])
  assert.is(sliding_window, 7)
  assert.ok(notes.some((note) => note.includes('known of its graph')))
})

test('every scaling is found in its own graph, and none in another’s', async () => {
  const cases = Object.entries(ropeGoldens.cases)
  for (const [name, of] of cases) {
    const config = join(tempDir(), 'config.json')
    writeFileSync(config, JSON.stringify(ropeJson(of)))
    const folder = await exported({ config })
    await openCheckpoint(folder)
    // Of the same base and another scaling.
    edit(folder, { rope_scaling: { rope_type: 'linear', factor: 1.31 } })
    await fails(() => openCheckpoint(folder), 'input', 'the graph').catch((error) => {
      throw new Error(`${name}: ${String(error)}`)
    })
    edit(folder, { rope_scaling: { rope_type: 'dynamic', factor: 3 } })
    await fails(() => openCheckpoint(folder), 'input', 'the rotary base of the graph', 'factor 3')
  }
})

test('converted, a graph of its own is what its output is held against', async () => {
  const folder = await exported()
  // The same graph under names that tell nothing of a window: only running it shows the one it has.
  const path = join(folder, 'onnx', 'model.onnx')
  const bytes = readFileSync(path)
  for (const name of ['mask.not_ahead', 'rotary.angles']) renameIn(bytes, name)
  writeFileSync(path, bytes)
  edit(folder, { sliding_window: 3 })
  const made = { folder, source: folder, out: join(tempDir(), 'out') }
  const conversion = await prepare(made, { to: 'safetensors' })
  const check = (output: string) => checkConversion(conversion, output, {})
  await fails(
    () => runConversion(conversion, { ...runOptions, check }),
    'check',
    'does not compute',
  )
})

/** Changes the first letter of a name wherever it stands. */
function renameIn(bytes: Buffer, name: string): void {
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name)) bytes[at] = 0x78
}

const { FLOAT } = TensorProto_DataType

function constant(name: string, values: number[]): NodeProto {
  const t = create(TensorProtoSchema, { dataType: FLOAT, floatData: values })
  return create(NodeProtoSchema, {
    opType: 'Constant',
    name,
    output: [name],
    attribute: [{ name: 'value', t }],
  })
}

function node(opType: string, output: string, input: string[], domain = ''): NodeProto {
  return create(NodeProtoSchema, { opType, name: output, input, output: [output], domain })
}

test('torch’s exports: epsilon under a square root, frequencies behind the cosine', async () => {
  const theta = 500
  const frequencies = [0, 1, 2, 3].map((i) => theta ** (-i / 4))
  const nodes = [
    node('ReduceMean', 'mean', ['squares']),
    constant('epsilon', [2e-5]),
    node('Add', 'sum', ['mean', 'epsilon']),
    node('Sqrt', 'root', ['sum']),
    constant('inv_freq', frequencies),
    node('Expand', 'expanded', ['inv_freq', 'shape']),
    node('Cast', 'positions', ['position_ids']),
    node('MatMul', 'product', ['expanded', 'positions']),
    node('Transpose', 'turned', ['product']),
    node('Concat', 'both', ['turned', 'turned']),
    node('Cos', 'cosine', ['both']),
    constant('scale', [1.25]),
    node('Mul', 'scaled', ['cosine', 'scale']),
  ]
  const inputs = [{ name: 'past_key_values.0.key', shape: [undefined, 3, undefined, 8] }]
  const facts = await graphFacts({ nodes, initializers: [], inputs, files: [] })
  assert.ok(Math.abs((facts.rms_norm_eps ?? 0) - 2e-5) < 1e-11)
  assert.is(facts.rotary?.attention, 1.25)
  assert.equal([facts.num_key_value_heads, facts.head_dim], [3, 8])
  assert.is(thetaOf(Float32Array.from(frequencies), 8), theta)
  const of = { max_position_embeddings: 64, rope_theta: theta }
  const scaling = { rope_type: 'yarn', factor: 1, attention_factor: 1.25 }
  const config = { ...ropeConfig({ ...of, rope_scaling: scaling }), rms_norm_eps: 2e-5 }
  assert.equal(graphDisagreements(facts, config, 'it'), [])
  assert.equal(graphDisagreements(facts, { ...config, rope_scaling: null }, 'it'), [
    'the graph multiplies rotary embedding by 1.25000, and it says 1.00000',
  ])
  assert.equal(graphDisagreements(facts, { ...config, rope_theta: 700 }, 'it').length, 1)
})

test('onnxruntime-genai’s exports: heads of an operator, and tables of cosines and sines', async () => {
  const frequencies = [0, 1, 2, 3].map((i) => 10000 ** (-i / 4))
  const path = join(tempDir(), 'tables')
  const rows = [0, 1, 2].flatMap((position) => frequencies.map((f) => position * f))
  const tables = [rows.map(Math.cos), rows.map(Math.sin)].map((values) => Float32Array.from(values))
  writeFileSync(path, Buffer.concat(tables.map(({ buffer }) => new Uint8Array(buffer))))
  const initializers = ['cos_cache', 'sin_cache'].map(
    (name, i): Initializer => ({
      name,
      type: FLOAT,
      shape: [3, 4],
      extent: { path, offset: 48 * i, length: 48 },
    }),
  )
  const attention = create(NodeProtoSchema, {
    opType: 'GroupQueryAttention',
    domain: 'com.microsoft',
    input: ['q', 'k', 'v', 'pk', 'pv', 'lengths', 'total', 'cos_cache', 'sin_cache'],
    output: ['attended'],
    attribute: [
      { name: 'num_heads', i: 6n },
      { name: 'kv_num_heads', i: 3n },
    ],
  })
  const norm = create(NodeProtoSchema, {
    opType: 'SkipSimplifiedLayerNormalization',
    attribute: [{ name: 'epsilon', f: 1e-5 }],
  })
  const facts = await graphFacts({ nodes: [attention, norm], initializers, inputs: [], files: [] })
  assert.is(facts.num_attention_heads, 6)
  assert.is(facts.num_key_value_heads, 3)
  const of = { max_position_embeddings: 64, rope_theta: 10000, rope_scaling: {} }
  const config = { ...ropeConfig(of), rope_scaling: null, rms_norm_eps: 1e-5 }
  assert.equal(graphDisagreements(facts, config, 'it'), [])
  assert.equal(graphDisagreements(facts, { ...config, rope_theta: 20000 }, 'it'), [
    'rope_theta is 10000 in the graph, and 20000 by it',
  ])
})

test.run()
