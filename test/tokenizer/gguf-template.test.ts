import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { templateEntries, templateFromGguf } from '../../src/tokenizer/gguf-template.js'

/** As gguf-py 0.19 writes them for these templates. */
const templates = [
  { name: 'default', template: '{{ messages }}' },
  { name: 'tool_use', template: '{{ tools }}' },
  { name: 'rag v2', template: '{{ documents }}' },
]
const written = {
  'tokenizer.chat_template.tool_use': '{{ tools }}',
  'tokenizer.chat_template.rag_v2': '{{ documents }}',
  'tokenizer.chat_templates': ['tool_use', 'rag_v2'],
  'tokenizer.chat_template': '{{ messages }}',
}

const plain = (template: unknown) => {
  const { entries, warnings } = templateEntries(template)
  return { warnings, keys: Object.fromEntries(entries.map(({ key, value }) => [key, value])) }
}

test('templates with names: the keys of gguf-py, and all of them come back', () => {
  const { keys, warnings } = plain(templates)
  assert.equal(keys, written)
  assert.equal(warnings, [])
  const back = templateFromGguf((key) => keys[key])
  assert.equal(back, [...templates.slice(0, 2), { name: 'rag_v2', template: '{{ documents }}' }])
})

test('one template is one key, both ways', () => {
  const { keys } = plain('{{ x }}')
  assert.equal(keys, { 'tokenizer.chat_template': '{{ x }}' })
  assert.is(
    templateFromGguf((key) => keys[key]),
    '{{ x }}',
  )
  assert.equal(plain(undefined), { keys: {}, warnings: [] })
  assert.is(
    templateFromGguf(() => undefined),
    undefined,
  )
})

test('what is left out is said', () => {
  const { keys, warnings } = plain([
    { name: 'a-b', template: '1' },
    { name: 'a_b', template: '2' },
    { template: '3' },
    { name: 'c' },
    null,
  ])
  assert.equal(keys, { 'tokenizer.chat_template.a_b': '1', 'tokenizer.chat_templates': ['a_b'] })
  assert.is(warnings.length, 5)
  assert.match(warnings.join('\n'), /second chat template with the name "a_b"/)
  assert.match(warnings.join('\n'), /\(a_b\) none is called "default"/)
})

test.run()
