import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { commonTokens, runModel } from '../../src/check/smoke.js'
import type { Engine } from '../../src/engines/engine.js'

const test = suite('check: smoke')

/** A model of three tokens that gives these logits, and goes on with 1 and 2. */
function engineOf(logits: readonly number[]): Engine {
  return {
    name: 'onnxruntime',
    device: 'cpu',
    notes: [],
    logits: async () => Float32Array.from(logits),
    async generate(_, most, options) {
      for (const seconds of [1, 3]) options?.onStep?.(seconds)
      return [1, 2].slice(0, most)
    },
    dispose: async () => {},
  }
}

const texts = { passage: [0, 1], prompt: [0], tokens: 2, vocabulary: 3 }

test('logits that are no numbers: how many, the first position, and nothing is made', async () => {
  const run = await runModel(engineOf([0, 1, 2, 3, Number.NaN, Infinity]), texts)
  assert.equal(run.notFinite, { count: 2, position: 1 })
  assert.equal(run.made, [])
  assert.is(run.secondsPerToken, undefined)
})

test('what a model makes, the time of a token, and entropies of its distributions', async () => {
  const run = await runModel(engineOf([5, 5, 5, 1000, 0, 0]), texts)
  assert.is(run.notFinite, undefined)
  assert.equal(run.made, [1, 2])
  assert.is(run.secondsPerToken, 2)
  // Of three equal ones it is ln 3, of one that is certain nothing.
  assert.ok(Math.abs(run.entropy.most - Math.log(3)) < 1e-6, `${run.entropy.most}`)
  assert.ok(Math.abs(run.entropy.least) < 1e-6, `${run.entropy.least}`)
})

test('tokens in common: up to the first that differs, or the end of the shorter', () => {
  assert.is(commonTokens([1, 2, 3], [1, 2, 4]), 2)
  assert.is(commonTokens([1, 2], [1, 2, 3]), 2)
  assert.is(commonTokens([1, 2, 3], [1, 2]), 2)
  assert.is(commonTokens([2], [1]), 0)
})

test.run()
