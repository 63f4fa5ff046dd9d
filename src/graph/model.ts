import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import {
  type AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf'
import { dtypes, type Float } from '../types/dtype.js'

/** An ONNX graph while it is being built; values are known by their names. */
export interface GraphBuilder {
  readonly graph: GraphProto
}

/** ONNX's element types, for weights and for the values between them. */
export const elementTypes = {
  f64: TensorProto_DataType[dtypes.f64.onnx],
  f32: TensorProto_DataType[dtypes.f32.onnx],
  f16: TensorProto_DataType[dtypes.f16.onnx],
  bf16: TensorProto_DataType[dtypes.bf16.onnx],
  i64: TensorProto_DataType.INT64,
  u8: TensorProto_DataType.UINT8,
  bool: TensorProto_DataType.BOOL,
} as const satisfies Record<Float, TensorProto_DataType> & Record<string, TensorProto_DataType>
export type ElementType = keyof typeof elementTypes

/** A run of bytes in a file, `location` being its name relative to the graph's folder. */
export interface ExternalData {
  location: string
  offset: number
  length: number
}

export type Attribute = number | string | readonly number[] | { float: number }

export function startGraph(name: string): GraphBuilder {
  return { graph: create(GraphProtoSchema, { name }) }
}

/**
 * Adds a node of one output, whose name is the node's own. An operator that is not a standard one
 * is written with its domain: `com.microsoft.MatMulNBits`.
 */
export function addNode(
  { graph }: GraphBuilder,
  op: string,
  name: string,
  inputs: readonly string[],
  attributes: Record<string, Attribute> = {},
): string {
  addNodeOf({ graph }, op, name, inputs, [name], attributes)
  return name
}

/** Adds a node of several outputs, or of outputs that are named otherwise. */
export function addNodeOf(
  { graph }: GraphBuilder,
  op: string,
  name: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Record<string, Attribute> = {},
): void {
  const dot = op.lastIndexOf('.')
  graph.node.push(
    create(NodeProtoSchema, {
      opType: op.slice(dot + 1),
      domain: op.slice(0, Math.max(0, dot)),
      name,
      input: [...inputs],
      output: [...outputs],
      attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
    }),
  )
}

/** Adds a constant that the graph itself holds: whole numbers of a shape, or floats of a vector. */
export function addConstant(
  { graph }: GraphBuilder,
  name: string,
  values: BigInt64Array<ArrayBuffer> | Float32Array<ArrayBuffer>,
  shape: readonly number[] = [values.length],
): string {
  const type = values instanceof BigInt64Array ? elementTypes.i64 : elementTypes.f32
  graph.initializer.push(
    create(TensorProtoSchema, {
      name,
      dataType: type,
      dims: shape.map(BigInt),
      rawData: littleEndian(values),
    }),
  )
  return name
}

/** Adds a weight whose bytes are in a file. */
export function addWeight(
  { graph }: GraphBuilder,
  name: string,
  dtype: Float | 'u8',
  shape: readonly number[],
  { location, offset, length }: ExternalData,
): string {
  graph.initializer.push(
    create(TensorProtoSchema, {
      name,
      dataType: elementTypes[dtype],
      dims: shape.map(BigInt),
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: [
        { key: 'location', value: location },
        { key: 'offset', value: String(offset) },
        { key: 'length', value: String(length) },
      ],
    }),
  )
  return name
}

/** Declares an input of the graph; a dimension that is not a number is a name for any size. */
export function addInput(
  { graph }: GraphBuilder,
  name: string,
  type: ElementType,
  shape: readonly (number | string)[],
): string {
  graph.input.push(valueInfo(name, type, shape))
  return name
}

export function addOutput(
  { graph }: GraphBuilder,
  name: string,
  type: ElementType,
  shape: readonly (number | string)[],
): void {
  graph.output.push(valueInfo(name, type, shape))
}

/** Says what shape a value has, where it does not follow from the nodes before it. */
export function addValueInfo(
  { graph }: GraphBuilder,
  name: string,
  type: ElementType,
  shape: readonly (number | string)[],
): void {
  graph.valueInfo.push(valueInfo(name, type, shape))
}

/**
 * The model's bytes: the same graph gives the same bytes.
 * @param opset of the standard operators
 */
export function encodeModel(
  { graph }: GraphBuilder,
  { opset, producer }: { opset: number; producer: { name: string; version: string } },
): Uint8Array {
  const domains = new Set(graph.node.map(({ domain }) => domain).filter((domain) => domain !== ''))
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    producerName: producer.name,
    producerVersion: producer.version,
    opsetImport: [
      { domain: '', version: BigInt(opset) },
      // Those of ONNX Runtime have had no other version.
      ...[...domains].map((domain) => ({ domain, version: 1n })),
    ],
    graph,
  })
  return toBinary(ModelProtoSchema, model)
}

/** The one that came with opset 23; older runtimes refuse a newer one than they know. */
const irVersion = 11

function valueInfo(name: string, type: ElementType, shape: readonly (number | string)[]) {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: elementTypes[type],
          shape: {
            dim: shape.map(dimension),
          },
        },
      },
    },
  })
}

function dimension(size: number | string) {
  return create(TensorShapeProto_DimensionSchema, {
    value:
      typeof size === 'number'
        ? { case: 'dimValue', value: BigInt(size) }
        : { case: 'dimParam', value: size },
  })
}

function attribute(name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if (typeof value === 'number') return { name, type: AttributeType.INT, i: BigInt(value) }
  if (typeof value === 'string') {
    return { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) }
  }
  if ('float' in value) return { name, type: AttributeType.FLOAT, f: value.float }
  return { name, type: AttributeType.INTS, ints: value.map(BigInt) }
}

/** The values' bytes as files have them, whatever this machine's order is. */
function littleEndian(
  values: BigInt64Array<ArrayBuffer> | Float32Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(values.byteLength)
  const view = new DataView(bytes.buffer)
  let offset = 0
  for (const value of values) {
    if (typeof value === 'bigint') view.setBigInt64(offset, value, true)
    else view.setFloat32(offset, value, true)
    offset += values.BYTES_PER_ELEMENT
  }
  return bytes
}
