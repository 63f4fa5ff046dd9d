import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compareLogits } from '../../src/check/parity.js'
import { openLlamaEngine } from '../../src/engines/llama.js'
import { asTokens, startLlama } from '../../src/engines/llama-start.js'
import { openCheckpoint } from '../../src/open/open.js'
import { fixtures } from '../support/llama.js'
import { shared } from '../support/paths.js'

const test = suite('check: perplexity')
const { vocab } = fixtures['tiny-v2']
const tokens = [1, ...Array.from({ length: 100 }, (_, i) => 3 + ((i * 53) % 509))]

for (const file of ['f32.gguf', 'Q4_K_M.gguf']) {
  const path = shared('llama.cpp’s own figures', 'fixtures', 'tiny-v2', 'gguf', file)
  if (path === undefined) continue
  test(`${file}: as llama.cpp's own, of the same tokens one by one`, async () => {
    const { config } = await openCheckpoint(path)
    const engine = await openLlamaEngine(path, config, { device: 'cpu', threads: 1 })
    const logits = await engine.logits(tokens.slice(0, -1))
    await engine.dispose()
    const { perplexity } = await compareLogits(logits, logits, vocab, tokens.slice(1))

    const { load } = await startLlama()
    const model = await load({ modelPath: path, gpuLayers: 0 }, 'it')
    const context = await model.createContext({
      contextSize: 256,
      threads: 1,
      flashAttention: false,
      experimentalKvCacheKeyType: 'F32',
      experimentalKvCacheValueType: 'F32',
    })
    const sequence = context.getSequence()
    let loss = 0
    for (const [i, token] of asTokens(tokens.slice(0, -1)).entries()) {
      const options = { temperature: 1, topK: 0, topP: 1, minP: 0 }
      const [output] = await sequence.controlledEvaluate([
        [token, { generateNext: { probabilities: true, options } }],
      ])
      const [next] = asTokens([tokens[i + 1] ?? 0])
      assert.ok(next !== undefined)
      loss -= Math.log(output?.next.probabilities?.get(next) ?? Number.NaN)
    }
    await context.dispose()
    await model.dispose()
    const own = Math.exp(loss / (tokens.length - 1))
    // Batches sum in another order: quantized products by some 1e-3.
    assert.ok(Math.abs(perplexity / own - 1) < 1e-3, `${perplexity} and ${own}`)
  })
}

test.run()
