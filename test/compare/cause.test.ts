import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { causeOf } from '../../src/compare/cause.js'
import type { WeightFault } from '../../src/compare/weights.js'
import { openCheckpoint } from '../../src/open/open.js'
import { makeSource } from '../support/conversion.js'
import { convert } from '../support/convert.js'
import { small } from '../support/llama.js'
import { tempDir } from '../support/temp.js'

const test = suite('compare: cause')

const model = { ...small, layers: 4, heads: 4, kvHeads: 2, headDim: 8 }
const { source, out } = makeSource(model)
const weights = join(out, 'model.safetensors')

test.before(async () => {
  await convert(source, out, { to: 'safetensors', dtype: 'f32' })
})

/** A tensor's values in a file of f32, to be changed in place. */
function valuesIn(file: Uint8Array, name: string): Float32Array {
  const length = Number(Buffer.from(file.buffer, file.byteOffset).readBigUInt64LE(0))
  const header = JSON.parse(Buffer.from(file.subarray(8, 8 + length)).toString())
  const [begin, end] = header[name].data_offsets
  return new Float32Array(file.buffer, file.byteOffset + 8 + length + begin, (end - begin) / 4)
}

/** What is told of a copy in which a tensor's values are others. */
async function causeIn(
  name: string,
  change: (values: Float32Array, whole: Uint8Array) => void,
  fault: Partial<WeightFault> = {},
): Promise<string | undefined> {
  const folder = join(tempDir(), 'changed')
  cpSync(out, folder, { recursive: true })
  const file = Uint8Array.from(readFileSync(weights))
  change(valuesIn(file, name), file)
  writeFileSync(join(folder, 'model.safetensors'), file)
  const worst = { row: 1, column: 2, values: [1, 2] as [number, number] }
  const told = { name, limit: 1e-6, distance: 1, outliers: 2, worst, zero: false, ...fault }
  return causeOf(told, await openCheckpoint(folder), await openCheckpoint(out))
}

/** Rows of each head of `size` brought from halves to pairs, as LLaMA's own code has them. */
const paired = (size: number, columns: number) => (values: Float32Array) => {
  const own = values.slice()
  for (let row = 0; row < values.length / columns; row++) {
    const within = row % size
    const from = row - within + (within % 2) * (size / 2) + Math.floor(within / 2)
    values.set(own.subarray(from * columns, (from + 1) * columns), row * columns)
  }
}

const { hidden } = model
const at = (layer: number, of: string) => `model.layers.${layer}.self_attn.${of}_proj.weight`

test('rows in the other rotary order, with the right and with the wrong number of heads', async () => {
  assert.is(
    await causeIn(at(0, 'q'), paired(8, hidden)),
    'the rotary permutation is wrong: its rows are in interleaved rotary order',
  )
  // Of heads of four rows, the two orders are each other's turn.
  assert.match(
    String(await causeIn(at(1, 'k'), paired(4, hidden))),
    /^the rotary permutation is wrong, with the number of query heads: its rows/,
  )
  assert.is(
    await causeIn(at(1, 'q'), paired(16, hidden)),
    'the rotary permutation is wrong, with 0.5 times the number of heads: its rows are in interleaved rotary order',
  )
})

test('a tensor of another layer, however far', async () => {
  for (const layer of [1, 3]) {
    const cause = await causeIn(at(0, 'v'), (values, whole) => {
      values.set(valuesIn(whole, at(layer, 'v')))
    })
    assert.is(cause, `it has the values of ${at(layer, 'v')}`)
  }
})

test('what is as it was has no order of rows that is wrong', async () => {
  assert.is(await causeIn(at(0, 'q'), () => {}), undefined)
})

test('one value: a bit of its exponent, or something else', async () => {
  const of = async (value: number, right: number) => {
    const worst = { row: 3, column: 4, values: [value, right] as [number, number] }
    return String(await causeIn(at(0, 'q'), () => {}, { outliers: 1, worst }))
  }
  assert.match(
    await of(3, 1.5),
    /^one bit of an exponent is flipped: 3 for 1\.5 at row 3, column 4/,
  )
  assert.match(await of(1.5 * 2 ** 64, 1.5), /^one bit of an exponent is flipped/)
  assert.match(await of(1.5 * 2 ** 3, 1.5), /^one value is wrong/)
  assert.match(await of(0, 1.5), /^one value is wrong/)
})

test.run()
