import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { embeddingName, headName } from '../../src/architectures/roles.js'
import { type Listing, resolveCheckpoint } from '../../src/checkpoint/checkpoint.js'
import { configOf, listingOf } from '../support/listing.js'
import { small } from '../support/llama.js'

const test = suite('checkpoint: a shared head')

/** A model whose head lies in the bytes of the embedding, as it is or otherwise. */
function shared(head: { transposed?: boolean; dtype?: 'f16'; offset?: number }): Listing {
  const model = { ...small, vocab: small.hidden }
  const listing = listingOf(model, 'hf')
  const part = (offset: number) => ({
    ...{ row: 0, column: 0, rows: model.vocab, columns: model.hidden, pitch: model.hidden },
    extents: [{ path: 'weights', offset, length: 4 * model.vocab * model.hidden }],
  })
  return {
    ...listing,
    config: { values: { ...configOf(model), tie_word_embeddings: true }, from: 'config.json' },
    arrays: listing.arrays.map((array) => {
      if (array.name === embeddingName) return { ...array, parts: [part(64)] }
      if (array.name !== headName) return array
      const { transposed, dtype = array.dtype, offset = 64 } = head
      return {
        ...array,
        dtype,
        ...(transposed ? { transposed } : {}),
        parts: [part(offset)],
      }
    }),
  }
}

const isTied = (listing: Listing) =>
  !resolveCheckpoint(listing, {}, { beside: [] }).tensors.has(headName)

test('the same bytes are one tensor; turned, of another type or elsewhere they are two', () => {
  assert.is(isTied(shared({})), true)
  // A square matrix and its transpose have one shape.
  assert.is(isTied(shared({ transposed: true })), false)
  assert.is(isTied(shared({ dtype: 'f16' })), false)
  assert.is(isTied(shared({ offset: 128 })), false)
})

test.run()
