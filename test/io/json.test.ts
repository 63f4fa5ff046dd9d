import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { listFile } from '../../src/formats/hf/safetensors.js'
import { append } from '../../src/io/append.js'
import { parseJsonObject } from '../../src/io/json.js'
import { doubledKey, measure } from '../../src/io/json-keys.js'
import { memorySource } from '../../src/io/source.js'
import { fails } from '../support/errors.js'

const test = suite('JSON from files')
const bytes = (text: string) => new TextEncoder().encode(text)

test('a key that stands twice in one object, however it is written', () => {
  assert.is(doubledKey('{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}'), undefined)
  assert.is(doubledKey('{"a":1,"b":"a","c":"\\"a\\":","d":["a","a"]}'), undefined)
  assert.is(doubledKey('{"b":{"x":1 , "x" :2}}'), 'x')
  assert.is(doubledKey('{"a\\u0062":1,"ab":2}'), 'ab')
  assert.is(doubledKey('{"\\\\":1,"\\"":2,"\\\\":3}'), '\\')
})

test('objects, lists and keys are counted, and not what stands in texts', () => {
  assert.equal(measure(bytes('{"a":[1,{"b":"{[:\\"]"}]}')), { parts: 5, depth: 3 })
  assert.equal(measure(bytes('"\\\\"[')), { parts: 1, depth: 1 })
  assert.equal(measure(bytes('"never ends {')), { parts: 0, depth: 0 })
})

test('what is no JSON, or no object: where, and what to do about it', async () => {
  await fails(() => parseJsonObject(bytes('{"a":1,'), 'a.json'), 'input', 'a.json', 'get it again')
  await fails(() => parseJsonObject(bytes('[1]'), 'a.json'), 'input', 'object is expected')
})

test('nesting beyond use, and parts beyond memory', async () => {
  const nested = `{"a":${'['.repeat(100)}${']'.repeat(100)}}`
  await fails(() => parseJsonObject(bytes(nested), 'a.json'), 'input', 'more than 100 levels')
  await fails(
    () => parseJsonObject(bytes('{"a":1,"b":2}'), 'a.json', { maxParts: 2 }),
    'input',
    '3 objects, lists and keys',
    'at most 2',
  )
})

test('a header of 765,000 tensors is refused before it is parsed', async () => {
  const entries = Array.from({ length: 765_000 }, (_, i) => `"${i}":{"data_offsets":[]}`)
  const header = bytes(`{${entries.join(',')}}`)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const source = memorySource('m.safetensors', Buffer.concat([length, header]))
  await fails(() => listFile(source), 'input', '3060001 objects, lists and keys')
})

test('a header with a tensor twice is refused: readers take the one or the other', async () => {
  const entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
  const header = bytes(`{"a":${entry},"\\u0061":${entry}}`)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  const source = memorySource('m.safetensors', Buffer.concat([length, header]))
  await fails(() => listFile(source), 'input', 'm.safetensors', 'the key "a" twice')
})

test('lists of any length are put together', () => {
  const list = [0]
  append(list, new Array<number>(300_000).fill(1))
  assert.is(list.length, 300_001)
})

test.run()
