import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Naming } from '../../src/architectures/architecture.js'
import { llama } from '../../src/architectures/llama.js'
import { type Checkpoint, resolveCheckpoint } from '../../src/checkpoint/checkpoint.js'
import { layoutIn, roleOf } from '../../src/checkpoint/names.js'
import type { Tensor } from '../../src/checkpoint/tensor.js'
import {
  bufferBytes,
  type Move,
  planConversion,
  summarizeCasts,
  tilesOf,
} from '../../src/convert/plan.js'
import { stepsBetween } from '../../src/convert/steps.js'
import { safetensors } from '../../src/formats/hf/safetensors.js'
import type { DType } from '../../src/types/dtype.js'
import { configOf, listingOf } from '../support/listing.js'
import { type Model, small, tensorsOf } from '../support/llama.js'

const test = suite('convert: plan')

const names = {
  embedding: 'model.embed_tokens.weight',
  query: 'model.layers.0.self_attn.q_proj.weight',
  key: 'model.layers.0.self_attn.k_proj.weight',
  value: 'model.layers.0.self_attn.v_proj.weight',
  norm: 'model.norm.weight',
}

function tensor(naming: Naming, name: string, dtype: DType, shape: number[], headDim = 4): Tensor {
  const named = roleOf(llama, name, 'hf')
  if (named === undefined) throw new Error(name)
  return {
    name,
    storedName: name,
    dtype,
    shape,
    layout: layoutIn(llama, naming, named.role, headDim),
    parts: [],
  }
}

const steps = (name: string, from: [Naming, DType], to: [Naming, DType]) =>
  stepsBetween(tensor(from[0], name, from[1], [32, 40]), tensor(to[0], name, to[1], [32, 40])).map(
    (step) =>
      step.kind === 'cast'
        ? `${step.from}>${step.to}`
        : step.kind === 'rotary'
          ? `${step.to} ${step.headDim}`
          : step.kind,
  )

test('what each pair of layouts takes, for each kind of tensor', () => {
  for (const [name, from, to, expected] of [
    ['query', 'easylm', 'hf', ['transpose', 'half 4']],
    ['query', 'hf', 'easylm', ['interleaved 4', 'transpose']],
    ['query', 'meta', 'hf', ['half 4']],
    ['query', 'hf', 'gguf', ['interleaved 4']],
    ['query', 'easylm', 'gguf', ['transpose']],
    ['query', 'easylm', 'easylm', []],
    ['key', 'easylm', 'hf', ['transpose', 'half 4']],
    ['value', 'easylm', 'hf', ['transpose']],
    ['value', 'meta', 'hf', []],
    ['value', 'hf', 'easylm', ['transpose']],
    ['embedding', 'easylm', 'hf', []],
    ['norm', 'easylm', 'hf', []],
  ] as const)
    assert.equal(
      steps(names[name], [from, 'f32'], [to, 'f32']),
      expected,
      `${name}: ${from} to ${to}`,
    )
})

test('rotary order of columns: the matrix is turned, and turned back', () => {
  const turned = (tensor: Tensor): Tensor => ({
    ...tensor,
    layout: { ...tensor.layout, transposed: true },
  })
  for (const { source, target } of planned(small).moves) {
    const rotates = /attn\.[qk]_proj/.test(source.name)
    assert.equal(
      stepsBetween(turned(source), turned(target)).map(({ kind }) => kind),
      rotates ? ['transpose', 'rotary', 'transpose'] : [],
      source.name,
    )
  }
})

test('a cast comes first where it makes less to move, last where it makes more', () => {
  assert.equal(steps(names.query, ['easylm', 'f32'], ['hf', 'f16']), [
    'f32>f16',
    'transpose',
    'half 4',
  ])
  assert.equal(steps(names.query, ['easylm', 'bf16'], ['hf', 'f32']), [
    'transpose',
    'half 4',
    'bf16>f32',
  ])
  assert.equal(steps(names.query, ['easylm', 'bf16'], ['hf', 'f16']), [
    'bf16>f16',
    'transpose',
    'half 4',
  ])
  assert.equal(steps(names.norm, ['easylm', 'f32'], ['hf', 'bf16']), ['f32>bf16'])
})

/** A model as EasyLM has it, planned to safetensors. */
function planned(model: Model, dtype: DType = 'f32', to: 'auto' | 'f32' | 'f16' | 'bf16' = 'f32') {
  const listing = listingOf(model, 'easylm', (array) => ({ ...array, dtype }))
  const checkpoint: Checkpoint = resolveCheckpoint(
    listing,
    { given: { values: configOf(model), from: 'test' } },
    { beside: [] },
  )
  const target = safetensors.describe?.(checkpoint, {
    dtype: to,
    maxShardSize: 5e9,
    about: { folder: 'test', card: new Map(), generation: {}, notes: [] },
  })
  if (target === undefined) throw new Error('safetensors cannot be written')
  return planConversion(checkpoint, target)
}

test('grouped-query attention: queries and keys are both permuted by the head’s rows, not by their count', () => {
  const model: Model = { ...small, heads: 8, kvHeads: 2, headDim: 32, hidden: 256 }
  for (const { source, steps: each } of planned(model).moves) {
    const rotary = each.find((step) => step.kind === 'rotary')
    const rotates = /attn\.[qk]_proj/.test(source.name)
    assert.equal(
      rotary,
      rotates ? { kind: 'rotary', to: 'half', headDim: 32 } : undefined,
      source.name,
    )
  }
})

test('a plan has a move for each tensor, and counts all bytes of all files', () => {
  const plan = planned(small, 'bf16', 'f32')
  assert.equal(
    plan.moves.map(({ target }) => target.name),
    tensorsOf(small).map(({ hf }) => hf),
  )
  const elements = tensorsOf(small).reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  )
  assert.equal(summarizeCasts(plan), [
    { from: 'bf16', to: 'f32', tensors: 21, parameters: elements },
  ])
  assert.is(
    plan.bytes,
    plan.target.files.reduce((sum, { size }) => sum + size, 0),
  )
  assert.ok(plan.bytes > 4 * elements)
})

test('f64 is cast with one rounding, and before anything else is done to it', () => {
  for (const to of ['f32', 'f16', 'bf16'] as const) {
    const step = planned(small, 'f64', to).moves[1]?.steps[0]
    assert.equal(step, { kind: 'cast', from: 'f64', to })
  }
})

/** A move of any shape and kind. */
const anyMove = fc
  .record({
    name: fc.constantFrom(...Object.values(names)),
    heads: fc.integer({ min: 1, max: 12 }),
    headDim: fc.integer({ min: 1, max: 20 }).map((n) => 2 * n),
    columns: fc.integer({ min: 1, max: 300 }),
    from: fc.constantFrom<Naming>('hf', 'easylm', 'meta'),
    to: fc.constantFrom<Naming>('hf', 'easylm', 'meta'),
    source: fc.constantFrom<DType>('f32', 'bf16'),
    target: fc.constantFrom<DType>('f32', 'f16'),
  })
  .map(({ name, heads, headDim, columns, from, to, source, target }): Move => {
    const shape = name === names.norm ? [columns] : [heads * headDim, columns]
    const [a, b] = [
      tensor(from, name, source, shape, headDim),
      tensor(to, name, target, shape, headDim),
    ]
    return { source: a, target: b, steps: stepsBetween(a, b) }
  })

test('tiles cover every element once, within the budget, in whole heads', () => {
  fc.assert(
    fc.property(anyMove, fc.integer({ min: 640, max: 200_000 }), (move, budget) => {
      const [rows = 1, columns = 1] =
        move.target.shape.length === 1 ? [1, move.target.shape[0]] : move.target.shape
      const seen = new Uint8Array(rows * columns)
      const rotary = move.steps.find((step) => step.kind === 'rotary')
      for (const tile of tilesOf(move, budget)) {
        assert.ok(tile.rows > 0 && tile.columns > 0)
        assert.ok(
          bufferBytes(move, tile.rows * tile.columns) <= budget,
          `${JSON.stringify(tile)} in ${budget}`,
        )
        if (rotary)
          assert.is((tile.row % rotary.headDim) + (tile.rows % rotary.headDim), 0, 'whole heads')
        for (let r = tile.row; r < tile.row + tile.rows; r++)
          for (let c = tile.column; c < tile.column + tile.columns; c++) {
            const at = r * columns + c
            assert.ok(r < rows && c < columns, 'within the matrix')
            seen[at] = (seen[at] ?? 0) + 1
          }
      }
      assert.ok(
        seen.every((count) => count === 1),
        'every element once',
      )
    }),
    { numRuns: 2000, seed: 4 },
  )
})

test('a tensor that fits is one tile; rows longer than the budget are cut', () => {
  const move = (shape: number[], name = names.embedding): Move => {
    const [a, b] = [tensor('easylm', name, 'f32', shape), tensor('hf', name, 'f32', shape)]
    return { source: a, target: b, steps: stepsBetween(a, b) }
  }
  assert.equal(tilesOf(move([100, 50]), 20_000), [{ row: 0, column: 0, rows: 100, columns: 50 }])
  assert.is(tilesOf(move([100, 50]), 19_999).length, 2)
  const long = tilesOf(move([3, 1_000_000]), 400_000)
  assert.is(long.length, 30)
  assert.equal(long[0], { row: 0, column: 0, rows: 1, columns: 100_000 })
  // 128 256 × 8192 in f32, 4.2 GB: more than 32 bits of bytes.
  const huge = tilesOf(move([128_256, 8192]), 44e6)
  assert.is(
    huge.reduce((sum, { rows, columns }) => sum + rows * columns, 0),
    128_256 * 8192,
  )
  assert.ok(huge.every(({ columns }) => columns === 8192))
})

test('a copy needs one buffer, anything else two of the wider type', () => {
  const move = (from: DType, to: DType, name = names.embedding): Move => {
    const [a, b] = [tensor('easylm', name, from, [8, 8]), tensor('hf', name, to, [8, 8])]
    return { source: a, target: b, steps: stepsBetween(a, b) }
  }
  assert.is(bufferBytes(move('f32', 'f32'), 10), 40)
  assert.is(bufferBytes(move('f32', 'f16'), 10), 80)
  assert.is(bufferBytes(move('bf16', 'f32'), 10), 80)
  assert.is(bufferBytes(move('bf16', 'bf16', names.value), 10), 40)
})

test.run()
