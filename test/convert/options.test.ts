import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConvertOptions } from '../../src/convert/convert.js'
import { checkOptions } from '../../src/convert/options.js'
import { formatNamed, targetFormats } from '../../src/formats/index.js'
import { OpenLlamaError } from '../../src/io/errors.js'
import { convertOptions } from '../support/conversion.js'

const test = suite('convert: options')

function refusal(options: Partial<ConvertOptions>): OpenLlamaError | undefined {
  const all = { ...convertOptions, ...options }
  const format = formatNamed(all.to)
  assert.ok(format)
  try {
    checkOptions(format, all)
    return undefined
  } catch (error) {
    if (!(error instanceof OpenLlamaError)) throw error
    assert.is(error.code, 'usage')
    return error
  }
}

/** The formats that take it, by design/cli.md and the formats' own nature. */
const taken: [string, Partial<ConvertOptions>, string[]][] = [
  ['maxShardSize', { maxShardSize: 1e6 }, ['safetensors', 'gguf', 'pytorch', 'onnx']],
  ['name', { name: 'x' }, ['gguf']],
  ['metadata', { metadata: ['a=b'] }, ['gguf']],
  ['modelParallel', { modelParallel: 2 }, ['meta']],
  ['onnxTarget', { onnxTarget: 'genai' }, ['onnx']],
  ['fuseQkv', { fuseQkv: true }, ['gguf']],
  ['keepTokenizer', { keepTokenizer: true }, ['safetensors', 'easylm', 'flax', 'pytorch', 'onnx']],
]

test('an option that the format does not know is refused, with the formats that do', () => {
  for (const [option, options, formats] of taken) {
    for (const to of targetFormats) {
      const error = refusal({ ...options, to })
      assert.is(error === undefined, formats.includes(to), `${option} to ${to}`)
      if (error === undefined) continue
      assert.ok(error.message.startsWith(`\`${option}\` is for `), error.message)
      for (const format of formats) assert.ok(error.message.includes(format), error.message)
      assert.ok(error.message.endsWith(`the format is ${to}`), error.message)
    }
  }
  assert.is(refusal({ to: 'meta', keepTokenizer: false }), undefined)
})

test('flags of quantization are for the types that know them', () => {
  const mix = { pure: true }
  assert.is(refusal({ to: 'gguf', dtype: 'q4_k_m', mix }), undefined)
  assert.is(refusal({ to: 'onnx', dtype: 'q4', mix: { strict: true } }), undefined)
  const float = refusal({ to: 'gguf', dtype: 'f16', mix })
  assert.is(float?.message, '`pure` is for quantized types, and `dtype` is f16')
  assert.match(String(float?.suggestions), /q4_k_m/)
  assert.not.match(String(float?.suggestions), /q4f16/)
  assert.is(
    refusal({ to: 'onnx', dtype: 'q4', mix: { imatrix: 'x' } })?.message,
    '`imatrix` is for the quantized types of gguf, and q4 is a type of onnx',
  )
})

test("another format's type is refused", () => {
  assert.is(
    refusal({ to: 'onnx', dtype: 'q4_0' })?.message,
    'q4_0 is a type of gguf; onnx has f32, f16, bf16, q8, q4 and q4f16',
  )
  assert.is(
    refusal({ to: 'flax', dtype: 'q8' })?.message,
    'q8 is a type of onnx; flax has f32, f16 and bf16',
  )
})

test.run()
