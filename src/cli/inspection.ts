import { architectureOf } from '../architectures/index.js'
import type { Checkpoint } from '../checkpoint/checkpoint.js'
import { configToHf } from '../checkpoint/config.js'
import { shown } from '../checkpoint/geometry.js'
import { scalingType } from '../checkpoint/rotary.js'
import { matrixOf, type Tensor, tensorBytes } from '../checkpoint/tensor.js'
import { gguf } from '../formats/gguf/gguf.js'
import type { VocabularyFile } from '../formats/gguf/kinds.js'
import type { OpaqueGguf } from '../formats/gguf/opaque.js'
import type { JsonObject } from '../io/json.js'
import { formatBytes, formatCount } from '../io/units.js'
import type { Inspected } from '../library/inspection.js'
import type { TokenizerSummary } from '../tokenizer/summary.js'
import type { InspectionJson, OpaqueJson, VocabularyJson } from './json.js'
import { describeMetadata, metadataJson } from './metadata.js'
import { formatTable } from './table.js'
import { tokenizerReport, tokenizerRows } from './tokenizer.js'

/** A checkpoint, for people. */
export function describeCheckpoint(
  checkpoint: Checkpoint,
  tokenizer: TokenizerSummary | undefined,
  withTensors: boolean,
): string {
  const { config, files } = checkpoint
  const { parameters, bytes, dtypes } = totals(checkpoint)
  const size = files.reduce((sum, file) => sum + file.size, 0)
  const facts = [
    ['format', checkpoint.format],
    ['architecture', describeArchitecture(checkpoint)],
    ['files', `${files.length} (${formatBytes(size)})`],
    [
      'parameters',
      `${formatCount(parameters)} in ${checkpoint.tensors.size} tensors (${formatBytes(bytes)})`,
    ],
    [
      'types',
      Object.entries(dtypes)
        .map(([dtype, count]) => `${dtype} × ${count}`)
        .join(', '),
    ],
    [
      'layers',
      `${config.num_hidden_layers} of hidden size ${config.hidden_size}, intermediate ${config.intermediate_size}`,
    ],
    [
      'heads',
      `${config.num_attention_heads} and ${config.num_key_value_heads} key-value heads of ${config.head_dim}`,
    ],
    ['vocabulary', `${config.vocab_size}${config.tie_word_embeddings ? ', embeddings tied' : ''}`],
    ['positions', `${config.max_position_embeddings}, rope theta ${config.rope_theta}`],
    ...(config.rope_scaling === null
      ? []
      : [['rotary scaling', describeScaling(config.rope_scaling)]]),
    ...(config.sliding_window === null
      ? []
      : [['sliding window', `${config.sliding_window} tokens`]]),
    ['rms epsilon', String(config.rms_norm_eps)],
    ...tokenizerRows(tokenizer),
  ]
  const metadata = checkpoint.metadata ? `\n\n${describeMetadata(checkpoint.metadata)}` : ''
  if (!withTensors) return formatTable(facts) + metadata
  const tensors = [...checkpoint.tensors.values()].map((tensor) => [
    tensor.storedName,
    tensor.dtype,
    shown(tensor.shape),
    layoutOf(tensor),
    formatBytes(tensorBytes(tensor)),
  ])
  return `${formatTable(facts)}${metadata}\n\n${formatTable([['tensor', 'type', 'shape [out, in]', 'layout', 'size'], ...tensors], [4])}`
}

function describeArchitecture({ config, tensors }: Checkpoint): string {
  const { title } = architectureOf(config)
  return [...tensors.keys()].some((name) => name.endsWith('.bias'))
    ? `${title}, with biases`
    : title
}

/** A checkpoint, for programs. */
export function inspection(
  { checkpoint, tokenizer, warnings }: Extract<Inspected, { kind: 'checkpoint' }>,
  withTensors: boolean,
): InspectionJson {
  const { parameters, bytes, dtypes } = totals(checkpoint)
  const matrix = [...checkpoint.tensors.values()].find(({ shape }) => shape.length === 2)
  return {
    path: checkpoint.path,
    format: checkpoint.format,
    files: checkpoint.files.map(({ path, size }) => ({ path, bytes: size })),
    parameters,
    bytes,
    dtypes,
    config: configToHf(checkpoint.config, matrix?.dtype ?? 'f32'),
    tokenizer: tokenizerReport(checkpoint.tokenizer, tokenizer),
    ...(checkpoint.metadata ? { metadata: metadataJson(checkpoint.metadata) } : {}),
    notes: warnings,
    ...(withTensors
      ? {
          tensors: [...checkpoint.tensors.values()].map(
            ({ name, storedName, dtype, shape, layout, parts }) => ({
              name,
              stored_name: storedName,
              dtype,
              shape,
              layout,
              extents: parts.flatMap(({ extents }) => extents),
            }),
          ),
        }
      : {}),
  }
}

/** A GGUF whose weights are not read here, for people. */
export function describeOpaque(
  { files, metadata, reason, tensors }: OpaqueGguf,
  withTensors: boolean,
): string {
  const size = files.reduce((sum, file) => sum + file.size, 0)
  const types = countTypes(tensors)
  const facts = [
    ['format', gguf.name],
    ['files', `${files.length} (${formatBytes(size)})`],
    ['tensors', String(tensors.length)],
    ['types', [...types].map(([type, count]) => `${nameOfType(type)} × ${count}`).join(', ')],
    ['weights', reason],
  ]
  const rows = tensors.map(({ name, type, shape }) => [name, nameOfType(type), shown(shape)])
  const table = withTensors
    ? `\n\n${formatTable([['tensor', 'type', 'shape [out, in]'], ...rows])}`
    : ''
  return `${formatTable(facts)}\n\n${describeMetadata(metadata)}${table}`
}

/** The same for programs. */
export function opaqueInspection(
  { path, files, metadata, reason, tensors }: OpaqueGguf,
  withTensors: boolean,
): OpaqueJson {
  return {
    path,
    format: gguf.name,
    files: files.map((file) => ({ path: file.path, bytes: file.size })),
    dtypes: Object.fromEntries(countTypes(tensors)),
    metadata: metadataJson(metadata),
    notes: [reason],
    ...(withTensors ? { tensors } : {}),
  }
}

function countTypes(tensors: OpaqueGguf['tensors']): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { type } of tensors) counts.set(type, (counts.get(type) ?? 0) + 1)
  return counts
}

/** A type that has no name here is a number. */
function nameOfType(type: string): string {
  return /^\d+$/.test(type) ? `type ${type}` : type
}

/** A GGUF that is a vocabulary alone, for people. */
export function describeVocabulary({ files, metadata, tokens }: VocabularyFile): string {
  const size = files.reduce((sum, file) => sum + file.size, 0)
  const facts = [
    ['format', gguf.name],
    ['files', `${files.length} (${formatBytes(size)})`],
    ['weights', 'none: it is a vocabulary alone'],
    ['tokens', String(tokens)],
  ]
  return `${formatTable(facts)}\n\n${describeMetadata(metadata)}`
}

/** The same for programs. */
export function vocabularyInspection({
  path,
  files,
  metadata,
  tokens,
}: VocabularyFile): VocabularyJson {
  return {
    path,
    format: gguf.name,
    files: files.map(({ path, size }) => ({ path, bytes: size })),
    parameters: 0,
    tokens,
    metadata: metadataJson(metadata),
  }
}

function totals({ tensors }: Checkpoint): {
  parameters: number
  bytes: number
  dtypes: Record<string, number>
} {
  const dtypes: Record<string, number> = {}
  let parameters = 0
  let bytes = 0
  for (const tensor of tensors.values()) {
    const [rows, columns] = matrixOf(tensor.shape)
    parameters += rows * columns
    bytes += tensorBytes(tensor)
    dtypes[tensor.dtype] = (dtypes[tensor.dtype] ?? 0) + 1
  }
  return { parameters, bytes, dtypes }
}

/** yarn, factor 4, original_max_position_embeddings 64; of lists, how many values they have. */
function describeScaling(scaling: JsonObject): string {
  const fields = Object.entries(scaling)
    .filter(([name]) => name !== 'rope_type' && name !== 'type')
    .map(([name, value]) => {
      return `${name} ${Array.isArray(value) ? `of ${value.length} values` : JSON.stringify(value)}`
    })
  const type = scalingType(scaling)
  return [typeof type === 'string' ? type : JSON.stringify(type), ...fields].join(', ')
}

function layoutOf({ layout }: Tensor): string {
  const words = [
    layout.transposed ? 'transposed' : '',
    layout.rotary ? layout.rotary.order : '',
    layout.added === undefined ? '' : `+ ${layout.added}`,
  ]
  return words.filter((word) => word !== '').join(' ')
}
