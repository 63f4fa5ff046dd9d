import { type NodeProto, TensorProto_DataType } from 'onnx-buf'
import { checkArrayBytes, type StoredArray } from '../../checkpoint/checkpoint.js'
import { list, shown } from '../../checkpoint/geometry.js'
import { isKnownName } from '../../checkpoint/names.js'
import { wholePart } from '../../checkpoint/tensor.js'
import { inputError } from '../../io/errors.js'
import { type DType, typesBy } from '../../types/dtype.js'
import { type Initializer, noPlainBytes, type OnnxFile } from './file.js'
import { quantizedUses } from './levels.js'

/**
 * Finds a LLaMA model's weights among a graph's initializers, by their names, or by the nodes that
 * use them: exporters rename what they transpose to `onnx::MatMul_123`, and leave the module's path
 * in the node's name, `/model/layers.0/self_attn/q_proj/MatMul`.
 * @throws input error for quantized weights and for operands whose meaning is not known
 */
export function weightsOf({ nodes, initializers }: OnnxFile, path: string): StoredArray[] {
  const where = { format: 'onnx' as const, path }
  const quantized = quantizedUses(nodes, initializers, path)
  refuseUnknownKinds(nodes, quantized !== undefined, where)
  const uses = usesOf(nodes)
  const arrays = new Map<string, { array: StoredArray; from: string }>()
  const unknown: string[] = []
  for (const { node, levels, array } of quantized ?? []) {
    const name = canonicalName(plainName(levels)) ?? canonicalName(`${node.name}.weight`)
    if (name === undefined) unknown.push(`"${levels}" of node "${node.name}"`)
    // A tied embedding is looked up in, and multiplied by, the same bytes.
    else if (!arrays.has(name)) arrays.set(name, { array: { ...array, name }, from: levels })
  }
  for (const initializer of initializers) {
    const dtype = floatTypes.get(initializer.type)
    if (dtype === undefined) continue
    const ends = follow(initializer.name, uses)
    const name = canonicalName(initializer.name) ?? nameByUse(initializer, ends)
    if (name === undefined) {
      const [end] = ends
      if (end !== undefined && isOperand(initializer, end)) {
        unknown.push(`"${initializer.name}" ${shown(initializer.shape)} of node "${end.node.name}"`)
      }
      continue
    }
    const before = arrays.get(name)
    if (before !== undefined) {
      throw inputError(`"${before.from}" and "${initializer.name}" are both its values`, {
        ...where,
        tensor: name,
      })
    }
    const array = arrayOf(initializer, name, dtype, ends, where)
    arrays.set(name, { array, from: initializer.name })
  }
  if (unknown.length > 0) {
    throw inputError(
      `${unknown.length} of the graph's weights are not understood: ${list(unknown, 4)}`,
      {
        ...where,
        suggestions: [
          'Understood are decoders of the LLaMA kind with one weight a projection, whose biases have the names that transformers gives them, as optimum, onnxruntime-genai and this program export them.',
        ],
      },
    )
  }
  return [...arrays.values()].map(({ array }) => array)
}

const floatTypes = typesBy(({ onnx }) => onnx && TensorProto_DataType[onnx])

/** A use of a value; `turned` when it has been transposed on the way. */
interface Use {
  node: NodeProto
  /** Which of the node's inputs it is. */
  index: number
  turned: boolean
}

/** What multiplies by quantized weights, or makes floats of them. */
const quantizedOps = new Set([
  ...['MatMulNBits', 'MatMulInteger', 'MatMulIntegerToFloat', 'DynamicQuantizeMatMul'],
  ...['QLinearMatMul', 'QMoE', 'DequantizeLinear', 'GatherBlockQuantized', 'MatMulBnb4', 'QGemm'],
])

/** The products and lookups whose quantized weights are read, in one form of theirs. */
const understood = new Set(['MatMulNBits', 'GatherBlockQuantized'])

function refuseUnknownKinds(
  nodes: readonly NodeProto[],
  areRead: boolean,
  where: { format: 'onnx'; path: string },
): void {
  const quantized = nodes.filter(
    ({ opType }) => quantizedOps.has(opType) && !(areRead && understood.has(opType)),
  )
  const [first] = quantized
  if (first !== undefined) {
    throw inputError(
      `its weights are quantized: ${quantized.length} nodes are ${first.opType} and the like, such as "${first.name}"`,
      { ...where, suggestions: ['Give the export in f32 or f16: model.onnx or model_fp16.onnx.'] },
    )
  }
  const interleaved = nodes.find(
    (node) => node.opType === 'RotaryEmbedding' && integer(node, 'interleaved') === 1,
  )
  if (interleaved !== undefined) {
    throw inputError(
      `node "${interleaved.name}" pairs neighbouring rows in rotary embedding (interleaved = 1), which is not supported in ONNX files`,
      where,
    )
  }
}

function usesOf(nodes: readonly NodeProto[]): Map<string, Use[]> {
  const uses = new Map<string, Use[]>()
  for (const node of nodes) {
    node.input.forEach((name, index) => {
      const use = { node, index, turned: false }
      const known = uses.get(name)
      if (known) known.push(use)
      else uses.set(name, [use])
    })
  }
  return uses
}

/** What passes a weight on: as it is, in another type, or transposed. */
const passing = new Set(['Cast', 'Identity', 'Transpose'])

/** Casts and transpositions between a weight and its use; no exporter has more than two. */
const maxSteps = 8

/**
 * The uses of a value, seen through what only passes it on. Each value is looked at once in either
 * orientation: a graph may pass one on in many ways, and a broken one in circles.
 */
function follow(name: string, uses: ReadonlyMap<string, Use[]>): Use[] {
  const found: Use[] = []
  const seen = new Set<string>()
  let values = [{ name, turned: false }]
  for (let steps = 0; steps <= maxSteps && values.length > 0; steps++) {
    const next: typeof values = []
    for (const { name, turned } of values) {
      const key = `${turned} ${name}`
      if (seen.has(key)) continue
      seen.add(key)
      for (const use of uses.get(name) ?? []) {
        const [output] = use.node.output
        if (!passing.has(use.node.opType) || output === undefined) found.push({ ...use, turned })
        else next.push({ name: output, turned: turned !== (use.node.opType === 'Transpose') })
      }
    }
    values = next
  }
  return found
}

/** onnxruntime-genai's names, as Hugging Face's. */
const otherNames: readonly [RegExp, string][] = [
  [
    /^model\.layers\.(\d+)\.attn\.([qkvo]_proj)\.MatMul\.weight$/,
    'model.layers.$1.self_attn.$2.weight',
  ],
  [/^model\.layers\.(\d+)\.mlp\.(\w+_proj)\.MatMul\.weight$/, 'model.layers.$1.mlp.$2.weight'],
  [/^model\.layers\.\d+\.final_norm_layernorm\.weight$/, 'model.norm.weight'],
  [/^lm_head\.MatMul\.weight$/, 'lm_head.weight'],
]

/** The name of levels, without what tells them from plain weights. */
function plainName(name: string): string {
  return name.replace(/\.rows$/, '').replace(/[._]q[48](g\d+)?$/i, '')
}

function canonicalName(name: string): string | undefined {
  const rule = otherNames.find(([pattern]) => pattern.test(name))
  const candidate = rule ? name.replace(rule[0], rule[1]) : name
  return isKnownName(candidate, 'hf') ? candidate : undefined
}

/** The name that the module's path stands for, of a node that multiplies by a matrix. */
function nameByUse({ shape }: Initializer, uses: readonly Use[]): string | undefined {
  if (shape.length !== 2) return undefined
  for (const { node } of uses.filter((use) => isTransposed(use) !== undefined)) {
    const names = modulesOf(node).map((module) => canonicalName(`${module}.weight`))
    const name = names.findLast((known) => known !== undefined)
    if (name !== undefined) return name
  }
  return undefined
}

/** torch's older exporter has the path in the node's name, its newer one all of them in metadata. */
function modulesOf({ name, metadataProps }: NodeProto): string[] {
  const scopes = metadataProps.find(({ key }) => key === 'pkg.torch.onnx.name_scopes')
  const listed = [...(scopes?.value ?? '').matchAll(/'([^']*)'/g)].map(([, scope = '']) => scope)
  return [name.replace(/^\//, '').split('/').slice(0, -1).join('.'), ...listed]
}

/** Whether a nameless constant would be a weight, were its place known. */
function isOperand({ shape, name }: Initializer, { node }: Use): boolean {
  const elements = shape.reduce((product, size) => product * size, 1)
  if (elements <= 1 || /rotary|inv_freq|cos|sin|mask/i.test(`${node.name} ${name}`)) return false
  // Added or multiplied, a vector is a bias or a norm; what has more dimensions is a mask.
  if (node.opType === 'Add' || node.opType === 'Mul') return shape.length === 1
  return operandOps.has(node.opType)
}

const operandOps = new Set([
  ...['MatMul', 'Gemm', 'FusedMatMul', 'Gather', 'RMSNormalization'],
  ...['SimplifiedLayerNormalization', 'SkipSimplifiedLayerNormalization', 'LayerNormalization'],
  ...['MoE', 'Attention', 'GroupQueryAttention', 'MultiHeadAttention'],
])

function arrayOf(
  { name: storedName, shape, extent }: Initializer,
  name: string,
  dtype: DType,
  uses: readonly Use[],
  where: { format: 'onnx'; path: string },
): StoredArray {
  const tensor = { ...where, tensor: storedName }
  if (extent === undefined) throw noPlainBytes(tensor)
  checkArrayBytes(dtype, shape, extent.length, tensor)
  const turnings = new Set(uses.map(isTransposed).filter((turned) => turned !== undefined))
  if (turnings.size > 1) {
    throw inputError('one node takes it as [in, out], another as [out, in]', tensor)
  }
  const [transposed = false] = turnings
  return {
    name,
    dtype,
    shape: transposed ? [...shape].reverse() : shape,
    parts: [wholePart(shape, [extent])],
    transposed,
  }
}

/** Whether a use means that the weight is stored [in, out]; undefined where it tells nothing. */
function isTransposed({ node, index, turned }: Use): boolean | undefined {
  switch (node.opType) {
    case 'Gather':
      return index === 0 ? turned : undefined
    case 'MatMul':
      return index === 1 ? !turned : undefined
    case 'Gemm':
    case 'FusedMatMul':
      return index === 1 ? (integer(node, 'transB') === 1) === turned : undefined
    default:
      return undefined
  }
}

function integer({ attribute }: NodeProto, name: string): number | undefined {
  const found = attribute.find((each) => each.name === name)
  return found && Number(found.i)
}
