import { Worker } from 'node:worker_threads'
import { fromAnySystemError, OpenLlamaError } from '../io/errors.js'
import type { Engine } from './engine.js'
import { openEngine } from './open.js'
import { type Answer, floatsAtOnce, type Request } from './process-protocol.js'

// The process that engines run in: it answers one request at a time, and ends with the program.

// Ctrl-C goes to both processes: what is to be done about it, the program says.
process.on('SIGINT', () => {})
process.on('SIGHUP', () => {})
// At once: what an engine does as it is taken down is of no use to anybody any more.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))

// A run keeps this thread busy for as long as it takes: another one sees that the program is gone.
new Worker(
  `const { workerData } = require('node:worker_threads')
   setInterval(() => { if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL') }, 500)`,
  { eval: true, workerData: process.ppid, stderr: true, stdout: true },
).unref()

const engines = new Map<number, Engine>()

let last: Promise<void> = Promise.resolve()
process.on('message', (request: Request) => {
  last = last.then(() => answer(request))
})

async function answer(request: Request): Promise<void> {
  const { id } = request
  try {
    await carryOut(request)
  } catch (cause) {
    const error = fromAnySystemError(cause)
    if (error instanceof OpenLlamaError) return send({ id, kind: 'failed', error: error.parts })
    const { message, stack } = error instanceof Error ? error : new Error(String(error))
    await send({ id, kind: 'bug', message, stack })
  }
}

async function carryOut(request: Request): Promise<void> {
  const { id } = request
  if (request.call === 'open') {
    const engine = await openEngine(request.opened, request.options)
    engines.set(id, engine)
    const { name, device, notes } = engine
    const hiddenStates = engine.hiddenStates !== undefined
    return send({ id, kind: 'opened', engine: id, facts: { name, device, notes }, hiddenStates })
  }
  const engine = engines.get(request.engine)
  if (engine === undefined) throw new Error(`there is no engine ${request.engine}`)
  switch (request.call) {
    case 'logits':
      await sendFloats(id, 0, await engine.logits(request.tokens))
      return send({ id, kind: 'done' })
    case 'hiddenStates': {
      const states = (await engine.hiddenStates?.(request.tokens)) ?? []
      for (const [i, state] of states.entries()) await sendFloats(id, i, state)
      return send({ id, kind: 'done' })
    }
    case 'generate': {
      const { tokens, most, draft } = request
      const onStep = (seconds: number) => void send({ id, kind: 'step', seconds })
      return send({
        id,
        kind: 'tokens',
        tokens: await engine.generate(tokens, most, { draft, onStep }),
      })
    }
    case 'dispose':
      engines.delete(request.engine)
      await engine.dispose()
      return send({ id, kind: 'done' })
  }
}

async function sendFloats(id: number, array: number, floats: Float32Array): Promise<void> {
  const { length } = floats
  for (let start = 0; start < length; start += floatsAtOnce) {
    const values = floats.slice(start, start + floatsAtOnce)
    await send({ id, kind: 'floats', array, length, start, values })
  }
}

/** Settles when the message has left: what is sent next would be held in memory until then. */
function send(answer: Answer): Promise<void> {
  return new Promise((resolve) => {
    // The program is gone where it cannot be sent, and this process is to go too.
    process.send?.(answer, undefined, undefined, () => resolve())
  })
}
