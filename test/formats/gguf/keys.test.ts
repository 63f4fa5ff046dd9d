import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type MetadataEntry, metadataLookup } from '../../../src/checkpoint/metadata.js'
import { refuseUnreadable } from '../../../src/formats/gguf/keys.js'
import { fails } from '../../support/errors.js'

const test = suite('formats: gguf keys')

const none = metadataLookup([])
const refused = (entry: MetadataEntry, said: string) =>
  fails(async () => refuseUnreadable(entry, none, none), 'usage', entry.key, said)

test('a number that is none is refused, alone and in a list; in a key of no meaning, too', async () => {
  const key = 'llama.rope.freq_base'
  await refused({ key, type: 'float32', value: Number.NaN }, 'would be NaN')
  await refused({ key, type: 'float32', value: -Infinity }, 'would be -Infinity')
  const list = Float32Array.of(1, Infinity)
  await refused({ key: 'own.list', type: 'float32[]', value: list }, 'would be Infinity')
  assert.is(refuseUnreadable({ key, type: 'float32', value: 1e4 }, none, none), undefined)
})

test('a key that GGUF cannot have is refused', async () => {
  for (const key of ['a b', 'ü', 'x'.repeat(1 << 17)]) {
    await fails(
      async () => refuseUnreadable({ key, type: 'uint32', value: 1 }, none, none),
      'usage',
      'no key of GGUF',
    )
  }
})

test.run()
