import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { ModelProtoSchema, TensorProto_DataType, ValueInfoProtoSchema } from 'onnx-buf'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { convert } from '../support/convert.js'
import { expectedLogits, largestDifference } from '../support/expected.js'
import { fixture } from '../support/paths.js'
import { tempDir } from '../support/temp.js'

const test = suite('graph: padding')

/** The graph with its mask among its outputs, beside the graph itself. */
function showingMask(folder: string): string {
  const model = fromBinary(ModelProtoSchema, readFileSync(join(folder, 'model.onnx')))
  assert.ok(model.graph)
  const elemType = TensorProto_DataType.BOOL
  model.graph.output.push(
    create(ValueInfoProtoSchema, {
      name: 'mask.allowed',
      type: { value: { case: 'tensorType', value: { elemType } } },
    }),
  )
  const path = join(folder, 'mask.onnx')
  writeFileSync(path, toBinary(ModelProtoSchema, model))
  return path
}

test('padding on the left changes nothing, and its own rows are finite', async () => {
  const source = fixture('architectures', 'qwen3')
  const out = join(tempDir(), 'onnx')
  await convert(source, out, { to: 'onnx', dtype: 'f32' })
  const session = await InferenceSession.create(showingMask(join(out, 'onnx')))
  const [first, second] = expectedLogits(source)
  assert.ok(first && second)
  const short = second.ids.slice(0, 9)
  const length = first.ids.length
  const padding = length - short.length
  const ids = [...first.ids, ...Array(padding).fill(0), ...short]
  const mask = [...Array(length).fill(1), ...Array(padding).fill(0), ...Array(short.length).fill(1)]
  const positions = [...first.ids.keys(), ...Array(padding).fill(0), ...short.keys()]
  const whole = (values: number[]) =>
    new Tensor('int64', BigInt64Array.from(values, BigInt), [2, length])
  const empty = Object.fromEntries(
    session.inputNames
      .filter((name) => name.startsWith('past_key_values'))
      .map((name) => [name, new Tensor('float32', new Float32Array(0), [2, 2, 0, 24])]),
  )
  const { logits, 'mask.allowed': allowed } = await session.run({
    input_ids: whole(ids),
    attention_mask: whole(mask),
    position_ids: whole(positions),
    ...empty,
  })
  assert.ok(logits?.data instanceof Float32Array)
  // A row of padding attends to itself alone: where it attends to nothing, some runtimes make NaN
  // of it, others the mean of everything.
  assert.ok(allowed)
  assert.equal(allowed.dims, [2, 1, length, length])
  for (let row = 0; row < length; row++) {
    const from = (length + row) * length
    const seen = Array.from(allowed.data.slice(from, from + length), Number)
    const expected = seen.map((_, column) =>
      row < padding ? Number(column === row) : Number(column >= padding && column <= row),
    )
    assert.equal(seen, expected, `row ${row}`)
  }
  assert.ok(logits.data.every(Number.isFinite), 'a row without anything to attend to is NaN')
  const vocabulary = 67
  const rows = (batch: number, from: number, count: number) =>
    Float32Array.from(logits.data instanceof Float32Array ? logits.data : []).subarray(
      (batch * length + from) * vocabulary,
      (batch * length + from + count) * vocabulary,
    )
  assert.ok(largestDifference(rows(0, 0, length), first.logits) < 1e-4)
  const wanted = second.logits.subarray(0, short.length * vocabulary)
  assert.ok(largestDifference(rows(1, padding, short.length), wanted) < 1e-4)
  await session.release()
})

test.run()
