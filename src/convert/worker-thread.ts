import { parentPort, workerData } from 'node:worker_threads'
import { fromAnySystemError, OpenLlamaError } from '../io/errors.js'
import { type Reply, startWorker, type Task, type WorkerSetup } from './worker.js'

// One of the executor's workers: takes tasks one at a time and answers each.
const port = parentPort
if (port === null) throw new Error('this module is a worker thread')
// oxlint-disable-next-line typescript/no-unsafe-assignment -- it comes from startThreadWorker alone
const setup: WorkerSetup = workerData
const worker = startWorker(setup)

port.on('message', (task: Task | 'close') => {
  if (task === 'close') {
    worker.close()
    port.close()
    return
  }
  // A reply that cannot be sent ends the thread, and whoever waits is told.
  void answer(task).then((reply) => port.postMessage(reply))
})

async function answer(task: Task): Promise<Reply> {
  try {
    return { ok: true, result: await worker.run(task) }
  } catch (cause) {
    const error = fromAnySystemError(cause)
    if (error instanceof OpenLlamaError) return { ok: false, error: error.parts }
    return { ok: false, bug: error instanceof Error ? error : new Error(String(error)) }
  }
}
