import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { departureOf } from '../../src/compare/departure.js'

const test = suite('compare: departure')

test('the first finding is the cause, and four of many are told', () => {
  const faults = ['layers.3.wq: scaled', 'second', 'third', 'fourth', 'fifth']
  assert.equal(departureOf(faults, null), {
    layer: 3,
    cause: 'layers.3.wq: scaled',
    detail: '5 findings: layers.3.wq: scaled; second; third; fourth',
  })
  assert.equal(departureOf(['layer 12: zeros'], null), {
    layer: 12,
    cause: 'layer 12: zeros',
    detail: 'layer 12: zeros',
  })
})

test('a layer that was looked for goes before one that is named', () => {
  assert.is(departureOf(['layer 12: zeros'], 0).layer, 0)
  assert.is(departureOf(['the norm: other'], null).layer, null)
})

test('without a finding that is said', () => {
  const { layer, cause, detail } = departureOf([], 7)
  assert.equal([layer, cause], [7, null])
  assert.match(detail, /nothing .* explains it/)
})

test.run()
