import { type NodeProto, type TensorProto, TensorProto_DataType } from 'onnx-buf'
import type { GraphFacts, RotaryFacts } from '../../checkpoint/graph-facts.js'
import { openFile } from '../../io/source.js'
import type { Initializer, OnnxFile } from './file.js'

/**
 * What a graph says of its model, as this program, onnxruntime-genai and torch's exporters (optimum)
 * write it: epsilon, heads, the frequencies of rotary embedding or the tables made of them, a window.
 * Where two nodes say different things, or none says anything, nothing is told.
 */
export async function graphFacts(file: OnnxFile): Promise<GraphFacts> {
  const graph: Graph = {
    nodes: file.nodes,
    made: new Map(file.nodes.flatMap((node) => node.output.map((name) => [name, node] as const))),
    initializers: new Map(file.initializers.map((each) => [each.name, each] as const)),
  }
  const own = isOwn(graph)
  const window = own ? await integerOf(graph, 'mask.window') : undefined
  const epsilon = await epsilonOf(graph)
  const rotary = await rotaryFacts(graph)
  return {
    ...(epsilon === undefined ? {} : { rms_norm_eps: epsilon }),
    ...headsOf(graph),
    ...cacheSizes(file),
    ...(own ? { sliding_window: window ?? null } : {}),
    ...(rotary === undefined ? {} : { rotary }),
  }
}

interface Graph {
  nodes: readonly NodeProto[]
  /** Nodes by what they put out. */
  made: ReadonlyMap<string, NodeProto>
  initializers: ReadonlyMap<string, Initializer>
}

const norms = new Set([
  ...['RMSNormalization', 'SimplifiedLayerNormalization', 'SkipSimplifiedLayerNormalization'],
])

/** Of all norms: an attribute, or in torch's exports the constant under a square root. */
async function epsilonOf(graph: Graph): Promise<number | undefined> {
  const found: number[] = []
  for (const node of graph.nodes) {
    if (norms.has(node.opType)) {
      const epsilon = node.attribute.find(({ name }) => name === 'epsilon')?.f
      if (epsilon !== undefined) found.push(epsilon)
    }
    if (node.opType !== 'Sqrt' && node.opType !== 'Rsqrt') continue
    const sum = graph.made.get(node.input[0] ?? '')
    if (sum?.opType !== 'Add') continue
    const mean = sum.input.find((name) => graph.made.get(name)?.opType === 'ReduceMean')
    const other = sum.input.find((name) => name !== mean)
    if (mean === undefined || other === undefined) continue
    const values = await floatsOf(graph, other, 1)
    if (values?.length === 1 && values[0] !== undefined) found.push(values[0])
  }
  return only(found)
}

/** Attributes of attention, as its operators call them. */
const headAttributes = {
  num_attention_heads: ['q_num_heads', 'num_heads'],
  num_key_value_heads: ['kv_num_heads'],
} as const
const attentions = new Set(['Attention', 'GroupQueryAttention', 'MultiHeadAttention'])

function headsOf({ nodes }: Graph): GraphFacts {
  const facts: GraphFacts = {}
  for (const field of ['num_attention_heads', 'num_key_value_heads'] as const) {
    const names: readonly string[] = headAttributes[field]
    const value = only(
      nodes
        .filter(({ opType }) => attentions.has(opType))
        .flatMap(({ attribute }) => attribute.filter(({ name }) => names.includes(name)))
        .map(({ i }) => Number(i)),
    )
    if (value !== undefined && value > 0) facts[field] = value
  }
  return facts
}

/** The cache that a run is given, [batch, kv_heads, past, head_dim]. */
function cacheSizes({ inputs }: OnnxFile): GraphFacts {
  const shapes = inputs
    .filter(({ name }) => /^past_key_values\.\d+\.key$/.test(name))
    .map(({ shape }) => shape)
  const size = (axis: number) =>
    only(shapes.flatMap((shape) => (shape.length === 4 ? (shape[axis] ?? []) : [])))
  const [heads, dim] = [size(1), size(3)]
  return {
    ...(heads === undefined ? {} : { num_key_value_heads: heads }),
    ...(dim === undefined ? {} : { head_dim: dim }),
  }
}

/** The one value that all have. */
function only(values: readonly number[]): number | undefined {
  const [first] = values
  return values.every((value) => value === first) ? first : undefined
}

async function rotaryFacts(graph: Graph): Promise<RotaryFacts | undefined> {
  return (await tableFacts(graph)) ?? (await cosineFacts(graph))
}

/** Where an operator takes tables: which of its inputs is that of the cosines, the sines behind it. */
const tableInputs: Readonly<Record<string, number>> = { RotaryEmbedding: 2, GroupQueryAttention: 7 }

/** Tables [positions, head_dim / 2]: what the second row says of the angle that a token turns. */
async function tableFacts(graph: Graph): Promise<RotaryFacts | undefined> {
  for (const node of graph.nodes) {
    const at = tableInputs[node.opType]
    if (at === undefined || (node.opType === 'RotaryEmbedding' && node.domain === '')) continue
    const [cosines, sines] = [node.input[at], node.input[at + 1]].map((name) =>
      graph.initializers.get(name ?? ''),
    )
    if (cosines?.shape.length !== 2 || sines?.shape.length !== 2) continue
    const [rows = 0, columns = 0] = cosines.shape
    if (rows < 2 || columns === 0 || columns > maxFrequencies) continue
    const [cos, sin] = [
      await readFloats(cosines, 2 * columns),
      await readFloats(sines, 2 * columns),
    ]
    if (cos === undefined || sin === undefined) continue
    const turned = Float32Array.from({ length: columns }, (_, i) =>
      Math.atan2(sin[columns + i] ?? 0, cos[columns + i] ?? 0),
    )
    return {
      frequencies: [turned],
      attention: cos[0] ?? 1,
      whole: false,
      closeness: cosines.type === TensorProto_DataType.FLOAT ? 1e-4 : 1e-2,
    }
  }
  return undefined
}

/** Heads have some hundred rows. */
const maxFrequencies = 4096

/** Nodes that are looked at behind a cosine; exporters have ten. */
const maxBehind = 40

/**
 * The constants that a cosine's angles are made of: vectors of more than one value that fall from
 * one pair to the next. A base that grows with the text has none.
 */
async function cosineFacts(graph: Graph): Promise<RotaryFacts | undefined> {
  const cosine = graph.nodes.find(({ opType }) => opType === 'Cos')
  if (cosine === undefined) return undefined
  const sets = new Map<string, Float32Array>()
  const names = [...cosine.input]
  const seen = new Set(names)
  for (let i = 0; i < names.length && i < maxBehind; i++) {
    const name = names[i] ?? ''
    const values = await floatsOf(graph, name, maxFrequencies)
    if (values !== undefined && isFrequencies(values)) sets.set(String(values), values)
    for (const input of graph.made.get(name)?.input ?? []) {
      if (seen.has(input)) continue
      seen.add(input)
      names.push(input)
    }
  }
  const own = isOwn(graph)
  const growing = own ? await growingOf(graph) : undefined
  if (sets.size === 0 && growing === undefined) return undefined
  const attention = await factorBehind(graph, cosine.output[0] ?? '')
  return {
    frequencies: [...sets.values()],
    ...(attention === undefined ? {} : { attention }),
    ...(growing === undefined ? {} : { growing }),
    whole: own,
    closeness: 1e-4,
  }
}

/** Of this program, which has these names in every graph. */
function isOwn({ made }: Graph): boolean {
  return made.has('mask.not_ahead') && made.has('rotary.angles')
}

/** The constants of a base that grows with the text, in a graph of this program. */
async function growingOf(graph: Graph): Promise<RotaryFacts['growing']> {
  const [length, factor, theta] = await Promise.all(
    ['context', 'factor', 'theta'].map(async (name) => floatsOf(graph, `rotary.${name}`, 1)),
  )
  const values = [length?.[0], factor?.[0], theta?.[0]]
  const [first, second, third] = values
  return first === undefined || second === undefined || third === undefined
    ? undefined
    : { length: first, factor: second, theta: third }
}

function isFrequencies(values: Float32Array): boolean {
  return (
    values.length > 1 &&
    values.every((value, i) => value > 0 && value <= (values[i - 1] ?? Number.MAX_VALUE))
  )
}

/** What a value is multiplied by; 1 where by nothing that is a number. */
async function factorBehind(graph: Graph, name: string): Promise<number | undefined> {
  const product = graph.nodes.find(({ opType, input }) => opType === 'Mul' && input.includes(name))
  if (product === undefined) return 1
  const other = product.input.find((input) => input !== name) ?? ''
  if (!graph.initializers.has(other) && graph.made.get(other)?.opType !== 'Constant') return 1
  const values = await floatsOf(graph, other, 1)
  return values?.length === 1 ? values[0] : undefined
}

/** A constant's values, whether an initializer or a node; undefined where it is none, or longer. */
async function floatsOf(
  { initializers, made }: Graph,
  name: string,
  most: number,
): Promise<Float32Array | undefined> {
  const initializer = initializers.get(name)
  if (initializer !== undefined) {
    const count = initializer.shape.reduce((product, size) => product * size, 1)
    return count <= most ? readFloats(initializer, count) : undefined
  }
  const node = made.get(name)
  if (node?.opType !== 'Constant') return undefined
  const value = node.attribute.find((each) => each.name === 'value')?.t
  return value && inlineFloats(value, most)
}

function inlineFloats(tensor: TensorProto, most: number): Float32Array | undefined {
  const { rawData, floatData, dataType } = tensor
  if (floatData.length > 0)
    return floatData.length <= most ? Float32Array.from(floatData) : undefined
  return rawData === undefined ? undefined : decode(rawData, dataType, most)
}

/** The first values of an initializer. */
async function readFloats(
  { extent, type }: Initializer,
  count: number,
): Promise<Float32Array | undefined> {
  const size = sizes.get(type)
  if (extent === undefined || size === undefined || extent.length < count * size) return undefined
  const source = await openFile(extent.path)
  try {
    return decode(await source.read(extent.offset, count * size), type, count)
  } finally {
    await source.close()
  }
}

const { FLOAT, FLOAT16, DOUBLE } = TensorProto_DataType
const sizes: ReadonlyMap<number, number> = new Map([
  [FLOAT, 4],
  [FLOAT16, 2],
  [DOUBLE, 8],
])

function decode(bytes: Uint8Array, type: number, most: number): Float32Array | undefined {
  const size = sizes.get(type)
  if (size === undefined || bytes.length % size !== 0 || bytes.length > most * size)
    return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Float32Array.from({ length: bytes.length / size }, (_, i) =>
    type === FLOAT
      ? view.getFloat32(4 * i, true)
      : type === DOUBLE
        ? view.getFloat64(8 * i, true)
        : halfValue(view.getUint16(2 * i, true)),
  )
}

/** The value of a finite f16, by its bits. */
function halfValue(bits: number): number {
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  const sign = bits & 0x8000 ? -1 : 1
  return exponent === 0
    ? sign * fraction * 2 ** -24
    : sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

async function integerOf({ initializers }: Graph, name: string): Promise<number | undefined> {
  const found = initializers.get(name)
  const whole = found?.type === TensorProto_DataType.INT64 && found.extent?.length === 8
  if (!whole || found?.extent === undefined) return undefined
  const source = await openFile(found.extent.path)
  try {
    const bytes = await source.read(found.extent.offset, 8)
    return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true))
  } finally {
    await source.close()
  }
}
