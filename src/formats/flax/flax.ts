import { pack } from 'msgpackr'
import type { Listing } from '../../checkpoint/checkpoint.js'
import type { Tensor } from '../../checkpoint/tensor.js'
import { append } from '../../io/append.js'
import { inputError } from '../../io/errors.js'
import { type ByteSource, openFile } from '../../io/source.js'
import type { Format } from '../format.js'
import { joinShards, onlyIndex } from '../hf/shards.js'
import { outputTensors, withHead } from '../target.js'
import { isChunkedKey, locateArray } from './array.js'
import { layOutArray, mapHead, type Segment } from './layout.js'
import {
  atEnd,
  expectHead,
  type MsgpackCursor,
  msgpackCursor,
  readHead,
  readText,
  skipValue,
} from './msgpack.js'
import { easylmHolder, flaxTarget, layOutFile, storedShape } from './target.js'
import { isStateRoot, type Leaf, listLeaves } from './train-state.js'

/**
 * flax.serialization's one-message file: a tree of msgpack maps whose leaves
 * are arrays. Payloads are stepped over.
 */
export const flax: Format = {
  name: 'flax',
  title: 'flax msgpack',
  traits: {
    short: 'Flax',
    engine: 'onnxruntime',
    graph: false,
    loading: 'msgpack',
    standalone: false,
    tokenizer: 'beside',
    metadata: false,
    library: 'flax',
    tags: ['easylm', 'jax'],
    rank: 6,
    tagRank: 4,
  },
  options: ['keepTokenizer'],
  // EasyLM's documentation says `flax`, its code takes `flax_params`.
  loaders: ['flax_params', 'flax'],

  detect: (head) =>
    head[0] !== undefined &&
    (head[0] >> 4 === 8 || head[0] === 0xde || head[0] === 0xdf) &&
    looksLikeKey(head),

  detectDirectory: (entries) =>
    entries.includes(indexName) ? indexName : onlyIndex(entries, /\.msgpack\.index\.json$/),

  async open(path) {
    const index = path.endsWith('.index.json') ? await joinShards(path, 'flax') : undefined
    const listings: Listing[] = []
    for (const file of index?.files ?? [path]) {
      const source = await openFile(file)
      try {
        listings.push(await listParameters(source))
      } finally {
        await source.close()
      }
    }
    const arrays = listings.flatMap((listing) => listing.arrays)
    index?.check(arrays, [])
    const [first] = listings
    if (first === undefined) throw inputError('it names no files', { format: 'flax', path })
    return {
      ...first,
      path,
      naming: listings.some(({ naming }) => naming === 'hf-flax') ? 'hf-flax' : first.naming,
      files: listings.flatMap(({ files }) => files),
      arrays,
      notes: [...new Set(listings.flatMap(({ notes }) => notes))],
    }
  },

  describe(checkpoint, options) {
    const tensors = withHead(
      checkpoint,
      easylmHolder,
      outputTensors(checkpoint, easylmHolder, options),
    )
    return flaxTarget(
      checkpoint,
      options,
      'flax',
      layOutFile('params.msgpack', layOutTree(tensors)),
    )
  },
}

/** transformers' index of a Flax model in several files, each a tree of its own. */
const indexName = 'flax_model.msgpack.index.json'

/** The nested maps of names, with the arrays as leaves, depth first. */
function layOutTree(
  tensors: readonly Tensor[],
  depth = 0,
): { segments: readonly Segment[]; tensor?: Tensor }[] {
  const branches = new Map<string, Tensor[]>()
  for (const tensor of tensors) {
    const key = tensor.storedName.split('/')[depth] ?? ''
    branches.set(key, [...(branches.get(key) ?? []), tensor])
  }
  const pieces: { segments: readonly Segment[]; tensor?: Tensor }[] = [
    { segments: [mapHead(branches.size)] },
  ]
  for (const [key, branch] of branches) {
    pieces.push({ segments: [pack(key)] })
    const [leaf] = branch
    if (leaf && leaf.storedName.split('/').length === depth + 1) {
      pieces.push({ segments: layOutArray(leaf.dtype, storedShape(leaf)), tensor: leaf })
    } else append(pieces, layOutTree(branch, depth + 1))
  }
  return pieces
}

/** Subtrees as deep as any model's modules nest, and then some. */
const maxDepth = 32

/** Lists the arrays of the tree. */
export async function listParameters(source: ByteSource): Promise<Listing> {
  const cursor = msgpackCursor(source, 'flax')
  const found: Leaf[] = []
  const { length } = await expectHead(cursor, 'map', 'the tree of parameters')
  await walk(cursor, length, [], found)
  if (!atEnd(cursor)) {
    throw inputError(
      `the tree ends at byte ${cursor.offset}, the file at ${source.size}: ${source.size - cursor.offset} bytes too many`,
      { format: 'flax', path: source.path },
    )
  }
  return listLeaves('flax', source, found)
}

async function walk(
  cursor: MsgpackCursor,
  length: number,
  path: string[],
  found: Leaf[],
): Promise<void> {
  const where = { format: 'flax', path: cursor.source.path }
  if (path.length > maxDepth)
    throw inputError(`the tree nests more than ${maxDepth} levels deep`, where)
  const seen = new Set<string>()
  for (let i = 0; i < length; i++) {
    const name = await readText(cursor, `a key of "${path.join('/')}"`)
    const key = [...path, name]
    if (seen.has(name))
      throw inputError('it is in the file a second time', { ...where, tensor: key.join('/') })
    seen.add(name)
    if (path.length === 0 && isStateRoot(name)) {
      await skipValue(cursor, `"${name}"`)
      found.push({ key })
      continue
    }
    const head = await readHead(cursor, `"${key.join('/')}"`)
    if (head.type === 'map' && !(await isChunked(cursor, head.length))) {
      await walk(cursor, head.length, key, found)
    } else {
      found.push({ key, array: await locateArray(cursor, 'flax', head, key.join('/')) })
    }
  }
}

/** Looks at the first key of a map and goes back. */
async function isChunked(cursor: MsgpackCursor, length: number): Promise<boolean> {
  if (length === 0) return false
  const start = cursor.offset
  const key = await readText(cursor, 'a key')
  cursor.offset = start
  return isChunkedKey(key)
}

/** A map's head is one byte that much else starts with too; a short string must follow it. */
function looksLikeKey(head: Uint8Array): boolean {
  const first = head[0] ?? 0
  const next = head[first === 0xde ? 3 : first === 0xdf ? 5 : 1] ?? 0
  return next >> 5 === 5 || next === 0xd9
}
