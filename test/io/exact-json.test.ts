import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  formatExactJson,
  isExactObject,
  parseExactJson,
  plainFields,
  spelledAs,
} from '../../src/io/exact-json.js'
import type { Json } from '../../src/io/json.js'

const test = suite('io: exact JSON')

test('numbers keep their spelling, objects the order of their keys', () => {
  const text = `{
  "b": 4.0,
  "9": 1e-05,
  "1": [
    12345678901234567890,
    -0.0,
    1E5
  ],
  "a": {},
  "c": [],
  "d": "\\u00e9 \\" {[,:",
  "e": null,
  "f": true
}
`
  const written = formatExactJson(parseExactJson(text))
  assert.is(written, text.replace('\\u00e9', 'é'))
})

test('what JSON.stringify writes comes back as it was', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      const exact = parseExactJson(text)
      assert.equal(JSON.parse(formatExactJson(exact)), JSON.parse(text))
      if (isExactObject(exact)) assert.equal(plainFields(exact), JSON.parse(text))
    }),
    { numRuns: 200 },
  )
})

test('a value is spelled as its source has it, as long as it is the same number', () => {
  const source = parseExactJson(
    '{"same": 4.0, "other": 4.0, "list": [1.0, 2.0], "deep": {"x": 1e1}}',
  )
  const value: Json = { same: 4, other: 5, list: [1, 3], deep: { x: 10 }, new: 1 }
  assert.is(
    formatExactJson(spelledAs(value, source)).replaceAll(/\s+/g, ''),
    '{"same":4.0,"other":5,"list":[1.0,3],"deep":{"x":1e1},"new":1}',
  )
})

test('where no source spells it, a float has a point', () => {
  const floats = new Set(['factor'])
  const value: Json = { factor: 8, size: 8 }
  assert.is(
    formatExactJson(spelledAs(value, undefined, floats)),
    '{\n  "factor": 8.0,\n  "size": 8\n}\n',
  )
  // A source's own whole number is left as it is.
  const source = parseExactJson('{"factor": 8}')
  assert.is(formatExactJson(spelledAs({ factor: 8 }, source, floats)), '{\n  "factor": 8\n}\n')
})

test.run()
