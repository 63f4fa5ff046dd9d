import { inputError } from '../io/errors.js'

/**
 * Files of models, or beside them, that are in none of the formats that are read:
 * each is called by its name, with what to do.
 */
interface OtherFile {
  what: string
  todo: string
  /** The bytes that it starts with, and from where on. */
  starts?: readonly (readonly [offset: number, bytes: string])[]
  names?: RegExp
}

const unpack = 'Unpack it first, and name the folder that comes out.'

/** Known by their first bytes: none of the formats that are read starts so. */
const byBytes: readonly OtherFile[] = [
  {
    what: 'it is HDF5: weights of TensorFlow or Keras',
    todo: 'Load it with from_tf=True in transformers 4, call save_pretrained(), and convert that.',
    starts: [[0, '\x89HDF\r\n\x1a\n']],
  },
  {
    what: 'it is a file of llama.cpp from before GGUF',
    todo: 'Take the model as GGUF, or the weights that it was made of.',
    starts: [
      [0, 'lmgg'],
      [0, 'fmgg'],
      [0, 'tjgg'],
    ],
  },
  {
    what: 'it is a LoRA adapter of llama.cpp from before GGUF, not a model',
    todo: 'Take the adapter as PEFT has it, and merge it into its base model first.',
    starts: [[0, 'algg']],
  },
  {
    what: 'it is a model that llama2.c exported for its run.c (version 1 or 2)',
    todo: 'Name the ckpt.pt of its training, which this was exported from.',
    starts: [[0, '24ka']],
  },
  {
    what: 'it is an array of numpy',
    todo: 'Name the file or the folder that the whole model is in.',
    starts: [[0, '\x93NUMPY']],
  },
  { what: 'it is a gzip archive', todo: unpack, starts: [[0, '\x1f\x8b']] },
  { what: 'it is a zstd archive', todo: unpack, starts: [[0, '\x28\xb5\x2f\xfd']] },
  { what: 'it is an xz archive', todo: unpack, starts: [[0, '\xfd7zXZ\0']] },
  { what: 'it is a bzip2 archive', todo: unpack, starts: [[0, 'BZh']] },
  { what: 'it is a 7-Zip archive', todo: unpack, starts: [[0, "7z\xbc\xaf'\x1c"]] },
  { what: 'it is a RAR archive', todo: unpack, starts: [[0, 'Rar!\x1a\x07']] },
  { what: 'it is a tar archive', todo: unpack, starts: [[257, 'ustar']] },
]

/** Known by their names, where their bytes say nothing. */
const byName: readonly OtherFile[] = [
  {
    what: 'it is an importance matrix, not a model',
    todo: 'Name it with `imatrix` where the model is quantized.',
    names: /imatrix[^/]*\.(dat|gguf|gguf_file)$|\.imatrix$/i,
  },
  {
    what: 'it is a download that was not finished',
    todo: 'Let it be finished, or download it again (openllama pull OWNER/REPO).',
    names: /\.(incomplete|part|partial|crdownload|download|aria2|tmp)$/i,
  },
  {
    what: 'it is in none of the known formats: a file of settings or of text, by its name',
    todo: 'Name the folder that it is in, or the file of the weights beside it.',
    names: /\.(json|ya?ml|toml|txt|md|jinja)$/i,
  },
]

/**
 * @param head the first bytes of the file
 * @throws input error for a file whose bytes say that it is of a known other kind
 */
export function refuseOtherBytes(path: string, head: Uint8Array, size: number): void {
  const text = Buffer.from(head).toString('latin1')
  const found = byBytes.find(({ starts = [] }) =>
    starts.some(([offset, bytes]) => text.startsWith(bytes, offset)),
  )
  if (found !== undefined) throw inputError(found.what, { path, suggestions: [found.todo] })
  if (isLlama2c(head, size)) {
    throw inputError('it is a model that llama2.c exported for its run.c', {
      path,
      suggestions: ['Name the ckpt.pt of its training, which this was exported from.'],
    })
  }
}

/** @throws input error for a file whose name says that it is of a known other kind */
export function refuseOtherName(path: string): void {
  const found = byName.find(({ names }) => names?.test(path))
  if (found !== undefined) throw inputError(found.what, { path, suggestions: [found.todo] })
}

/**
 * llama2.c's first version has no mark: seven sizes, and f32 weights of exactly as many bytes as
 * these make. A vocabulary below zero says that the head is a matrix of its own.
 */
function isLlama2c(head: Uint8Array, size: number): boolean {
  if (head.length < 28) return false
  const view = new DataView(head.buffer, head.byteOffset, 28)
  const sizes = Array.from({ length: 7 }, (_, i) => view.getInt32(4 * i, true))
  const [dim = 0, hidden = 0, layers = 0, heads = 0, keyHeads = 0, signed = 0, length = 0] = sizes
  const vocabulary = Math.abs(signed)
  const wrong = [dim, hidden, layers, heads, keyHeads, vocabulary, length].some((n) => n < 1)
  if (wrong || dim % heads !== 0) return false
  const headDim = dim / heads
  const layer = 2 * dim + 2 * dim * dim + 2 * dim * keyHeads * headDim + 3 * dim * hidden
  const own = signed < 0 ? vocabulary * dim : 0
  return size === 28 + 4 * (vocabulary * dim + layers * layer + dim + length * headDim + own)
}
