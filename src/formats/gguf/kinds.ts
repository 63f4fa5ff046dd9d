import { type MetadataEntry, metadataLookup } from '../../checkpoint/metadata.js'
import { inputError } from '../../io/errors.js'
import type { GgufPart } from './split.js'

/** GGUF holds more than models: what a file is by its metadata, where it is none. */
const kinds: readonly { type?: string; architecture?: string; what: string; todo: string }[] = [
  {
    type: 'imatrix',
    what: 'it is an importance matrix, not a model',
    todo: 'Name it with `imatrix` where the model is quantized.',
  },
  {
    type: 'adapter',
    what: 'it is an adapter, not a model',
    todo: 'Merge it into its base model first: llama-export-lora -m BASE --lora ADAPTER -o OUT.',
  },
  {
    type: 'mmproj',
    what: 'it is the projector of a model of images (mmproj), not a language model',
    todo: 'Name the GGUF of the language model that it goes with.',
  },
  {
    architecture: 'clip',
    what: 'it is the projector of a model of images (mmproj), not a language model',
    todo: 'Name the GGUF of the language model that it goes with.',
  },
]

/** @throws input error for a file that is no model, by what it is */
export function refuseOtherKinds(parts: readonly GgufPart[], path: string): void {
  const where = { format: 'gguf', path }
  const metadata = metadataLookup(parts[0]?.header.entries ?? [])
  const type = metadata.text('general.type')
  const architecture = metadata.text('general.architecture')
  const found = kinds.find(
    (kind) =>
      (kind.type !== undefined && kind.type === type) ||
      (kind.architecture !== undefined && kind.architecture === architecture),
  )
  if (found !== undefined) throw inputError(found.what, { ...where, suggestions: [found.todo] })
  if (parts.some(({ header }) => header.tensors.length + header.opaque.length > 0)) return
  if (metadata.get(tokensKey) === undefined) throw inputError('there are no tensors in it', where)
  throw inputError('it is a vocabulary without weights: there are no tensors in it', {
    ...where,
    suggestions: [
      'openllama inspect shows it, and openllama tokenizer converts and checks it; for a conversion, name the model’s own file.',
    ],
  })
}

const tokensKey = 'tokenizer.ggml.tokens'

/** A GGUF that has a vocabulary and no weights. */
export interface VocabularyFile {
  path: string
  files: { path: string; size: number }[]
  metadata: readonly MetadataEntry[]
  /** How many tokens it has. */
  tokens: number
}

/**
 * The vocabulary that a GGUF is, where it is nothing else.
 * @param path what to call it
 */
export function vocabularyIn(parts: readonly GgufPart[], path: string): VocabularyFile | undefined {
  const metadata = parts[0]?.header.entries ?? []
  const tokens = metadataLookup(metadata).get(tokensKey)?.value
  const has = parts.some(({ header }) => header.tensors.length + header.opaque.length > 0)
  if (has || !Array.isArray(tokens)) return undefined
  return { path, files: parts.map(({ file }) => file), metadata, tokens: tokens.length }
}
