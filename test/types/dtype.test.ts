import { GGMLQuantizationType } from '@huggingface/gguf'
import { TensorProto_DataType } from 'onnx-buf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { limitsFor, limitTypes, weightLimit } from '../../src/check/limits.js'
import { tensorTypeNumber, tensorTypes } from '../../src/formats/gguf/type.js'
import { loadKernels } from '../../src/kernels/kernels.js'
import { mixes } from '../../src/quantize/mixes.js'
import {
  byteLength,
  dtypeNames,
  dtypes,
  isBlock,
  isFloat,
  recordOf,
} from '../../src/types/dtype.js'
import { ggmlTypes, isGgmlType } from '../../src/types/ggml.js'

const test = suite('element types')

test('ggml’s numbers and names are those that other readers know', () => {
  const known = new Map(Object.entries(GGMLQuantizationType))
  const ours = dtypeNames.flatMap((dtype) => recordOf(dtype).ggml ?? [])
  assert.is(ours.length, 14)
  for (const { name, id } of ours) assert.is(known.get(name), id, name)
  for (const dtype of ggmlTypes) assert.is(tensorTypes.get(tensorTypeNumber(dtype)), dtype)
})

test('ONNX’s data types are those of its own list, and hold what they are named for', () => {
  const bits = { DOUBLE: 64, FLOAT: 32, FLOAT16: 16, BFLOAT16: 16 }
  for (const dtype of dtypeNames.filter(isFloat)) {
    const { onnx, bytes } = dtypes[dtype]
    assert.type(TensorProto_DataType[onnx], 'number')
    assert.is(bits[onnx], 8 * bytes)
  }
})

test('each type has what is asked of its kind', () => {
  const kernels = loadKernels(1)
  for (const dtype of dtypeNames) {
    const { kind, block, quantize, dequantize, scalesAt = [], standIn } = recordOf(dtype)
    assert.is(kind === 'float', block === 1, dtype)
    assert.is(byteLength(dtype, 4 * block), 4 * dtypes[dtype].bytes)
    for (const kernel of [quantize, dequantize]) {
      if (kernel !== undefined) assert.type(Reflect.get(kernels, kernel), 'function', dtype)
    }
    assert.is(quantize === undefined, kind === 'float', dtype)
    assert.is(dequantize !== undefined, kind === 'block', dtype)
    for (const at of scalesAt) assert.ok(at + 2 <= dtypes[dtype].bytes, dtype)
    assert.is(scalesAt.length > 0, kind === 'block', dtype)
    if (standIn === undefined) continue
    assert.ok(isGgmlType(standIn), dtype)
    assert.ok(block % recordOf(isGgmlType(standIn) ? standIn : 'f32').block === 0)
  }
  // What a mix is mostly of is a type that there is.
  for (const { type } of Object.values(mixes)) assert.ok(isBlock(type))
})

test('limits go from the coarsest to the finest', () => {
  const figures = limitTypes.map((type) => {
    const still = { type, activations: false }
    return { type, kld: limitsFor(still, still, type).kldMean, off: weightLimit(type).distance }
  })
  for (const [i, { type, kld, off }] of figures.entries()) {
    const before = figures[i - 1]
    if (before === undefined) continue
    assert.ok(kld <= before.kld, `${type} after ${before.type}`)
    assert.ok(off <= before.off * 1.01, `${type} after ${before.type}: ${off}, ${before.off}`)
  }
})

test.run()
