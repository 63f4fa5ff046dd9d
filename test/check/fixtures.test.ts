import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkArtifact } from '../../src/check/check.js'
import { openEngine } from '../../src/engines/open.js'
import { openRunnable } from '../../src/open/runnable.js'
import { expectedAnswers, expectedLogits, largestDifference } from '../support/expected.js'
import { fixture, shared } from '../support/paths.js'

const test = suite('check: fixtures')

/** Every file that the formats' own software wrote. */
function filesOf(folder: string): string[] {
  const formats = readdirSync(folder).filter((name) => name !== 'expected')
  return formats.flatMap((name) => {
    if (name !== 'easylm' && name !== 'gguf') return [name]
    const files = readdirSync(join(folder, name)).filter((file) => !file.endsWith('.model'))
    return files.map((file) => join(name, file))
  })
}

for (const model of ['tiny-v1', 'tiny-v2'] as const) {
  const folder = shared('every file of the peers, held against another', 'fixtures', model)
  if (folder === undefined) continue
  const config = fixture(model, 'config.json')
  const [answer] = expectedAnswers(fixture(model, 'expected'))
  assert.ok(answer)
  // transformers' text, the end token spelled out or not.
  const expected = answer.text.slice(answer.prompt.length).replace('</s>', '')
  const open = (file: string) => openRunnable(join(folder, file), { config })

  for (const file of filesOf(folder)) {
    test(`${model}/${file}: gives the peers' answer, and passes at its own type's limits`, async () => {
      const against = await open('easylm/streaming_params_bf16')
      const options = { against, device: 'cpu', threads: 1, prompt: answer.prompt } as const
      const { record, type } = await checkArtifact(await open(file), options)
      assert.is(record.smoke.continuation.replace('</s>', ''), expected)
      assert.equal(record.smoke.faults, [])
      assert.is(record.verdict, 'passed', JSON.stringify(record.parity))
      assert.is(record.engine, file.startsWith('gguf') ? 'llama.cpp' : 'onnxruntime')
      const difference = (metrics = record.parity?.metrics) =>
        metrics?.find(({ name }) => name === 'logit_max_difference')?.value ?? Number.NaN
      if (type !== 'f32' && type !== 'f16' && type !== 'bf16') return
      assert.is(record.parity?.engine, file.includes('gguf/f32') ? 'llama.cpp' : 'onnxruntime')
      assert.ok(difference() < 1e-4, `${difference()}`)
      // llama.cpp rounds activations to the type of bf16 and f16 weights, ONNX Runtime does not.
      const { rounded } = record.parity ?? {}
      assert.is(rounded !== undefined, type !== 'f32' && file.startsWith('gguf'))
      if (rounded === undefined) return
      assert.ok(difference(rounded) > 1e-4 && difference(rounded) < 0.1, `${difference(rounded)}`)
    })
  }

  for (const dtype of ['bf16', 'f16']) {
    test(`${model}/gguf/${dtype}.gguf against EasyLM, both in f32: within 1e-4`, async () => {
      const engine = await openEngine(await open(`gguf/${dtype}.gguf`), {
        device: 'cpu',
        threads: 1,
        engine: 'onnxruntime',
      })
      for (const { ids, logits } of expectedLogits(fixture(model, 'expected'))) {
        assert.ok(largestDifference(await engine.logits(ids), logits) < 1e-4)
      }
      await engine.dispose()
    })
  }
}

test.run()
