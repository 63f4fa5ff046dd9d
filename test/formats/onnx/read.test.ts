import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import {
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from 'onnx-buf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StoredArray } from '../../../src/checkpoint/checkpoint.js'
import { walkOnnx } from '../../../src/formats/onnx/file.js'
import { weightsOf } from '../../../src/formats/onnx/weights.js'
import { openFile } from '../../../src/io/source.js'
import { openCheckpoint } from '../../../src/open/open.js'
import { bytesOf, equalBytes, seeded } from '../../support/bytes.js'
import { fails } from '../../support/errors.js'
import { configJson } from '../../support/listing.js'
import { small, tensorsOf } from '../../support/llama.js'
import { decode, inMemory } from '../../support/sources.js'
import { tempDir } from '../../support/temp.js'

const test = suite('formats: onnx, read')

interface Parts {
  nodes: NodeProto[]
  initializers: TensorProto[]
}

const { FLOAT, FLOAT16, INT64 } = TensorProto_DataType

/** Values that are all different, so that a transposition shows. */
function valuesOf(shape: readonly number[], first: number): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1)
  return Float32Array.from({ length: count }, (_, i) => first + i / 1024)
}

function transposed(values: Float32Array, [rows = 1, columns = 1]: readonly number[]) {
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result[column * rows + row] = values[row * columns + column] ?? Number.NaN
    }
  }
  return result
}

function initializer(name: string, shape: readonly number[], values: Float32Array): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: FLOAT,
    dims: shape.map(BigInt),
    rawData: new Uint8Array(bytesOf(values)),
  })
}

function node(
  opType: string,
  name: string,
  input: string[],
  attributes: Record<string, number> = {},
): NodeProto {
  return create(NodeProtoSchema, {
    opType,
    name,
    input,
    output: [`${name}_output`],
    attribute: Object.entries(attributes).map(([key, i]) => ({ name: key, i: BigInt(i), type: 2 })),
  })
}

/** The ways in which exporters multiply by a weight. */
type Way = 'MatMul' | 'Gemm' | 'GemmTransB' | 'Transpose'

/**
 * A graph as optimum exports it: norms and embedding by their names, what is multiplied by under
 * `onnx::MatMul_N`, to be known by the path in the node's name; and constants that are no weights.
 */
function exported(wayOf: (index: number) => Way): Parts {
  const parts: Parts = { nodes: [], initializers: [] }
  const add = (each: TensorProto) => parts.initializers.push(each)
  tensorsOf(small).forEach(({ hf, shape, kernel }, i) => {
    const module = `/${hf
      .replace(/\.weight$/, '')
      .replaceAll('.', '/')
      .replace('/layers/', '/layers.')}`
    const values = valuesOf(shape, i)
    if (!kernel) {
      add(initializer(hf, shape, values))
      const op = hf.includes('embed') ? 'Gather' : 'Mul'
      const inputs = op === 'Gather' ? [hf, 'input_ids'] : ['hidden', hf]
      parts.nodes.push(node(op, `${module}/${op}`, inputs))
      return
    }
    const way = wayOf(i)
    const name = `onnx::MatMul_${300 + i}`
    const turned = way === 'MatMul' || way === 'Gemm'
    add(
      turned
        ? initializer(name, shape.toReversed(), transposed(values, shape))
        : initializer(name, shape, values),
    )
    if (way === 'Transpose') {
      const transpose = node('Transpose', `${module}/Transpose`, [name])
      parts.nodes.push(transpose)
      parts.nodes.push(node('MatMul', `${module}/MatMul`, ['x', transpose.output[0] ?? '']))
    } else {
      const op = way === 'MatMul' ? 'MatMul' : 'Gemm'
      const attributes = way === 'GemmTransB' ? { transB: 1 } : {}
      parts.nodes.push(node(op, `${module}/${op}`, ['x', name], attributes))
    }
  })
  add(initializer('/model/rotary_emb/Constant', [1, 2, 1], Float32Array.of(1, 0.5)))
  parts.nodes.push(node('MatMul', '/model/rotary_emb/MatMul', ['/model/rotary_emb/Constant', 'p']))
  add(initializer('epsilon', [], Float32Array.of(1e-6)))
  parts.nodes.push(node('Add', '/model/norm/Add', ['squares', 'epsilon']))
  add(
    create(TensorProtoSchema, {
      name: 'axes',
      dataType: INT64,
      dims: [1n],
      rawData: new Uint8Array(8),
    }),
  )
  return parts
}

function encode({ nodes, initializers }: Parts): Uint8Array {
  const graph = create(GraphProtoSchema, { name: 'main', node: nodes, initializer: initializers })
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    producerName: 'pytorch',
    opsetImport: [{ domain: '', version: 17n }],
    graph,
  })
  return toBinary(ModelProtoSchema, model)
}

async function read(bytes: Uint8Array): Promise<StoredArray[]> {
  return weightsOf(await walkOnnx(inMemory(bytes).source), 'weights')
}

for (const ways of [
  ['MatMul'],
  ['Gemm'],
  ['GemmTransB'],
  ['Transpose'],
  ['MatMul', 'Transpose', 'GemmTransB', 'Gemm'],
] as Way[][]) {
  test(`an exporter's graph, with ${ways.join(', ')}: names, shapes and values`, async () => {
    const bytes = encode(exported((i) => ways[i % ways.length] ?? 'MatMul'))
    const arrays = new Map((await read(bytes)).map((array) => [array.name, array]))
    const expected = tensorsOf(small)
    assert.equal([...arrays.keys()].sort(), expected.map(({ hf }) => hf).sort())
    expected.forEach(({ hf, shape }, i) => {
      const array = arrays.get(hf)
      assert.ok(array)
      assert.equal(array.shape, shape, hf)
      const [extent] = array.parts[0]?.extents ?? []
      assert.ok(extent)
      const stored = decode(bytes.subarray(extent.offset, extent.offset + extent.length), 'f32')
      const wanted = valuesOf(shape, i)
      const as = array.transposed ? transposed(wanted, shape) : wanted
      equalBytes(bytesOf(stored), bytesOf(as), hf)
    })
  })
}

test('what the graph does not need is not read, however large', async () => {
  const parts = exported(() => 'MatMul')
  const big = 'model.layers.0.mlp.unused'
  parts.initializers.push(initializer(big, [1 << 20], new Float32Array(1 << 20)))
  const counted = inMemory(encode(parts))
  await walkOnnx(counted.source)
  assert.ok(counted.bytes < counted.source.size / 4, `${counted.bytes} of ${counted.source.size}`)
})

const head = 'lm_head.weight'

/** The graph with one thing changed. */
function changed(edit: (parts: Parts) => void): Uint8Array {
  const parts = exported(() => 'MatMul')
  edit(parts)
  return encode(parts)
}

test('what is not understood is told by its name', async () => {
  const cases: [string, Uint8Array, string[]][] = [
    [
      'quantized',
      changed(({ nodes }) => nodes.push(node('MatMulNBits', '/lm_head/MatMul_Q4', ['x', 'q']))),
      ['MatMulNBits', '/lm_head/MatMul_Q4', 'model_fp16.onnx'],
    ],
    [
      'interleaved',
      changed(({ nodes }) =>
        nodes.push(node('RotaryEmbedding', 'rope', ['x'], { interleaved: 1 })),
      ),
      ['rope', 'interleaved'],
    ],
    [
      'a packed projection',
      changed(({ nodes, initializers }) => {
        initializers.push(initializer('qkv', [40, 48], valuesOf([40, 48], 0)))
        nodes.push(node('MatMul', '/model/layers.0/attn/qkv_proj/MatMul', ['x', 'qkv']))
      }),
      ['"qkv" [40, 48]', 'qkv_proj'],
    ],
    [
      'a bias',
      changed(({ nodes, initializers }) => {
        initializers.push(initializer('bias', [40], valuesOf([40], 0)))
        nodes.push(node('Add', '/model/layers.0/self_attn/o_proj/Add', ['x', 'bias']))
      }),
      ['"bias" [40]', 'o_proj', 'whose biases'],
    ],
    [
      'a weight in two places',
      changed(({ initializers }) =>
        initializers.push(initializer(head, [48, 40], valuesOf([48, 40], 0))),
      ),
      [head, 'both'],
    ],
    [
      'one that two nodes take differently',
      changed(({ nodes }) => {
        const name = nodes.find(({ name: at }) => at === '/lm_head/MatMul')?.input[1] ?? ''
        nodes.push(node('Gemm', '/lm_head/Gemm', ['x', name], { transB: 1 }))
      }),
      ['[in, out]', '[out, in]'],
    ],
    [
      'values one by one',
      changed(({ initializers }) => {
        const [first] = initializers
        if (first) {
          first.dataType = FLOAT16
          first.rawData = new Uint8Array()
          first.int32Data = [1, 2, 3]
        }
      }),
      ['raw_data'],
    ],
    [
      'a size that does not fit',
      changed(({ initializers }) => {
        const [first] = initializers
        if (first) first.dims = [48n, 41n]
      }),
      [48 * 41 * 4, 48 * 40 * 4].map(String),
    ],
    [
      'a shape beyond all sizes',
      changed(({ initializers }) => {
        const [first] = initializers
        if (first) first.dims = [1n << 62n, 1n << 62n]
      }),
      ['no size'],
    ],
    ['no graph', new Uint8Array([8, 8]), ['0 graphs']],
  ]
  for (const [what, bytes, parts] of cases) {
    await fails(() => read(bytes), 'input', 'onnx', ...parts).catch((error) => {
      throw new Error(`${what}: ${error}`)
    })
  }
})

/** An ONNX folder of one external weight, which is said to be at this place. */
function external(entries: Record<string, string>): string {
  const folder = tempDir()
  const first = create(TensorProtoSchema, {
    name: 'model.embed_tokens.weight',
    dataType: FLOAT,
    dims: [48n, 40n],
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
  })
  mkdirSync(join(folder, 'onnx', 'sub'), { recursive: true })
  writeFileSync(join(folder, 'config.json'), configJson(small))
  writeFileSync(join(folder, 'secret'), new Uint8Array(10_000))
  writeFileSync(join(folder, 'onnx', 'weights'), new Uint8Array(10_000))
  writeFileSync(join(folder, 'onnx', 'sub', 'weights'), new Uint8Array(10_000))
  const path = join(folder, 'onnx', 'model.onnx')
  writeFileSync(path, encode({ nodes: [], initializers: [first] }))
  return path
}

test('external data is found within the folder, and nowhere else', async () => {
  for (const location of ['weights', 'sub/weights']) {
    const path = external({ location, offset: '16', length: '7680' })
    const source = await openFile(path)
    const { initializers } = await walkOnnx(source)
    await source.close()
    const file = join(path, '..', location)
    assert.equal(initializers[0]?.extent, { path: file, offset: 16, length: 7680 })
  }
  for (const location of [
    '../secret',
    '/etc/passwd',
    'sub/../../secret',
    '..\\secret',
    'C:secret',
    '',
    '.',
    './weights',
    'sub//weights',
  ]) {
    const path = external({ location, offset: '0', length: '7680' })
    await fails(() => openCheckpoint(path), 'input', 'embed_tokens', JSON.stringify(location))
  }
  const cases: [Record<string, string>, (string | number)[]][] = [
    [{ location: 'gone', offset: '0', length: '7680' }, ['gone', 'not there']],
    [{ location: 'weights', offset: '4096', length: '7680' }, [11_776, 10_000]],
    [{ location: 'weights', offset: '-1', length: '7680' }, ['"-1"']],
    [{ location: 'weights', offset: '1e3', length: '7680' }, ['"1e3"']],
    [
      { location: 'weights', offset: '99999999999999999999', length: '7680' },
      ['99999999999999999999'],
    ],
    [{ location: 'weights', offset: '0', length: '7676' }, [7676, 7680]],
    [{ location: 'weights', offset: '10001' }, ['10001']],
  ]
  for (const [entries, parts] of cases) {
    await fails(() => openCheckpoint(external(entries)), 'input', ...parts)
  }
})

test('any bytes are read, or refused as input; none is a bug', async () => {
  const whole = encode(exported(() => 'MatMul'))
  const random = seeded(11)
  for (let i = 0; i < 400; i++) {
    const bytes = whole.slice(0, i % 3 === 0 ? random() % whole.length : whole.length)
    for (let k = random() % 4; k > 0; k--) bytes[random() % Math.min(bytes.length, 4000)] = random()
    try {
      await read(bytes)
    } catch (error) {
      await fails(() => Promise.reject(error), 'input')
    }
  }
})

test('a weight that is passed on in circles', async () => {
  const circle = (input: string, output: string) =>
    create(NodeProtoSchema, { opType: 'Identity', name: 'i', input: [input], output: [output] })
  const embedding = 'model.embed_tokens.weight'
  const bytes = changed(({ nodes }) => {
    for (let i = 0; i < 100; i++) nodes.push(circle(embedding, 'other'), circle('other', embedding))
  })
  assert.is((await read(bytes)).length, tensorsOf(small).length)
})

test.run()
