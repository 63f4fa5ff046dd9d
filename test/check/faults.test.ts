import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkArtifact } from '../../src/check/check.js'
import { openRunnable } from '../../src/open/runnable.js'
import { reorder, type Spoiled, spoiled, type Values } from '../support/faults.js'
import { fixtures } from '../support/llama.js'
import { fixture } from '../support/paths.js'

const test = suite('check: faults')
const { hidden, kvHeads, headDim, heads, layers } = fixtures['tiny-v2']
const layerNames = Array.from({ length: layers }, (_, i) => `model.layers.${i}`)

function get(values: Values, name: string): Float32Array {
  const array = values.get(name)
  if (array === undefined) throw new Error(`no ${name}`)
  return array
}

function flip(values: Values, name: string, at: number, bit: number): void {
  const bits = new Uint32Array(get(values, name).buffer)
  bits[at] = (bits[at] ?? 0) ^ (1 << bit)
}

interface Fault extends Spoiled {
  /** What the check has to say of it. */
  says: RegExp
  /** The first layer to depart, where hidden states tell. */
  layer?: number
}

const faults: Record<string, Fault> = {
  'the queries’ rotary permutation left out': {
    change(values) {
      for (const layer of layerNames) {
        const name = `${layer}.self_attn.q_proj.weight`
        values.set(name, reorder(get(values, name), heads * headDim, headDim, true))
      }
    },
    says: /layers\.0\.self_attn\.q_proj\.weight: the rotary permutation is wrong/,
    layer: 0,
  },
  'keys permuted with the query head count': {
    change(values) {
      for (const layer of layerNames) {
        const name = `${layer}.self_attn.k_proj.weight`
        const rows = kvHeads * headDim
        const wrong = reorder(get(values, name), rows, rows / heads, true)
        values.set(name, reorder(wrong, rows, headDim, false))
      }
    },
    says: /k_proj\.weight: the rotary permutation is wrong, with the number of query heads/,
    layer: 0,
  },
  'w1 and w3 swapped': {
    change(values) {
      for (const layer of layerNames) {
        const [gate, up] = [`${layer}.mlp.gate_proj.weight`, `${layer}.mlp.up_proj.weight`]
        const first = get(values, gate)
        values.set(gate, get(values, up))
        values.set(up, first)
      }
    },
    says: /gate_proj\.weight: it has the values of model\.layers\.0\.mlp\.up_proj\.weight/,
    layer: 0,
  },
  'a square matrix left transposed': {
    change(values) {
      const name = 'model.layers.1.self_attn.o_proj.weight'
      const from = get(values, name)
      values.set(
        name,
        from.map((_, i) => from[(i % hidden) * hidden + Math.floor(i / hidden)] ?? Number.NaN),
      )
    },
    says: /layers\.1\.self_attn\.o_proj\.weight: it is left transposed/,
    layer: 1,
  },
  'lm_head replaced by the embedding': {
    change: (values) => values.set('lm_head.weight', get(values, 'model.embed_tokens.weight')),
    says: /lm_head\.weight: it is the embedding/,
  },
  'rms epsilon 1e-5 for 1e-6': {
    config: { rms_norm_eps: 1e-5 },
    says: /rms_norm_eps is 0\.00001, the source’s 0\.000001/,
  },
  'one layer’s weights zeroed': {
    change(values) {
      for (const [name, array] of values) if (name.startsWith('model.layers.1.')) array.fill(0)
    },
    says: /layer 1: the values of 9 of its tensors are all zero/,
    layer: 1,
  },
  'one NaN': {
    change(values) {
      get(values, 'model.layers.1.mlp.down_proj.weight')[3 * hidden + 5] = Number.NaN
    },
    says: /down_proj\.weight: one value is NaN, at row 3, column 5/,
    layer: 1,
  },
  'the highest bit of an exponent flipped': {
    change: (values) => flip(values, 'model.layers.0.mlp.down_proj.weight', 7 * hidden + 9, 30),
    says: /layers\.0\.mlp\.down_proj\.weight: one bit of an exponent is flipped: .* at row 7, column 9/,
    layer: 0,
  },
  'a low bit of an exponent flipped, too little to be seen in any logit': {
    change: (values) => flip(values, 'model.layers.0.mlp.down_proj.weight', 7 * hidden + 9, 23),
    says: /down_proj\.weight: one bit of an exponent is flipped/,
    layer: 0,
  },
  'the wrong generation’s tokenizer': {
    tokenizer: 'tiny-v1',
    says: /the wrong generation’s tokenizer: \d+ of 512 tokens are others/,
  },
}

const source = () =>
  openRunnable(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), {
    config: fixture('tiny-v2', 'config.json'),
  })

for (const [what, fault] of Object.entries(faults)) {
  test(`${what}: is caught, and named`, async () => {
    const artifact = await openRunnable(await spoiled('tiny-v2', fault))
    const { record } = await checkArtifact(artifact, {
      against: await source(),
      device: 'cpu',
      threads: 1,
    })
    assert.is(record.verdict, 'failed')
    const said = record.parity?.faults.join('\n') ?? ''
    assert.match(said, fault.says)
    if (fault.layer !== undefined) assert.is(record.parity?.departure?.layer, fault.layer)
  })
}

test('without a fault the same folder passes, and nothing is said', async () => {
  const artifact = await openRunnable(await spoiled('tiny-v2', {}))
  const { record } = await checkArtifact(artifact, {
    against: await source(),
    device: 'cpu',
    threads: 1,
  })
  assert.is(record.verdict, 'passed')
  assert.equal(record.parity?.faults, [])
  assert.is(record.parity?.departure, undefined)
})

test.run()
