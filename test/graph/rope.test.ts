import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { convert } from '../support/convert.js'
import { fixture } from '../support/paths.js'
import { ropeGoldens, ropeJson } from '../support/rope.js'
import { tempDir } from '../support/temp.js'

// The exported graph, in one run and token by token with its cache, against transformers’ logits.
const test = suite('graph: rotary scalings')

const { ids, prefill, positions, cases } = ropeGoldens
const vocabulary = 40

for (const [name, of] of Object.entries(cases)) {
  test(`${name}: transformers’ logits within and beyond the original context`, async () => {
    const folder = tempDir()
    const config = join(folder, 'config.json')
    writeFileSync(config, JSON.stringify(ropeJson(of)))
    const out = join(folder, 'onnx-folder')
    await convert(fixture('graph', 'mistral', 'model.safetensors'), out, { to: 'onnx', config })
    const session = await InferenceSession.create(join(out, 'onnx', 'model.onnx'), {
      intraOpNumThreads: 1,
    })
    const whole = await run(session, ids, 0, emptyCache(session))
    holds(rows(whole.logits, ids.length), of.whole, positions, `${name}, in one run`)
    let step = await run(session, ids.slice(0, prefill), 0, emptyCache(session))
    const cached = rows(step.logits, prefill)
    for (let i = prefill; i < ids.length; i++) {
      step = await run(session, ids.slice(i, i + 1), i, cacheOf(step))
      cached.push(...rows(step.logits, 1))
    }
    holds(cached, of.cached, positions, `${name}, with its cache`)
    await session.release()
  })
}

type Values = Record<string, Tensor>

function emptyCache({ inputNames }: InferenceSession): Values {
  const names = inputNames.filter((name) => name.startsWith('past_key_values.'))
  const empty = () => new Tensor('float32', new Float32Array(0), [1, 3, 0, 8])
  return Object.fromEntries(names.map((name) => [name, empty()]))
}

function cacheOf(outputs: Values): Values {
  return Object.fromEntries(
    Object.entries(outputs)
      .filter(([name]) => name.startsWith('present.'))
      .map(([name, value]) => [name.replace('present', 'past_key_values'), value]),
  )
}

async function run(
  session: InferenceSession,
  tokens: readonly number[],
  past: number,
  cache: Values,
): Promise<Values> {
  const whole = (values: number[]) =>
    new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length])
  return session.run({
    ...cache,
    input_ids: whole([...tokens]),
    attention_mask: whole(Array.from({ length: past + tokens.length }, () => 1)),
    position_ids: whole(tokens.map((_, i) => past + i)),
  })
}

function rows(logits: Tensor | undefined, count: number): Float32Array[] {
  const data = logits?.data
  assert.ok(data instanceof Float32Array)
  return Array.from({ length: count }, (_, i) => data.slice(i * vocabulary, (i + 1) * vocabulary))
}

function holds(
  actual: readonly Float32Array[],
  expected: readonly number[][],
  at: readonly number[],
  what: string,
): void {
  let largest = 0
  expected.forEach((row, i) => {
    row.forEach((value, k) => {
      largest = Math.max(largest, Math.abs((actual[at[i] ?? 0]?.[k] ?? Number.NaN) - value))
    })
  })
  assert.ok(largest < 1e-4, `${what}: logits differ by ${largest}`)
}

test.run()
