import { open } from 'node:fs/promises'
import { recordHead } from './heads.js'
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
    const count = tensor.shape.reduce((product, n) => product * n, 1)
    const length = count * (dtype === 'f32' ? 4 : 2)
    const head = recordHead(tensor.easylm, dtype, easylmShape(tensor))
    await file.write(head, 0, head.length, size)
    size += head.length + length
  }
  await file.truncate(size)
  await file.close()
  return size
}
