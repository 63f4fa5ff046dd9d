import { inputError } from '../io/errors.js'
import { recordOf } from '../types/dtype.js'
import type { GgmlType } from '../types/ggml.js'

/** How much each column of a matrix counts, measured by running the model on a text. */
export interface Imatrix {
  /** GGUF tensor name → one number for each column. */
  importance: Map<string, Float32Array>
  /** The texts, as far as the file tells. */
  datasets: string[]
  /** In how many chunks they were read; 0 where the file does not tell. */
  chunks: number
}

/** As much of an opened GGUF file as an importance matrix needs. */
export interface ImatrixGguf {
  metadata: ReadonlyMap<string, unknown>
  /** Tensors of F32, with their elements. */
  tensors: readonly { name: string; data: Float32Array }[]
}

const format = 'imatrix'
const magic = 'GGUF'
/** A tensor name in GGUF has at most 64 bytes; a legacy file may come from an older program. */
const longestName = 1024

/** Whether a file that is said to be an importance matrix is a GGUF file, not one of the legacy kind. */
export function isGgufImatrix(start: Uint8Array): boolean {
  return Buffer.from(start.subarray(0, magic.length)).toString('latin1') === magic
}

/**
 * An importance matrix in a GGUF file: for each tensor `NAME.in_sum2`, the sums of squared
 * activations, and `NAME.counts`, over how many they went.
 */
export function imatrixFromGguf({ metadata, tensors }: ImatrixGguf, path: string): Imatrix {
  const data = new Map(tensors.map((tensor) => [tensor.name, tensor.data]))
  const importance = new Map<string, Float32Array>()
  for (const [tensor, sums] of data) {
    if (!tensor.endsWith('.in_sum2')) continue
    const name = tensor.slice(0, -'.in_sum2'.length)
    const counts = data.get(`${name}.counts`)
    if (counts?.length !== 1) {
      const found = counts === undefined ? 'no counts' : `${counts.length} counts`
      throw inputError(`${found}, expected 1`, {
        format,
        path,
        tensor: name,
        suggestions: ['Matrices of several experts are not supported.'],
      })
    }
    importance.set(name, means(sums, counts[0] ?? 0, 1, { format, path, tensor: name }))
  }
  if (importance.size === 0) throw noEntries(path)
  const datasets = metadata.get('imatrix.datasets')
  const chunks = metadata.get('imatrix.chunk_count')
  return {
    importance,
    datasets: Array.isArray(datasets) ? datasets.map(String) : [],
    chunks: typeof chunks === 'number' || typeof chunks === 'bigint' ? Number(chunks) : 0,
  }
}

/**
 * A legacy importance matrix: a count of entries, each a name, a number of calls and the sums;
 * then, in newer files, the number of chunks and the text's name. All numbers 32-bit little-endian.
 */
export function parseLegacyImatrix(bytes: Uint8Array, path: string): Imatrix {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let offset = 0
  const take = (length: number, what: string): number => {
    if (length < 0 || offset + length > bytes.length) {
      throw inputError(
        `${what} at byte ${offset} takes ${length} bytes, and ${bytes.length - offset} are left`,
        { format, path, suggestions: ['The file is truncated or no importance matrix.'] },
      )
    }
    const at = offset
    offset += length
    return at
  }
  const int = (what: string) => view.getInt32(take(4, what), true)
  const text = (length: number, what: string) => {
    const at = take(length, what)
    return Buffer.from(bytes.subarray(at, at + length)).toString('utf8')
  }

  const entries = int('the number of entries')
  if (entries < 1) throw noEntries(path)
  const importance = new Map<string, Float32Array>()
  for (let entry = 0; entry < entries; entry++) {
    const length = int('the length of a name')
    if (length < 1 || length > longestName) {
      throw inputError(`entry ${entry} has a name of ${length} bytes`, { format, path })
    }
    const tensor = text(length, 'a name')
    const calls = int('the number of calls')
    const count = int('the number of values')
    if (count < 1) throw inputError(`${count} values`, { format, path, tensor })
    const at = take(count * 4, 'the values')
    const sums = Float32Array.from({ length: count }, (_, i) => view.getFloat32(at + 4 * i, true))
    importance.set(tensor, means(sums, calls, undefined, { format, path, tensor }))
  }
  const chunks = offset < bytes.length ? int('the number of chunks') : 0
  const dataset = offset < bytes.length ? text(int('the length of a name'), 'a name') : ''
  return { importance, datasets: dataset === '' ? [] : [dataset], chunks }
}

/**
 * The importance of a tensor's columns; undefined where the file has none for it.
 * A token embedding that is a head as well may have been measured as the head alone.
 */
export function importanceOf(
  { importance }: Imatrix,
  tensor: string,
  columns: number,
  path: string,
): Float32Array | undefined {
  const found = importance.get(tensor)
  if (found === undefined || found.length === columns) return found
  if (tensor === 'token_embd.weight') return undefined
  throw inputError(`importance of ${found.length} columns, and the matrix has ${columns}`, {
    format,
    path,
    tensor,
    suggestions: ['The importance matrix was measured on another model.'],
  })
}

/** Whether a matrix becomes zeros altogether: by the file none of its columns counts. */
export function isZeroed(importance: Float32Array, type: GgmlType): boolean {
  return recordOf(type).zeroes === true && importance.every((value) => value === 0)
}

/**
 * Sums by count in f32, as llama-quantize divides; `never` stands for what was never measured.
 * @throws input error for what no sum of squares is: with it a search for scales ends in zeros
 */
function means(
  sums: Float32Array,
  count: number,
  never: number | undefined,
  where: { format: string; path: string; tensor: string },
): Float32Array {
  const divisor = Math.fround(Math.round(count))
  const result = sums.map((sum) => (divisor > 0 ? sum / divisor : (never ?? sum)))
  const bad = result.findIndex((value) => !Number.isFinite(value) || value < 0)
  if (bad >= 0) {
    throw inputError(`column ${bad} has importance ${result[bad]}`, {
      ...where,
      suggestions: ['The file is damaged: measure it again, or convert without it.'],
    })
  }
  return result
}

function noEntries(path: string): Error {
  return inputError('no importance of any tensor in it', { format, path })
}
