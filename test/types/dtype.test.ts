import { GGMLFileQuantizationType, GGMLQuantizationType } from '@huggingface/gguf'
import { TensorProto_DataType } from 'onnx-buf'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { limitsFor, limitTypes, weightLimit } from '../../src/check/limits.js'
import { countOverflowedBlocks } from '../../src/convert/blocks.js'
import { tensorTypeNumber, tensorTypes } from '../../src/formats/gguf/type.js'
import { loadKernels } from '../../src/kernels/kernels.js'
import { mixes } from '../../src/quantize/mixes.js'
import {
  byteLength,
  dtypeNames,
  dtypes,
  floatTypes,
  isBlock,
  isFloat,
  recordOf,
} from '../../src/types/dtype.js'
import { ggmlTypes, isGgmlType } from '../../src/types/ggml.js'
import { openBlockKernels } from '../kernels/blocks.js'

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

test('files call each float by the name that their own software gives it', () => {
  // safetensors' Dtype, numpy's (bfloat16: ml_dtypes'), and the classes of torch's storages.
  const names = {
    f64: ['F64', 'float64', 'DoubleStorage'],
    f32: ['F32', 'float32', 'FloatStorage'],
    f16: ['F16', 'float16', 'HalfStorage'],
    bf16: ['BF16', 'bfloat16', 'BFloat16Storage'],
  }
  const ours = dtypeNames.filter(isFloat).map((dtype) => {
    const { safetensors, numpy, storage } = dtypes[dtype]
    return [dtype, [safetensors, numpy, storage]]
  })
  assert.equal(ours, Object.entries(names))
})

/** Elements of a block, and bytes: ggml-common.h's structs, member by member. */
const blocks = {
  f64: [1, 8],
  f32: [1, 4],
  f16: [1, 2],
  bf16: [1, 2],
  q4_0: [32, 2 + 16],
  q4_1: [32, 2 + 2 + 16],
  q5_0: [32, 2 + 4 + 16],
  q5_1: [32, 2 + 2 + 4 + 16],
  q8_0: [32, 2 + 32],
  q2_k: [256, 16 + 64 + 2 + 2],
  q3_k: [256, 32 + 64 + 12 + 2],
  q4_k: [256, 2 + 2 + 12 + 128],
  q5_k: [256, 2 + 2 + 12 + 32 + 128],
  q6_k: [256, 128 + 64 + 16 + 2],
}

test('blocks are as large as ggml’s, and files of a type have its number of them', () => {
  const ours = dtypeNames.filter((dtype) => recordOf(dtype).ggml !== undefined)
  assert.equal(
    ours.map((dtype) => [dtype, [dtypes[dtype].block, dtypes[dtype].bytes]]),
    Object.entries(blocks),
  )
  const numbers = new Map(Object.entries(GGMLFileQuantizationType))
  for (const dtype of floatTypes) {
    assert.is(dtypes[dtype].fileType, numbers.get(dtypes[dtype].ggml.name), dtype)
  }
})

test('infinity has all bits of the exponent, and no other', () => {
  const [bits = 0] = new Uint32Array(Float32Array.of(Number.POSITIVE_INFINITY).buffer)
  assert.is(dtypes.f32.exponent, bits)
  // bf16 is the upper half of f32; f16 has five bits above ten of its fraction.
  assert.is(dtypes.bf16.exponent, bits >>> 16)
  assert.is(dtypes.f16.exponent, 0b11111 << 10)
})

test('kernels are those of the type itself', () => {
  for (const dtype of dtypeNames.filter(isBlock)) {
    const { quantize, dequantize, ggml } = dtypes[dtype]
    assert.equal([quantize, dequantize], [`quantize${ggml.name}`, `dequantize${ggml.name}`])
  }
})

test('the scales of a block are where one that is infinite spoils what is read from it', () => {
  for (const dtype of dtypeNames.filter(isBlock)) {
    const { block, bytes, scalesAt } = dtypes[dtype]
    const kernels = openBlockKernels(block)
    const found: number[] = []
    for (let at = 0; at + 2 <= bytes; at += 2) {
      const content = Buffer.alloc(bytes, 1)
      content.writeUInt16LE(0x7c00, at)
      if (!kernels.dequantize(dtype, content, block).every(Number.isFinite)) found.push(at)
    }
    assert.equal(found, scalesAt, dtype)
  }
})

test('a type loses a large value where its block comes out finite, and not otherwise', () => {
  for (const dtype of dtypeNames.filter(isBlock)) {
    const { block } = dtypes[dtype]
    const kernels = openBlockKernels(block)
    const values = Float32Array.from({ length: block }, (_, i) => (i === 5 ? 1e30 : 0))
    const overflowed = [undefined, new Float32Array(block).fill(1)].map((importance) =>
      countOverflowedBlocks(kernels.quantize(dtype, values, block, importance), dtype),
    )
    assert.is(overflowed.includes(0), recordOf(dtype).loses === true, dtype)
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
