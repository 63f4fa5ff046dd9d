import type { Role } from '../../architectures/architecture.js'
import { architectureOf, defaultArchitecture } from '../../architectures/index.js'
import type { StoredArray } from '../../checkpoint/checkpoint.js'
import { shown } from '../../checkpoint/geometry.js'
import { roleOf } from '../../checkpoint/names.js'
import type { Part } from '../../checkpoint/tensor.js'
import { inputError } from '../../io/errors.js'

/**
 * How Meta's model-parallel files share a tensor out: by rows of its matrix
 * [out, in], by columns, or a whole copy in each. The embedding is shared out
 * by columns (the hidden axis) in LLaMA 1 and 2, by rows (the vocabulary) in 3.
 */
export type Split = 'rows' | 'columns' | 'copies'

/**
 * How a tensor of a role is shared out.
 * @param embedding how the embedding is, which differs between generations
 */
export function splitOf({ split }: Role, embedding: Split): Split {
  return split === 'either' ? embedding : split
}

/**
 * Puts the tensors of all files together, each from its piece in every file.
 * @param ranks the arrays of each file, in the order of the files
 * @throws input error where files differ in names, types, or shapes that must fit
 */
export function joinRanks(ranks: readonly StoredArray[][], path: string): StoredArray[] {
  const byName = ranks.map((arrays) => new Map(arrays.map((array) => [array.name, array])))
  const [first = new Map<string, StoredArray>()] = byName
  const embedding = embeddingSplit(byName, path)
  // Whose code it is knows no other.
  const architecture = architectureOf({ model_type: defaultArchitecture })
  byName.forEach((arrays, rank) => {
    const odd =
      [...arrays.keys()].find((name) => !first.has(name)) ??
      [...first.keys()].find((name) => !arrays.has(name))
    if (odd !== undefined) {
      throw inputError(`it is in one of the files 0 and ${rank} only`, where(path, odd))
    }
  })
  return [...first.keys()].map((name) => {
    const named = roleOf(architecture, name, 'meta')
    const split = named ? splitOf(named.role, embedding) : 'copies'
    const pieces = byName.flatMap((arrays) => arrays.get(name) ?? [])
    return joinPieces(pieces, split, path)
  })
}

/**
 * Which axis the embedding is split along: the norms, of which each file has a
 * whole copy, say how long the hidden axis is.
 */
function embeddingSplit(ranks: readonly ReadonlyMap<string, StoredArray>[], path: string): Split {
  const name = 'tok_embeddings.weight'
  const hidden = ranks[0]?.get('norm.weight')?.shape[0]
  const widths = ranks.flatMap((arrays) => arrays.get(name)?.shape[1] ?? [])
  // What is missing is told when all tensors are looked at.
  if (hidden === undefined || widths.length < ranks.length) return 'columns'
  if (widths.every((width) => width === hidden)) return 'rows'
  const together = widths.reduce((sum, width) => sum + width, 0)
  if (together === hidden) return 'columns'
  throw inputError(
    `its columns in ${ranks.length === 1 ? 'the one file' : `${ranks.length} files`} make ${together}, "norm.weight" has ${hidden}`,
    { ...where(path, name), suggestions: ['Are all of the consolidated.*.pth files here?'] },
  )
}

function joinPieces(pieces: readonly StoredArray[], split: Split, path: string): StoredArray {
  const [first, ...others] = pieces
  if (first === undefined) throw new Error('a tensor of no pieces')
  const axis = split === 'columns' ? 1 : 0
  for (const piece of others) {
    const fits =
      piece.shape.length === first.shape.length &&
      piece.shape.every((size, i) => size === first.shape[i] || (split !== 'copies' && i === axis))
    if (!fits || piece.dtype !== first.dtype || piece.transposed !== first.transposed) {
      throw inputError(
        `it is ${describe(first)} in one file and ${describe(piece)} in another`,
        where(path, first.name),
      )
    }
  }
  if (split === 'copies' || others.length === 0) return first
  // A tensor stored as its transpose has the columns of its matrix as rows.
  const alongRows = (axis === 0) !== (first.transposed ?? false)
  const parts: Part[] = []
  let position = 0
  for (const piece of pieces) {
    for (const part of piece.parts) {
      parts.push(
        alongRows
          ? { ...part, row: part.row + position }
          : { ...part, column: part.column + position },
      )
    }
    position += piece.shape[axis] ?? 0
  }
  const shape = first.shape.map((size, i) => (i === axis ? position : size))
  return { ...first, shape, parts }
}

/**
 * The piece of a matrix that one of `count` files gets: where it begins, and its shape.
 * The sizes must divide; `checkRanks` sees to it.
 */
export function pieceOf(
  shape: readonly number[],
  split: Split,
  rank: number,
  count: number,
): { row: number; column: number; shape: number[] } {
  if (split === 'copies') return { row: 0, column: 0, shape: [...shape] }
  const [rows = 1, columns = 1] = shape
  if (split === 'rows') {
    return { row: (rank * rows) / count, column: 0, shape: [rows / count, columns] }
  }
  return { row: 0, column: (rank * columns) / count, shape: [rows, columns / count] }
}

function describe({ dtype, shape, transposed }: StoredArray): string {
  return `${dtype} ${shown(shape)}${transposed ? ', transposed' : ''}`
}

function where(path: string, tensor: string) {
  return { format: 'meta', path, tensor }
}
