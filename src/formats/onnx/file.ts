import { basename, dirname } from 'node:path'
import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import {
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf'
import type { SourceFile } from '../../checkpoint/checkpoint.js'
import type { Extent } from '../../checkpoint/tensor.js'
import { append } from '../../io/append.js'
import { fromSystemError, inputError } from '../../io/errors.js'
import type { ByteSource } from '../../io/source.js'
import { join, sizeOf } from '../../io/store.js'
import { nextField, packedVarints, readField, type WireCursor, wireCursor } from './wire.js'

/** A constant of the graph: where its values are, and not what they are. */
export interface Initializer {
  name: string
  /** ONNX's number of its element type. */
  type: number
  shape: number[]
  /** Absent where the values are not plain bytes (numbers one by one, text). */
  extent?: Extent
}

/** For an initializer without an extent. */
export function noPlainBytes(where: { format: 'onnx'; path: string; tensor: string }): Error {
  return inputError('its values are not stored as plain bytes (raw_data), which is not supported', {
    ...where,
    suggestions: ['Save the model again with external data.'],
  })
}

/** What a run is given; a dimension that may have any size is undefined. */
interface GraphInput {
  name: string
  shape: (number | undefined)[]
}

/** An ONNX file whose nodes are read and whose initializers are located. */
export interface OnnxFile {
  /** Those of subgraphs (the branches of an `If`) among them. */
  nodes: NodeProto[]
  initializers: Initializer[]
  inputs: GraphInput[]
  /** The files that values are in. */
  files: SourceFile[]
}

/** The largest nodes are those that hold a whole subgraph. */
const maxNode = 64 * 1024 * 1024
const maxName = 64 * 1024

// Field numbers of onnx.proto.
const modelGraph = 7
const graphFields = { node: 1, initializer: 5, input: 11, sparseInitializer: 15 }
const tensorFields = { dims: 1, type: 2, floats: 4, name: 8, raw: 9, external: 13 }

/**
 * Walks an ONNX file: nodes are read, initializers located, in the file or in files beside it.
 * @throws input error for what is malformed, or lies outside the file's folder
 */
export async function walkOnnx(source: ByteSource): Promise<OnnxFile> {
  const cursor = wireCursor(source)
  const nodes: NodeProto[] = []
  const located: { initializer: Initializer; external?: ReadonlyMap<string, string> }[] = []
  const inputs: GraphInput[] = []
  let graphs = 0
  while (cursor.offset < source.size) {
    const field = await nextField(cursor, source.size)
    if (field.number !== modelGraph || field.kind !== 'bytes') continue
    graphs++
    const end = field.offset + field.length
    cursor.offset = field.offset
    while (cursor.offset < end) {
      const part = await nextField(cursor, end)
      if (part.kind !== 'bytes') continue
      if (part.number === graphFields.node) append(nodes, await readNode(cursor, part))
      else if (part.number === graphFields.input) inputs.push(await readInput(cursor, part))
      else if (part.number === graphFields.initializer) {
        const behind = cursor.offset
        cursor.offset = part.offset
        located.push(await locateTensor(cursor, behind))
        cursor.offset = behind
      } else if (part.number === graphFields.sparseInitializer) {
        throw inputError('it has sparse initializers, which are not supported', at(source))
      }
    }
  }
  if (graphs !== 1) throw inputError(`it has ${graphs} graphs, one is expected`, at(source))
  const files = new Map<string, SourceFile>([
    [source.path, { path: source.path, size: source.size }],
  ])
  const initializers: Initializer[] = []
  for (const { initializer, external } of located) {
    if (external === undefined) initializers.push(initializer)
    else initializers.push(await locateExternal(source, initializer, external, files))
  }
  const used = new Set(initializers.map(({ extent }) => extent?.path))
  return {
    nodes,
    initializers,
    inputs,
    files: [...files.values()].filter(({ path }) => used.has(path)),
  }
}

/** A node, and those of the graphs that it holds. */
async function readNode(
  cursor: WireCursor,
  field: { offset: number; length: number },
): Promise<NodeProto[]> {
  const bytes = await readField(cursor, field, maxNode, 'a node')
  return flattened(decoded(NodeProtoSchema, bytes, `the node at byte ${field.offset}`, cursor))
}

async function readInput(
  cursor: WireCursor,
  field: { offset: number; length: number },
): Promise<GraphInput> {
  const bytes = await readField(cursor, field, maxName, 'an input')
  const { name, type } = decoded(ValueInfoProtoSchema, bytes, 'an input', cursor)
  const dims = type?.value.case === 'tensorType' ? (type.value.value.shape?.dim ?? []) : []
  return {
    name,
    shape: dims.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : undefined)),
  }
}

function decoded<T extends DescMessage>(
  schema: T,
  bytes: Uint8Array,
  what: string,
  { source }: WireCursor,
): MessageShape<T> {
  try {
    return fromBinary(schema, bytes)
  } catch (cause) {
    throw inputError(`${what} is malformed`, { ...at(source), cause })
  }
}

function flattened(node: NodeProto): NodeProto[] {
  const inner = node.attribute.flatMap(({ g, graphs }) => (g ? [g, ...graphs] : graphs))
  return [node, ...inner.flatMap((graph) => graph.node.flatMap(flattened))]
}

async function locateTensor(
  cursor: WireCursor,
  end: number,
): Promise<{ initializer: Initializer; external?: ReadonlyMap<string, string> }> {
  const { path } = cursor.source
  const initializer: Initializer = { name: '', type: 0, shape: [] }
  const external = new Map<string, string>()
  while (cursor.offset < end) {
    const field = await nextField(cursor, end)
    const text = async (what: string) => {
      if (field.kind !== 'bytes') throw inputError(`${what} is a number`, at(cursor.source))
      return readField(cursor, field, maxName, what)
    }
    switch (field.number) {
      case tensorFields.dims: {
        const dims = field.kind === 'varint' ? [field.value] : packedVarints(await text('a shape'))
        append(initializer.shape, dims.map(Number))
        break
      }
      case tensorFields.type:
        if (field.kind === 'varint') initializer.type = Number(field.value)
        break
      case tensorFields.name:
        initializer.name = new TextDecoder().decode(await text('a name'))
        break
      // Packed, the floats of `float_data` lie as raw ones do.
      case tensorFields.floats:
      case tensorFields.raw:
        if (field.kind === 'bytes' && field.length > 0) {
          initializer.extent = { path, offset: field.offset, length: field.length }
        }
        break
      case tensorFields.external: {
        const bytes = await text('external data')
        const entry = decoded(StringStringEntryProtoSchema, bytes, 'external data', cursor)
        external.set(entry.key, entry.value)
        break
      }
    }
  }
  return external.size > 0 ? { initializer, external } : { initializer }
}

/** Finds a tensor's bytes in a file beside the graph, and holds what the graph says to that file. */
async function locateExternal(
  { path }: ByteSource,
  initializer: Initializer,
  external: ReadonlyMap<string, string>,
  files: Map<string, SourceFile>,
): Promise<Initializer> {
  const where = { format: 'onnx', path, tensor: initializer.name }
  const location = external.get('location') ?? ''
  if (!isWithinFolder(location)) {
    throw inputError(
      `its data is said to be in ${JSON.stringify(location)}, which is no file of the graph's folder`,
      { ...where, suggestions: ['Do not use a file that points elsewhere.'] },
    )
  }
  const file = join(dirname(path), location)
  const known = files.get(file) ?? { path: file, size: await sizeBeside(file, path) }
  files.set(file, known)
  const offset = number(external.get('offset') ?? '0')
  const length = number(external.get('length') ?? String(known.size - (offset ?? 0)))
  if (offset === undefined || length === undefined) {
    throw inputError(
      `its data is said to be at ${JSON.stringify(external.get('offset'))}, ${JSON.stringify(external.get('length'))} bytes of ${location}`,
      where,
    )
  }
  if (offset + length > known.size) {
    throw inputError(
      `its data ends at byte ${offset + length} of ${location}, which has ${known.size}`,
      { ...where, suggestions: [`${basename(file)} is truncated, or not this graph's own.`] },
    )
  }
  return { ...initializer, extent: { path: file, offset, length } }
}

async function sizeBeside(file: string, graph: string): Promise<number> {
  try {
    return await sizeOf(file)
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!missing) throw fromSystemError(error, file, 'read it')
    throw inputError(`its weights are in ${basename(file)}, which is not there`, {
      format: 'onnx',
      path: graph,
      suggestions: [`Put ${basename(file)} beside it; it belongs to the same export.`],
      cause: error,
    })
  }
}

/** A relative path that stays within the folder, on any system. */
function isWithinFolder(location: string): boolean {
  if (location === '' || /^[/\\]|[\\:\0]/.test(location)) return false
  return !location.split('/').some((part) => part === '' || part === '.' || part === '..')
}

function number(text: string): number | undefined {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}

function at({ path }: ByteSource): { format: string; path: string } {
  return { format: 'onnx', path }
}
