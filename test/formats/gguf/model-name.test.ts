import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { namePartsOf, sizeLabel, titleOf } from '../../../src/formats/gguf/model-name.js'
import { fixture } from '../../support/paths.js'

const test = suite('formats: model names')

interface Goldens {
  parts: { id: string; parameters: number; parts: object }[]
  titles: Record<string, string>
  sizes: [number, string][]
}

/** Of gguf-py. */
const goldens: Goldens = JSON.parse(readFileSync(fixture('gguf', 'names.json'), 'utf8'))

test('names are taken apart as gguf-py takes them', () => {
  for (const { id, parameters, parts } of goldens.parts) {
    assert.equal(namePartsOf(id, parameters), parts, `${id} of ${parameters} parameters`)
  }
})

test('titles are those of gguf-py', () => {
  for (const [name, title] of Object.entries(goldens.titles)) assert.is(titleOf(name), title, name)
})

test('sizes are labelled as gguf-py labels them, ties and all', () => {
  for (const [count, label] of goldens.sizes) assert.is(sizeLabel(count), label, String(count))
})

test.run()
