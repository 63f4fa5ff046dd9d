import { parentPort, workerData } from 'node:worker_threads'
import { fuzz } from './loop.js'
import { targets } from './targets.js'

// One target, in a thread that can be ended where it does not end itself.

const { name, seconds, seed, corpus, shared } = workerData
const target = targets.find((each) => each.name === name)
if (target === undefined) throw new Error(`there is no target ${name}`)
const [count, length] = [new Int32Array(shared, 0, 1), new Int32Array(shared, 4, 1)]
const input = new Uint8Array(shared, 8)

const outcome = await fuzz(target, {
  seconds,
  seed,
  corpus,
  onInput(bytes) {
    length[0] = Math.min(bytes.length, input.length)
    input.set(bytes.subarray(0, input.length))
    Atomics.add(count, 0, 1)
  },
})
parentPort?.postMessage(outcome)
