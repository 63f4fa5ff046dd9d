import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { metadataLookup } from '../../src/checkpoint/metadata.js'
import { prepareConversion } from '../../src/convert/convert.js'
import { readPart } from '../../src/formats/gguf/split.js'
import { tensorTypeNumber } from '../../src/formats/gguf/type.js'
import { isMixName } from '../../src/quantize/mixes.js'
import { sha256 } from '../support/bytes.js'
import { fails } from '../support/errors.js'
import { fixture, shared } from '../support/paths.js'
import { sameQuantized } from '../support/quantized.js'
import { tempDir } from '../support/temp.js'
import { convert } from '../support/tensors.js'

const test = suite('quantization from any source')

const sources = ['hf-bf16', 'easylm/streaming_params_bf16', 'gguf/f32.gguf']

for (const model of ['tiny-v1', 'tiny-v2']) {
  const folder = shared(`${model} quantized as llama-quantize does`, 'fixtures', model)
  if (folder === undefined) continue
  const config = fixture(model, 'config.json')
  for (const file of readdirSync(join(folder, 'gguf')).filter((name) => name.startsWith('Q'))) {
    test(`${model}: ${file}, types, bytes and file type from three sources`, async () => {
      const expected = await readPart(join(folder, 'gguf', file))
      const dtype = file.replace('.gguf', '').toLowerCase()
      assert.ok(isMixName(dtype), dtype)
      if (!isMixName(dtype)) return
      for (const source of sources) {
        const out = join(tempDir(), 'out.gguf')
        await convert(join(folder, source), { to: 'gguf', dtype, config, out })
        sameQuantized(await readPart(out), expected, `${source} to ${dtype}`)
      }
    })
  }

  test(`${model}: from a quantized file only where that is allowed`, async () => {
    const source = join(folder, 'gguf', 'Q4_0.gguf')
    const out = join(tempDir(), 'out.gguf')
    await fails(
      () => convert(source, { to: 'gguf', dtype: 'q8_0', out }),
      'input',
      'quantized already',
      '`allowRequantize`',
    )
    await convert(source, { to: 'gguf', dtype: 'q8_0', out, mix: { allowRequantize: true } })
  })
}

interface Quantized {
  file_type: number
  /** Of each tensor ggml's number of its type, and the sha256 of its bytes. */
  tensors: { readonly [name: string]: readonly [number, string] }
}
const goldens: { readonly [model: string]: { readonly [mix: string]: Quantized } } = JSON.parse(
  readFileSync(fixture('gguf', 'quantized.json'), 'utf8'),
)
assert.equal(Object.keys(goldens), ['tiny-v1', 'tiny-v2'])

for (const [model, mixes] of Object.entries(goldens)) {
  for (const [dtype, { file_type, tensors }] of Object.entries(mixes)) {
    test(`${model} as ${dtype}: types, file type and hashes of llama-quantize’s`, async () => {
      assert.ok(isMixName(dtype), dtype)
      if (!isMixName(dtype)) return
      const out = join(tempDir(), 'out.gguf')
      const source = fixture(model, 'easylm', 'streaming_params_bf16')
      await convert(source, { to: 'gguf', dtype, config: fixture(model, 'config.json'), out })
      const { header } = await readPart(out)
      const bytes = readFileSync(out)
      const made = header.tensors.map(({ name, dtype: type, offset, bytes: length }) => [
        name,
        [tensorTypeNumber(type), sha256(bytes.subarray(offset, offset + length))],
      ])
      assert.equal(Object.fromEntries(made), tensors)
      assert.is(metadataLookup(header.entries).integer('general.file_type'), file_type)
    })
  }
}

const tinyV1 = fixture('tiny-v1', 'easylm', 'streaming_params_bf16')
const preparation = {
  to: 'gguf',
  config: fixture('tiny-v1', 'config.json'),
  maxMemory: 64e6,
  threads: 1,
}

test('a mix whose types do not fit is called what it is, and refused where it must fit', async () => {
  const { quantization, warnings } = await prepareConversion(tinyV1, {
    ...preparation,
    dtype: 'q4_k_m',
  })
  // 160 and 416 are no multiples of 256: all 16 matrices (7 a layer, embedding, head) fall back.
  assert.is(quantization?.fallbacks.length, 16)
  assert.ok(warnings.some((line) => /16 of 16 matrices.*q4_k_m.*160.*256/.test(line)))
  await fails(
    () => prepareConversion(tinyV1, { ...preparation, dtype: 'q4_k_m', mix: { strict: true } }),
    'input',
    '16 tensors',
    '`strict`',
  )
})

test('types of single tensors, the output, the embedding, and pure mixes', async () => {
  const typesOf = async (mix: object) => {
    const { quantization } = await prepareConversion(tinyV1, {
      ...preparation,
      dtype: 'q4_0',
      mix,
    })
    return new Map(quantization?.tensors.map(({ name, type }) => [name, type]))
  }
  const plain = await typesOf({})
  assert.is(plain.get('blk.0.attn_v.weight'), 'q4_0')
  assert.is(plain.get('output.weight'), 'q8_0')
  const told = await typesOf({
    tensorTypes: ['attn_v=q8_0'],
    outputTensorType: 'q5_0',
    tokenEmbeddingType: 'q5_1',
  })
  assert.is(told.get('blk.0.attn_v.weight'), 'q8_0')
  assert.is(told.get('output.weight'), 'q5_0')
  assert.is(told.get('token_embd.weight'), 'q5_1')
  assert.is((await typesOf({ pure: true })).get('output.weight'), 'q4_0')
  assert.is((await typesOf({ leaveOutput: true })).get('output.weight'), 'bf16')
  assert.is(plain.get('output_norm.weight'), 'f32')
})

test('quantized types are for gguf, their flags for them', async () => {
  const prepare = (options: object) =>
    prepareConversion(tinyV1, { ...preparation, dtype: 'f16', ...options })
  await fails(() => prepare({ to: 'safetensors', dtype: 'q4_0' }), 'usage', 'q4_0', 'gguf')
  await fails(() => prepare({ mix: { pure: true } }), 'usage', '`dtype`')
})

test.run()
