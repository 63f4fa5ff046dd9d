import { suite } from 'uvu'
import type { StoredArray } from '../../../src/checkpoint/checkpoint.js'
import { checkOnce } from '../../../src/formats/hf/shards.js'
import { fails } from '../../support/errors.js'

const test = suite('formats: shards')

const array = (name: string, path: string): StoredArray => ({
  name,
  dtype: 'f32',
  shape: [1, 1],
  parts: [
    { row: 0, column: 0, rows: 1, columns: 1, pitch: 1, extents: [{ path, offset: 0, length: 4 }] },
  ],
})

test('without an index a tensor that two files have is refused, with both', async () => {
  checkOnce([array('norm', 'a.bin'), array('head', 'b.bin')], 'pytorch')
  const twice = [array('norm', 'a.bin'), array('head', 'a.bin'), array('norm', 'b.bin')]
  await fails(async () => checkOnce(twice, 'pytorch'), 'input', 'norm', 'it is in a.bin too')
})

test.run()
