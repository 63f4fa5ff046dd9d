import { copyFileSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { locateWeights } from '../../src/engines/located.js'
import { openCheckpoint } from '../../src/open/open.js'
import { makeSource } from '../support/conversion.js'
import { tempDir } from '../support/temp.js'

const test = suite('engines: where weights are')

test('the folder is the deepest that all files are below, and locations lead from it', async () => {
  const checkpoint = await openCheckpoint(makeSource().source)
  const root = realpathSync(tempDir())
  const [first, second] = [join(root, 'models', 'a-1'), join(root, 'models', 'a-2', 'deep')]
  mkdirSync(first, { recursive: true })
  mkdirSync(second, { recursive: true })
  const source = [...checkpoint.tensors.values()][0]?.parts[0]?.extents[0]?.path ?? ''
  copyFileSync(source, join(first, 'weights'))
  copyFileSync(source, join(second, 'weights'))
  const tensors = new Map(
    [...checkpoint.tensors].map(([name, tensor], i) => {
      const path = join(i % 2 === 0 ? first : second, 'weights')
      const parts = tensor.parts.map((part) => ({
        ...part,
        extents: part.extents.map((extent) => ({ ...extent, path })),
      }))
      return [name, { ...tensor, parts }]
    }),
  )
  const { folder, weights } = await locateWeights({ ...checkpoint, tensors })
  assert.is(folder, join(root, 'models'))
  const locations = [...weights.values()].map(({ data }) =>
    typeof data === 'object' ? data.location : data,
  )
  assert.equal([...new Set(locations)].sort(), ['a-1/weights', 'a-2/deep/weights'])
  // Of one file it is the file's own folder.
  const alone = await locateWeights(checkpoint)
  assert.is(join(alone.folder, 'stream'), realpathSync(source))
})

test.run()
