import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { valueWarnings } from '../../src/convert/value-warnings.js'
import { makeSource, prepare } from '../support/conversion.js'

const test = suite('convert: value warnings')
const { plan } = await prepare(makeSource(), { dtype: 'f16' })
const names = [...plan.target.tensors.keys()]
const facts = (counts: readonly number[]) =>
  new Map(
    counts.map((vanished, i) => [
      names[i] ?? '',
      { nan: 0, infinite: 0, overflowed: i === 0 ? 2 : 0, vanished },
    ]),
  )

test('a few tensors are named, each with its count', () => {
  assert.equal(valueWarnings(facts([1, 0, 7]), plan), [
    `${names[0]}: 2 values were too large for f16 and are infinite now`,
    `${names[0]}: 1 values were too small for f16 and are zero now`,
    `${names[2]}: 7 values were too small for f16 and are zero now`,
  ])
})

test('of many there is one sentence, with the sum, how many there are, and the worst', () => {
  assert.equal(valueWarnings(facts([1, 2, 0, 7, 5]), plan).slice(1), [
    `15 values were too small for f16 and are zero now, in 4 tensors; most of them in ${names[3]}: 7`,
  ])
})

test.run()
