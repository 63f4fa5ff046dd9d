import { open } from 'node:fs/promises'
import { layOutRecord } from '../../src/formats/flax/layout.js'
import { easylmShape, type Model, tensorsOf } from './llama.js'

/**
 * Makes a stream of any size that takes next to no disk: the heads are written, the weights are
 * holes, zeros.
 * @returns its bytes
 */
export async function makeSparse(
  path: string,
  model: Model,
  dtype: 'f32' | 'bf16',
): Promise<number> {
  const file = await open(path, 'w')
  let size = 0
  for (const tensor of tensorsOf(model)) {
    for (const segment of layOutRecord(tensor.easylm, dtype, easylmShape(tensor))) {
      if ('payload' in segment) size += segment.payload
      else size += (await file.write(segment, 0, segment.length, size)).bytesWritten
    }
  }
  await file.truncate(size)
  await file.close()
  return size
}
