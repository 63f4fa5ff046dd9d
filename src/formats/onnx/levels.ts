import { type NodeProto, TensorProto_DataType } from 'onnx-buf'
import type { StoredArray } from '../../checkpoint/checkpoint.js'
import { shown } from '../../checkpoint/geometry.js'
import { type Scales, wholePart } from '../../checkpoint/tensor.js'
import { inputError } from '../../io/errors.js'
import { byteLength, dtypes, type LevelType, type ScaleType } from '../../types/dtype.js'
import { type Initializer, noPlainBytes } from './file.js'

/** A matrix in levels and scales, as a node takes it. */
export interface QuantizedUse {
  node: NodeProto
  /** The initializers' names. */
  levels: string
  array: Omit<StoredArray, 'name'>
}

/**
 * The quantized matrices of a graph, as far as they are of the one form that can be read: blocks of
 * 32 without zero points of their own, as ONNX Runtime's symmetric quantizer and this program write
 * them. They lie as [out, in].
 * @returns undefined where a node of the graph has another form
 * @throws input error for sizes that do not fit each other
 */
export function quantizedUses(
  nodes: readonly NodeProto[],
  initializers: readonly Initializer[],
  path: string,
): QuantizedUse[] | undefined {
  const byName = new Map(initializers.map((each) => [each.name, each]))
  const uses: QuantizedUse[] = []
  for (const node of nodes) {
    const operands = operandsOf(node)
    if (operands === undefined) continue
    const [levels, scales] = operands.map((name) => byName.get(name))
    if (levels === undefined || scales === undefined) return undefined
    const scaleType = scaleTypeOf(node, scales)
    if (scaleType === undefined) return undefined
    uses.push({ node, levels: levels.name, array: arrayOf(levels, scales, scaleType, path) })
  }
  return uses
}

/** The levels and the scales that a node takes; none where it takes more, such as zero points. */
function operandsOf({ opType, input }: NodeProto): [levels: string, scales: string] | undefined {
  const at = { MatMulNBits: [1, 2], GatherBlockQuantized: [0, 2] }[opType]
  if (at === undefined) return undefined
  const [levels = '', scales = ''] = at.map((index) => input[index] ?? '')
  return input.slice(3).every((name) => name === '') ? [levels, scales] : ['', '']
}

const defaultBits = 4

function scaleTypeOf(node: NodeProto, { type }: Initializer): ScaleType | undefined {
  const attribute = (name: string) => node.attribute.find((each) => each.name === name)?.i
  const bits = Number(attribute('bits') ?? defaultBits)
  if (Number(attribute('block_size')) !== dtypes.q4.block) return undefined
  if ((attribute('gather_axis') ?? 0n) !== 0n || (attribute('quantize_axis') ?? 1n) !== 1n) {
    return undefined
  }
  const float = type === TensorProto_DataType.FLOAT
  if (bits === 4) {
    if (float) return 'q4_scales'
    return type === TensorProto_DataType.FLOAT16 ? 'q4_scales_f16' : undefined
  }
  return bits === 8 && float ? 'q8_scales' : undefined
}

function arrayOf(
  levels: Initializer,
  scales: Initializer,
  type: ScaleType,
  path: string,
): Omit<StoredArray, 'name'> {
  const where = { format: 'onnx' as const, path, tensor: levels.name }
  if (levels.extent === undefined || scales.extent === undefined) throw noPlainBytes(where)
  const dtype: LevelType = dtypes[type].levels
  const { block, bytes } = dtypes[dtype]
  const [rows = 0, ...others] = levels.shape
  const columns = (others.reduce((product, size) => product * size, 1) / bytes) * block
  const shape = [rows, columns]
  const sizes: [string, Initializer, number][] = [
    ['levels', levels, byteLength(dtype, rows * columns)],
    ['scales', scales, byteLength(type, rows * columns)],
  ]
  for (const [what, { name, shape: own, extent }, needed] of sizes) {
    if (!Number.isSafeInteger(needed) || extent?.length !== needed) {
      throw inputError(
        `the ${what} "${name}" ${shown(own)} have ${extent?.length} bytes, a matrix ${shown(shape)} takes ${needed}`,
        where,
      )
    }
  }
  const scaleParts: Scales = { dtype: type, parts: [wholePart(shape, [scales.extent])] }
  return { dtype, shape, parts: [wholePart(shape, [levels.extent])], scales: scaleParts }
}
