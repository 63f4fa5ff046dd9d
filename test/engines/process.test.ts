import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openEngine } from '../../src/engines/open.js'
import { startEngine } from '../../src/engines/process.js'
import { OpenLlamaError } from '../../src/io/errors.js'
import { openRunnable } from '../../src/open/runnable.js'
import { fixture } from '../support/paths.js'

const test = suite('engines: in a process of their own')

const runnable = await openRunnable(fixture('tiny-v2', 'easylm', 'streaming_params_bf16'), {
  config: fixture('tiny-v2', 'config.json'),
})
const cpu = { device: 'cpu', threads: 1 } as const
const tokens = [1, 5, 9, 17, 33]

test('what it computes is what the engine in this process computes', async () => {
  const there = await startEngine(runnable, { ...cpu, hiddenStates: true })
  const here = await openEngine(runnable, { ...cpu, hiddenStates: true })
  assert.equal([there.name, there.device], ['onnxruntime', 'cpu'])
  assert.equal(await there.logits(tokens), await here.logits(tokens))
  assert.equal(await there.hiddenStates?.(tokens), await here.hiddenStates?.(tokens))
  let steps = 0
  const made = await there.generate(tokens, 4, { onStep: () => steps++ })
  assert.equal(made, await here.generate(tokens, 4))
  assert.ok(steps > 0)
  await there.dispose()
  await here.dispose()
})

test('errors of the engine are told as they are', async () => {
  const engine = await startEngine(runnable, cpu)
  const error = await caught(engine.logits([-1]))
  assert.is(error.code, 'input')
  assert.match(error.message, /token -1 is not of the model/)
  await engine.dispose()
})

test('a signal ends a run within a second, and the process with it; the next one begins anew', async () => {
  const aborter = new AbortController()
  const engine = await startEngine(runnable, { ...cpu, signal: aborter.signal })
  const [child] = children()
  // As long a run as the engine takes: a signal that waited for it would wait some seconds.
  const run = caught(engine.logits(Array.from({ length: 3000 }, () => 1)))
  await wait(200)
  const start = performance.now()
  aborter.abort()
  assert.is((await run).code, 'interrupted')
  assert.ok(performance.now() - start < 1000)
  await engine.dispose()
  if (child !== undefined) {
    const deadline = Date.now() + 1000
    while (isRunning(child) && Date.now() < deadline) await wait(20)
    assert.not(isRunning(child))
  }
  assert.is((await caught(startEngine(runnable, { ...cpu, signal: aborter.signal }))).exit, 130)
  const again = await startEngine(runnable, cpu)
  assert.is((await again.generate(tokens, 1)).length, 1)
  await again.dispose()
})

test('a process that is ended from outside: memory or the model, in a sentence', async () => {
  const [before] = children()
  if (before === undefined) return console.log('skipped: there is no /proc here')
  for (const [signal, code] of [
    ['SIGKILL', 'resources'],
    ['SIGABRT', 'input'],
  ] as const) {
    const engine = await startEngine(runnable, cpu)
    const run = caught(engine.logits(Array.from({ length: 3000 }, () => 1)))
    await wait(100)
    for (const pid of children()) process.kill(pid, signal)
    const error = await run
    assert.equal([error.code, error.message.includes(signal)], [code, true], error.message)
    await engine.dispose()
  }
})

async function caught(work: Promise<unknown>): Promise<OpenLlamaError> {
  try {
    await work
  } catch (error) {
    if (error instanceof OpenLlamaError) return error
    throw error
  }
  throw new Error('it did not fail')
}

/** Processes that this one has started. */
function children(): number[] {
  const list = `/proc/self/task/${process.pid}/children`
  if (!existsSync(list)) return []
  return readFileSync(list, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

function isRunning(pid: number): boolean {
  return !/^State:\s*Z/m.test(
    existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : 'State: Z',
  )
}

test.run()
