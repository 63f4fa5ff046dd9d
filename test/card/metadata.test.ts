import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Artifact } from '../../src/card/artifacts.js'
import { frontMatterChanges } from '../../src/card/metadata.js'
import { bareSubject } from './subject.js'

const test = suite('card: metadata')

/** What a card of a folder with files of these formats says of library and tags. */
function saysOf(formats: readonly string[]): unknown[] {
  const artifacts = formats.map((format): Artifact => ({ ...bareArtifact, format }))
  const changes = frontMatterChanges({ ...bareSubject, artifacts }, undefined, {})
  return changes.flatMap((change): unknown[] => {
    if (change.key === 'library_name' && 'set' in change) return [change.set]
    return change.key === 'tags' && 'add' in change ? [change.add] : []
  })
}

const bareArtifact: Omit<Artifact, 'format'> = {
  files: [],
  types: new Map(),
  parameters: undefined,
  bitsPerWeight: undefined,
  quantized: false,
  record: undefined,
}

/** In an order of their own, which is not the libraries'. */
const tags: [formats: string[], tags: string[]][] = [
  [['gguf'], ['gguf', 'llama.cpp']],
  [['onnx'], ['onnx', 'transformers.js']],
  [
    ['easylm', 'flax'],
    ['easylm', 'jax'],
  ],
  [['pytorch', 'meta'], ['pytorch']],
  [['safetensors'], ['safetensors']],
]

const libraries: [format: string, library: string][] = [
  ['safetensors', 'transformers'],
  ['pytorch', 'transformers'],
  ['gguf', 'gguf'],
  ['onnx', 'transformers.js'],
  ['easylm', 'easylm'],
  ['flax', 'flax'],
  ['meta', 'pytorch'],
]

test('of every set of formats: the library of the first, and the tags of all in one order', () => {
  for (let set = 1; set < 2 ** libraries.length; set++) {
    const there = libraries.filter((_, i) => (set >> i) % 2 === 1)
    const formats = there.map(([format]) => format)
    const wanted = tags.flatMap(([of, own]) =>
      of.some((each) => formats.includes(each)) ? own : [],
    )
    for (const listed of [formats, formats.toReversed()]) {
      assert.equal(saysOf(listed), [there[0]?.[1], ['llama', ...wanted]], listed.join(' '))
    }
  }
})

test.run()
