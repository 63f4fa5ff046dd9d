import type { Listing } from '../../checkpoint/checkpoint.js'
import { inputError } from '../../io/errors.js'
import { type ByteSource, openFile } from '../../io/source.js'
import type { Format } from '../format.js'
import { outputTensors, withHead } from '../target.js'
import { locateArray } from './array.js'
import { layOutRecord } from './layout.js'
import {
  atEnd,
  expectHead,
  type MsgpackCursor,
  msgpackCursor,
  readHead,
  readText,
  skipBytes,
} from './msgpack.js'
import { easylmHolder, flaxTarget, layOutFile, storedShape } from './target.js'
import { isStateRoot, type Leaf, listLeaves } from './train-state.js'

/**
 * EasyLM's streaming checkpoint: msgpack records [key, value] one after the
 * other, the key an array of strings, the value a binary that holds a flax array.
 * Only the heads are read, one small read a record.
 */
export const easylm: Format = {
  name: 'easylm',
  title: 'EasyLM streaming msgpack',
  traits: {
    short: 'EasyLM',
    engine: 'onnxruntime',
    graph: false,
    loading: 'stream',
    standalone: false,
    tokenizer: 'beside',
    metadata: false,
    library: 'easylm',
    tags: ['easylm', 'jax'],
    rank: 5,
    tagRank: 3,
  },
  options: ['keepTokenizer'],
  loaders: ['params', 'trainstate_params', 'trainstate'],

  // [key, value] with a key that is an array: no other format starts so.
  detect: (head) =>
    head[0] === 0x92 && head[1] !== undefined && (head[1] >> 4 === 9 || head[1] === 0xdc),

  async open(path, loader) {
    const source = await openFile(path)
    try {
      return await listStream(source, loader)
    } finally {
      await source.close()
    }
  },

  describe(checkpoint, options) {
    const tensors = withHead(
      checkpoint,
      easylmHolder,
      outputTensors(checkpoint, easylmHolder, options),
    )
    const pieces = tensors.map((tensor) => ({
      segments: layOutRecord(tensor.storedName, tensor.dtype, storedShape(tensor)),
      tensor,
    }))
    return flaxTarget(checkpoint, options, 'easylm', layOutFile('streaming_params', pieces))
  },
}

/**
 * Lists the arrays of a stream.
 * @param loader EasyLM's load type, where the user named one
 */
export async function listStream(source: ByteSource, loader?: string): Promise<Listing> {
  const cursor = msgpackCursor(source, 'easylm')
  const records: Leaf[] = []
  const seen = new Set<string>()
  while (!atEnd(cursor)) {
    const start = cursor.offset
    const record = await readRecord(cursor, records.length)
    const name = record.key.join('/')
    if (seen.has(name)) {
      throw inputError(`it is in the stream a second time, at byte ${start}`, {
        format: 'easylm',
        path: source.path,
        tensor: name,
      })
    }
    seen.add(name)
    records.push(record)
  }
  return listLeaves('easylm', source, records, loader)
}

async function readRecord(cursor: MsgpackCursor, index: number): Promise<Leaf> {
  const start = cursor.offset
  const what = `record ${index + 1}`
  const head = await readHead(cursor, what)
  if (head.type !== 'array' || head.length !== 2) {
    throw inputError(`byte ${start} is not the start of a record [key, value]`, {
      format: 'easylm',
      path: cursor.source.path,
      suggestions: [
        index === 0
          ? 'Is this an EasyLM stream?'
          : `${index} records before it are whole: something else was appended, or bytes were lost.`,
      ],
    })
  }
  const { length } = await expectHead(cursor, 'array', `the key of ${what}`)
  const key: string[] = []
  for (let i = 0; i < length; i++) key.push(await readText(cursor, `the key of ${what}`))
  const name = key.join('/')
  const payload = await expectHead(cursor, 'binary', `the value of "${name}"`)
  const end = cursor.offset + payload.length
  // The optimiser's state may hold what no checkpoint of weights does: skipped unread.
  if (isStateRoot(key[0])) {
    skipBytes(cursor, payload.length, `the bytes of "${name}"`)
    return { key }
  }
  const array = await locateArray(
    cursor,
    'easylm',
    await readHead(cursor, `the header of "${name}"`),
    name,
  )
  if (cursor.offset !== end) {
    throw inputError(`its array ends at byte ${cursor.offset}, its record at ${end}`, {
      format: 'easylm',
      path: cursor.source.path,
      tensor: name,
    })
  }
  return { key, array }
}
