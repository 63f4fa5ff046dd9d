import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ownRecord } from '../../src/card/records.js'
import { tempDir } from '../support/temp.js'

const test = suite('card: records')

async function optionsOf(record: object) {
  const folder = tempDir()
  const files = [{ name: 'm.gguf', bytes: 1, sha256: 'a' }]
  const whole = { target: { format: 'gguf', files }, ...record }
  writeFileSync(join(folder, 'openllama.json'), JSON.stringify(whole))
  const found = await ownRecord(folder, ['m.gguf'])
  return [found?.options, found?.keepsTokenizer, found?.target.files]
}

test('a record of the first schema, with null for what was not given, says what one of the second does', async () => {
  const old = {
    dtype: 'f16',
    config: null,
    heads: 8,
    model_parallel: null,
    onnx_target: null,
    max_shard_size: null,
    name: 'Model',
    metadata: [],
    keep_tokenizer: false,
    mix: null,
    allow_non_finite: false,
    allow_overflow: false,
  }
  const first = await optionsOf({ options: old })
  const second = await optionsOf({
    schema: 2,
    inputs: [],
    options: { dtype: 'f16', heads: 8, name: 'Model' },
  })
  assert.equal(first, second)
  const files = [{ name: 'm.gguf', bytes: 1, sha256: 'a' }]
  assert.equal(first, [['dtype=f16', 'heads=8', 'name=Model'], false, files])
})

test.run()
