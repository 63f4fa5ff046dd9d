import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Naming } from '../../src/architectures/architecture.js'
import { llama } from '../../src/architectures/llama.js'
import { allTensors, isDerived, layoutIn, nameIn, roleOf } from '../../src/checkpoint/names.js'
import { small, tensorsOf } from '../support/llama.js'

const test = suite('checkpoint: names')
const namings = ['hf', 'easylm', 'meta', 'gguf'] as const satisfies Naming[]
const expected = tensorsOf({ ...small, layers: 12 })

for (const naming of namings) {
  test(`${naming}: each name of a model of 12 layers, in both directions`, () => {
    const named = allTensors(llama, 12, () => false)
    assert.equal(
      named.map((each) => nameIn(each, naming)),
      expected.map((tensor) => tensor[naming]),
    )
    for (const tensor of expected) {
      const found = roleOf(llama, tensor[naming], naming)
      assert.ok(found, tensor[naming])
      for (const other of namings) assert.is(nameIn(found, other), tensor[other])
    }
  })
}

test('a layer number has one way of writing it', () => {
  for (const wrong of ['07', '-1', '1.0', '+1', '１', '', ' 1', '0x1', '1e0']) {
    const name = `model.layers.${wrong}.mlp.up_proj.weight`
    assert.is(roleOf(llama, name, 'hf'), undefined, name)
    const key = `transformer/h/${wrong}/ffn_norm/kernel`
    assert.is(roleOf(llama, key, 'easylm'), undefined, key)
  }
  assert.is(roleOf(llama, 'model.layers.10.mlp.up_proj.weight', 'hf')?.layer, 10)
})

test('a name of another naming, of another model, or nearly right is none', () => {
  for (const name of [
    'transformer/wte/embedding',
    'model.layers.{i}.mlp.up_proj.weight',
    'model.layers.0.mlp.up_proj.scale',
    'model.layers.0.self_attn.rotary_emb.inv_freq',
    'xmodel.norm.weight',
    'model.norm.weight.1',
    'lm_head.weight ',
    '',
  ]) {
    assert.is(roleOf(llama, name, 'hf'), undefined, name)
  }
})

test('EasyLM stores kernels transposed, not the embedding and not the norms', () => {
  for (const tensor of expected) {
    const found = roleOf(llama, tensor.easylm, 'easylm')
    assert.ok(found)
    assert.is(layoutIn(llama, 'easylm', found.role, 4).transposed, tensor.kernel, tensor.easylm)
    for (const other of ['hf', 'meta', 'gguf'] as const)
      assert.is(layoutIn(llama, other, found.role, 4).transposed, false)
  }
})

test('queries and keys alone have rotary order: half in Hugging Face’s, interleaved elsewhere', () => {
  for (const tensor of expected) {
    const found = roleOf(llama, tensor.hf, 'hf')
    assert.ok(found)
    for (const naming of namings) {
      const rotates = /attn\.[qk]_proj/.test(tensor.hf)
      const order = naming === 'hf' ? 'half' : 'interleaved'
      assert.equal(
        layoutIn(llama, naming, found.role, 4).rotary,
        rotates ? { order, headDim: 4 } : undefined,
        `${naming}: ${tensor.hf}`,
      )
    }
  }
})

test('buffers that a model computes from its configuration', () => {
  for (const name of [
    'model.layers.0.self_attn.rotary_emb.inv_freq',
    'model.rotary_emb.original_inv_freq',
    'layers.3.attention.mask',
    'model.layers.0.self_attn.masked_bias',
    'rope.freqs',
    'freqs_cis',
    'model.position_ids',
  ]) {
    assert.ok(isDerived(name), name)
  }
  for (const name of [
    'model.layers.0.self_attn.q_proj.bias',
    'model.layers.0.self_attn.bias',
    'model.mask_token',
    'attention.mask.weight',
    'inv_freq_scale',
  ]) {
    assert.not(isDerived(name), name)
  }
})

test.run()
